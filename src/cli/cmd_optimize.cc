// SPDX-License-Identifier: Apache-2.0
// paring optimize: the best model under a budget, with its certificate and report.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/certificate_text.h"
#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/probes.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "quant/format.h"
#include "shrink/budget.h"
#include "shrink/explain.h"
#include "shrink/optimize.h"
#include "shrink/shortfall.h"

namespace paring::cli {

namespace {

struct OptimizeFlags {
  std::string model;
  shrink::OptimizeOptions options;
  std::string report_path;
  std::vector<std::string> types;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool with_explanation = false;
  bool is_json = false;
};

// "2x", "1.7": how many times as fast. Negative when it is no such number.
// A divergence beyond these means nothing: the smallest is below what f32 logits resolve.
constexpr double kKlMin = 1e-9;
constexpr double kKlMax = 100;

double parse_factor(std::string_view text) {
  if (text.ends_with('x') || text.ends_with('X')) text.remove_suffix(1);
  double factor = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, factor);
  const bool is_number = error == std::errc() && stop == end;
  return is_number && std::isfinite(factor) && factor > 0 ? factor : -1;
}

// The report beside the model: OUT.gguf gives OUT.html.
std::string default_report_path(const std::string& out) {
  const std::string ending = ".gguf";
  return (out.ends_with(ending) ? out.substr(0, out.size() - ending.size()) : out) + ".html";
}

Json figures_json(const shrink::ModelFigures& figures) {
  return {{"file_bytes", figures.file_bytes},
          {"memory_bytes", figures.memory_bytes},
          {"weight_bytes", figures.speed.weight_bytes},
          {"prefill", phase_json(figures.speed.prefill)},
          {"decode", phase_json(figures.speed.decode)},
          {"perplexity", figures.perplexity},
          {"kl", figures.kl},
          {"kl_weights", figures.kl_weights},
          {"top1", figures.top1}};
}

Json step_json(const std::optional<shrink::TypeStep>& step) {
  if (!step) return nullptr;
  return {{"type", dtype_name(step->type)},
          {"bytes", step->bytes},
          {"kl", step->kl},
          {"kl_per_megabyte", step->price}};
}

// Every tensor with all its alternatives: what the search knew when it chose.
Json explanation_json(const shrink::OptimizeResult& result) {
  const shrink::Explanations all = shrink::explain(result);
  Json json = {{"kl_per_megabyte", all.price}, {"tensors", Json::array()}};
  for (std::size_t i = 0; i < all.tensors.size(); ++i) {
    const shrink::Explanation& tensor = all.tensors[i];
    Json options = Json::array();
    for (const shrink::TypeOption& option : result.plans[i].options) {
      options.push_back({{"type", dtype_name(option.type)},
                         {"bytes", option.bytes},
                         {"memory_bytes", option.memory_bytes},
                         {"predicted_kl", option.predicted_kl},
                         {"error", option.error},
                         {"error_nearest", option.error_nearest},
                         {"seconds", option.seconds}});
    }
    json["tensors"].push_back({{"name", tensor.name},
                               {"type", dtype_name(tensor.chosen)},
                               {"is_measured", tensor.is_measured},
                               {"loss_share", tensor.kl_share},
                               {"smaller", step_json(tensor.smaller)},
                               {"better", step_json(tensor.better)},
                               {"reason", tensor.reason},
                               {"options", std::move(options)}});
  }
  return json;
}

Json ablation_json(const shrink::Ablation& ablation) {
  Json rows = Json::array();
  for (const shrink::AblationRow& row : ablation.rows) {
    const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
    rows.push_back({{"name", row.name},
                    {"kl_alone", number(row.kl_alone)},
                    {"kl_without", number(row.kl_without)},
                    {"note", row.note}});
  }
  return {{"kl_plain", ablation.kl_plain},
          {"plain_matrix_bytes", ablation.plain_bytes},
          {"kl_full", ablation.kl_full},
          {"rows", std::move(rows)}};
}

Json time_json(const shrink::SearchTime& time, double run_seconds) {
  const std::string late = shrink::overrun(time, run_seconds);
  return {{"limit_seconds", time.limit_seconds},
          {"search_seconds", time.search_seconds},
          {"is_complete", time.is_complete()},
          {"probes_measured", time.probes_measured},
          {"probes_wanted", time.probes_wanted},
          {"refinements_measured", time.refinements_measured},
          {"refinements_wanted", time.refinements_wanted},
          {"encodings_measured", time.encodings_measured},
          {"encodings_wanted", time.encodings_wanted},
          {"statistics_windows", time.statistics_windows},
          {"statistics_windows_wanted", time.statistics_windows_wanted},
          {"candidate_windows", time.candidate_windows},
          {"candidate_windows_wanted", time.candidate_windows_wanted},
          {"holdout_windows", time.holdout_windows},
          {"holdout_windows_wanted", time.holdout_windows_wanted},
          {"left_out", shrink::shortfall(time)},
          {"overrun", late.empty() ? Json() : Json(late)},
          {"recalled", time.recalled},
          {"peak_memory_bytes", time.peak_memory_bytes}};
}

Json to_json(const shrink::OptimizeResult& result, const std::string& report_path) {
  Json json;
  json["model"] = result.model_path;
  json["out"] = result.out_path;
  json["report"] = report_path;
  json["budget"] = {{"file_bytes", result.budget.file_bytes},
                    {"memory_bytes", result.budget.memory_bytes},
                    {"speedup", result.budget.speedup},
                    {"kl_max", result.budget.kl_max},
                    {"context_tokens", result.budget.context_tokens}};
  if (result.importance.matrices != 0) {
    json["importance"] = {{"text", result.importance.text_name},
                          {"sha256", result.importance.sha256},
                          {"tokens", result.importance.tokens},
                          {"matrices", result.importance.matrices}};
  }
  json["before"] = figures_json(result.before);
  json["after"] = figures_json(result.after);
  json["served"] = divergence_json(result.served);
  json["weights_only"] = divergence_json(result.weights);
  json["types"] = Json::object();
  for (const shrink::MatrixPlan& plan : result.plans) {
    json["types"][plan.name] = dtype_name(plan.chosen);
  }
  json["candidates"] = Json::array();
  for (const shrink::Candidate& candidate : result.candidates) {
    json["candidates"].push_back({{"name", candidate.name},
                                  {"file_bytes", candidate.file_bytes},
                                  {"predicted_kl", candidate.predicted_kl},
                                  {"kl", candidate.kl},
                                  {"kl_standard_error", candidate.kl_standard_error},
                                  {"decode_tokens_per_second", candidate.decode_tokens_per_second},
                                  {"speedup", candidate.speedup},
                                  {"memory_bytes", candidate.memory_bytes},
                                  {"is_winner", candidate.is_winner}});
  }
  json["search"] = time_json(result.time, result.seconds);
  json["proofs"] = Json::array();
  for (const shrink::MethodProof& proof : result.proofs) {
    json["proofs"].push_back({{"method", proof.method},
                              {"changed_share", proof.changed_share},
                              {"loss_ratio", proof.loss_ratio}});
  }
  if (result.ablation.is_measured()) json["ablation"] = ablation_json(result.ablation);
  json["explanation"] = explanation_json(result);
  for (const shrink::PhaseTime& phase : result.phases) json["seconds"][phase.name] = phase.seconds;
  json["seconds"]["total"] = result.seconds;
  json["cpu"] = result.cpu;
  json["isa"] = result.isa;
  json["threads"] = result.threads;
  json["version"] = version();
  json["commit"] = version_commit();
  return json;
}

std::string ablation_text(const shrink::Ablation& ablation) {
  std::string out = fmt::format(
      "\nWhat each choice gained, KL on search text: plainest recipe {:.4f}, full recipe {:.4f}\n",
      ablation.kl_plain, ablation.kl_full);
  Table table({{"choice"}, {"alone"}, {"without it"}, {"taken away as"}});
  for (const shrink::AblationRow& row : ablation.rows) {
    const auto number = [](double value) {
      return std::isfinite(value) ? fmt::format("{:.4f}", value) : std::string("n/a");
    };
    table.add({row.name, number(row.kl_alone), number(row.kl_without), row.note});
  }
  return out + table.render();
}

// What was left out for want of time, and how to go on.
std::string time_text(const shrink::OptimizeResult& result) {
  const shrink::SearchTime& time = result.time;
  std::string out = fmt::format("took {} of {}", format_duration(result.seconds),
                                format_duration(time.limit_seconds));
  const std::string late = shrink::overrun(time, result.seconds);
  if (!late.empty()) out += "; " + late;
  const std::vector<std::string> missing = shrink::shortfall(time);
  if (missing.empty()) return out + "; the search measured all that it wanted to\n";
  out += "\nleft out for want of time:\n";
  for (const std::string& line : missing) out += "  " + line + "\n";
  if (time.is_complete()) return out;
  return out + fmt::format("to go on from here: the same command with --time {} --resume\n",
                           shrink::longer_limit(time.limit_seconds));
}

std::string to_text(const shrink::OptimizeResult& result, const std::string& report_path,
                    bool with_explanation) {
  std::string out = certificate_text(result.certificate);
  if (result.importance.matrices != 0) {
    out += fmt::format(
        "\nimportance of {} of {} matrices from '{}'; the others', and the second moments for "
        "error "
        "feedback,\nfrom the calibration text\n",
        result.importance.matrices, result.plans.size(),
        io::printable(result.importance.text_name));
  }
  if (result.ablation.is_measured()) out += ablation_text(result.ablation);
  if (with_explanation) out += "\n" + shrink::explain_text(result);
  return out +
         fmt::format("\nwritten: {} ({})\nreport:  {}\n", result.out_path,
                     format_bytes(result.after.file_bytes), report_path) +
         time_text(result);
}

Result<void> check_flags(const OptimizeFlags& flags, const std::string& model) {
  const shrink::OptimizeOptions& options = flags.options;
  PARING_TRY_VOID(shrink::check_bounds(options.budget));
  PARING_TRY_VOID(check_different("MODEL", model, "--out", options.out_path));
  PARING_TRY_VOID(check_different("MODEL", model, "--report", options.report_path));
  PARING_TRY_VOID(check_different("--out", options.out_path, "--report", options.report_path));
  PARING_TRY_VOID(check_can_write(flags.options.out_path, flags.overwrite));
  return check_can_write(flags.options.report_path, flags.overwrite);
}

Result<void> run(Context& context, const OptimizeFlags& given) {
  OptimizeFlags flags = given;
  // Loading the model and measuring the machine are part of the time that was given.
  flags.options.started_seconds = system_clock().monotonic_seconds();
  // What a resumed search replaces is its own earlier result.
  if (flags.options.resumes) flags.overwrite = io::Overwrite::kReplace;
  flags.options.report_path =
      flags.report_path.empty() ? default_report_path(flags.options.out_path) : flags.report_path;
  for (const std::string& name : flags.types) {
    PARING_TRY(const DType type, quant::writable_type(name));
    flags.options.types.push_back(type);
  }
  flags.options.overwrite = flags.overwrite;
  flags.options.budget.context_tokens = context.settings().context_tokens;
  // What the user must mend is said first: the path of the model, then those of the output.
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY_VOID(check_flags(flags, path));
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const engine::LoadedModel model, context.load(flags.model, 0));
  PARING_TRY_VOID(shrink::check_budget(model, flags.options, executor->threads()));
  PARING_TRY(const cost::Probes probes, cost::measure_probes(*executor));
  const OnInterrupt interrupted(
      "\nparing: stopped; what was measured is kept beside --out, and the same command goes on "
      "where this one was\n");
  PARING_TRY(const shrink::OptimizeResult result,
             shrink::optimize(model, *executor, probes, flags.options, context.progress()));
  if (flags.is_json) {
    context.output().write_json(to_json(result, flags.options.report_path));
  } else {
    context.output().write(to_text(result, flags.options.report_path, flags.with_explanation));
  }
  return {};
}

void define_budget(CLI::App& app, shrink::Budget& budget) {
  add_bytes_option(app, "--file", budget.file_bytes, "Largest output file")->group("Budget");
  add_bytes_option(app, "--memory", budget.memory_bytes,
                   "Most memory of weights, cache and buffers, at --context tokens")
      ->group("Budget");
  const auto check = [](const std::string& text) {
    return parse_factor(text) > 0 ? std::string() : "'" + text + "' is no factor such as 2x";
  };
  app.add_option_function<std::string>(
         "--speed", [&budget](const std::string& text) { budget.speedup = parse_factor(text); },
         "Decode this many times as fast as the original")
      ->check(CLI::Validator(check, ""))
      ->type_name("FACTOR")
      ->group("Budget");
  app.add_option("--kl", budget.kl_max, "Most mean KL divergence to the original, nats a token")
      ->check(number_between(kKlMin, kKlMax))
      ->type_name("X")
      ->group("Budget");
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<OptimizeFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder to shrink")
      ->required()
      ->type_name("");
  define_budget(app, flags->options.budget);
  app.add_option("--types", flags->types, "Only these types, such as Q4_0,Q5_1,Q8_0")
      ->delimiter(',')
      ->type_name("A,B");
  app.add_option("--calibration", flags->options.calibration_path,
                 "Text that the search measures on; the default is built in")
      ->type_name("FILE");
  app.add_option("--imatrix", flags->options.imatrix_path,
                 "Importance matrix of llama.cpp or 'paring imatrix' in the place of the text's "
                 "importance; what error feedback needs beyond it still comes from the text")
      ->type_name("FILE");
  const auto check_time = [](const std::string& text) {
    const auto seconds = parse_duration(text);
    return seconds.has_value() && *seconds > 0 ? std::string()
                                               : "'" + text + "' is no duration such as 15min";
  };
  app.add_option_function<std::string>(
         "--time",
         [flags](const std::string& text) {
           if (const auto seconds = parse_duration(text)) {
             flags->options.time_limit_seconds = *seconds;
           }
         },
         "End within this time, with the best that was found; the default is 15min")
      ->check(CLI::Validator(check_time, ""))
      ->type_name("DURATION");
  app.add_flag("--resume", flags->options.resumes,
               "Go on with the search that time cut short and wrote --out, which is replaced");
  app.add_flag("--explain", flags->with_explanation, "Tell for each tensor why it has its type");
  app.add_flag("--ablation", flags->options.with_ablation,
               "Also measure what each choice of the search gained");
  app.add_option("--out", flags->options.out_path, "File to write")->required()->type_name("FILE");
  app.add_option("--report", flags->report_path,
                 "HTML report; the default is OUT with the ending .html")
      ->type_name("FILE");
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kOptimize;
const Command kOptimize{
    "optimize", "The best model under a budget, with the loss measured",
    "  paring optimize model.gguf --file 105.4MB --out small.gguf\n"
    "  paring optimize model.gguf --memory 200MB --speed 1.5x --out small.gguf\n"
    "  paring optimize model.gguf --kl 0.02 --out small.gguf --report small.html\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
