// SPDX-License-Identifier: Apache-2.0
// paring advise: what to change about a server, from what it kept of its traffic.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "advise/advisor.h"
#include "api/certificate.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/machine.h"
#include "engine/open_model.h"
#include "model/architecture.h"
#include "quant/format.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

constexpr double kHourSeconds = 3600;

struct AdviseFlags {
  std::string served_as;
  double hours = 24;
  std::size_t clients = 0;
  std::vector<std::string> types = {"Q8_0", "Q4_K"};
  std::vector<std::string> candidates;
  bool measures_nothing = false;
  bool is_json = false;
};

// What a file's certificate says about its quality.
std::string loss_of(const io::ModelFile& file) {
  if (!file.metadata().has(api::kCertificateKey)) {
    return "not known: the file has no certificate; paring eval --against the original measures it";
  }
  const auto text = file.metadata().get_string(api::kCertificateKey);
  if (!text) return "not known";
  const auto certificate = api::Certificate::from_json(*text);
  if (!certificate) return "not known: its certificate cannot be read";
  return "as its certificate says: paring inspect shows it";
}

shrink::TypeMap types_of(const io::ModelFile& file, std::span<const model::MatrixSlot> slots) {
  shrink::TypeMap types;
  for (const model::MatrixSlot& slot : slots) {
    const io::TensorInfo* const tensor = file.find(slot.name);
    types.push_back(tensor == nullptr ? DType::kF32 : tensor->type);
  }
  return types;
}

// How fast other weights would be, measured on this machine.
Result<void> measure_weights(Context& context, const AdviseFlags& flags,
                             const advise::TrafficSample& sample, advise::AdvisorOptions& options) {
  PARING_TRY(const io::ModelFile file, engine::open_model(sample.facts.path));
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  const std::vector<model::MatrixSlot> slots = model::matrix_slots(spec);
  PARING_TRY(Executor * executor, context.executor());
  advise::WeightTimes times(*executor);
  const shrink::TypeMap present = types_of(file, slots);
  PARING_TRY(options.weights, times.curve(slots, present));
  for (const std::string& name : flags.types) {
    PARING_TRY(const DType type, quant::writable_type(name));
    const Result<shrink::TypeChoice> choice = shrink::choose_types(slots, type, DType::kQ8_0);
    if (!choice || choice->types == present) continue;
    advise::WeightCandidate candidate;
    candidate.name = dtype_name(type);
    PARING_TRY(candidate.curve, times.curve(slots, choice->types));
    candidate.loss = "paring quantize measures it against the model, and writes it into the file";
    options.candidates.push_back(std::move(candidate));
  }
  for (const std::string& name : flags.candidates) {
    PARING_TRY(const std::string path, context.resolve(name));
    PARING_TRY(const io::ModelFile other, engine::open_model(path));
    PARING_TRY(const model::BlockSpec other_spec, model::read_block_spec(other));
    const std::vector<model::MatrixSlot> other_slots = model::matrix_slots(other_spec);
    advise::WeightCandidate candidate;
    candidate.name = std::filesystem::path(path).filename().string();
    candidate.path = path;
    PARING_TRY(candidate.curve, times.curve(other_slots, types_of(other, other_slots)));
    candidate.loss = loss_of(other);
    options.candidates.push_back(std::move(candidate));
  }
  return {};
}

Json metric_json(const advise::PredictedMetric& metric) {
  return {{"metric", advise::advice_metric_name(metric.metric)},
          {"unit", advise::advice_metric_unit(metric.metric)},
          {"now", metric.now},
          {"expected", metric.expected},
          {"low", metric.low},
          {"high", metric.high}};
}

Json outcome_json(const advise::ReplayOutcome& outcome) {
  return {{"requests", outcome.requests},
          {"given_again", outcome.given_again},
          {"steps", outcome.steps},
          {"wall_seconds", outcome.wall_s},
          {"busy_seconds", outcome.busy_s},
          {"prompt_tokens", outcome.prompt_tokens},
          {"cached_tokens", outcome.cached_tokens},
          {"answer_tokens_per_second", outcome.answer_tokens_per_second()},
          {"inter_token_seconds", outcome.gap_s},
          {"first_token_seconds", outcome.first_token_s},
          {"queue_seconds", outcome.queue_s},
          {"running", outcome.running}};
}

Json advice_json(const advise::Advice& advice, std::size_t number) {
  Json json = {{"number", number},
               {"action", advise::advice_action_name(advice.action)},
               {"title", advice.title},
               {"evidence", advice.evidence},
               {"commands", advice.commands},
               {"metrics", Json::array()},
               {"loss", advice.loss},
               {"gain",
                {{"metric", advise::advice_metric_name(advice.gain_metric)},
                 {"expected", advice.gain},
                 {"low", advice.gain_low},
                 {"high", advice.gain_high}}},
               {"is_recommended", advice.is_recommended}};
  if (!advice.change.empty()) json["change"] = Json::parse(advice.change);
  if (!advice.caution.empty()) json["caution"] = advice.caution;
  for (const advise::PredictedMetric& metric : advice.metrics) {
    json["metrics"].push_back(metric_json(metric));
  }
  return json;
}

Json report_json(const advise::TrafficSample& sample, const advise::AdviceReport& report) {
  Json json;
  json["model"] = sample.model;
  json["variant"] = sample.facts.variant;
  json["path"] = sample.facts.path;
  json["from_s"] = sample.from_s;
  json["to_s"] = sample.to_s;
  json["requests"] = sample.requests.size();
  json["failed"] = sample.failed;
  json["repeated"] = sample.repeated;
  json["clients"] = report.clients;
  json["correction"] = report.correction;
  json["steps"] = {{"count", sample.steps.steps()}, {"spread", sample.steps.spread()}};
  json["measured"] = {{"requests", sample.measured.requests},
                      {"engine_seconds", sample.measured.work_s},
                      {"inter_token_seconds", sample.measured.gap_s},
                      {"first_token_seconds", sample.measured.first_token_s},
                      {"cached_share", sample.measured.cached_share}};
  json["present"] = outcome_json(report.present);
  json["present_paced"] = outcome_json(report.present_paced);
  json["advice"] = Json::array();
  for (std::size_t i = 0; i < report.advice.size(); ++i) {
    json["advice"].push_back(advice_json(report.advice[i], i + 1));
  }
  return json;
}

std::string value_text(advise::AdviceMetric metric, double value) {
  switch (metric) {
    case advise::AdviceMetric::kThroughput:
      return fmt::format("{:.1f} tokens/s", value);
    case advise::AdviceMetric::kMemory:
      return fmt::format("{:.0f} MB", value / 1e6);
    case advise::AdviceMetric::kEnergy:
      return fmt::format("{:.3g} J", value);
    case advise::AdviceMetric::kMoney:
      return fmt::format("{:.3g}", value);
    default:
      return fmt::format("{:.3g} ms", 1e3 * value);
  }
}

const char* metric_text(advise::AdviceMetric metric) {
  switch (metric) {
    case advise::AdviceMetric::kThroughput:
      return "answers, at full load";
    case advise::AdviceMetric::kInterToken:
      return "between tokens";
    case advise::AdviceMetric::kFirstToken:
      return "to the first token";
    case advise::AdviceMetric::kWork:
      return "engine, a request";
    case advise::AdviceMetric::kEnergy:
      return "energy, a request";
    case advise::AdviceMetric::kMoney:
      return "money, a request";
    case advise::AdviceMetric::kMemory:
      return "memory";
  }
  return "";
}

std::string advice_text(const advise::Advice& advice, std::size_t number) {
  std::string text = fmt::format("{}. {}{}\n", number, advice.title,
                                 advice.is_recommended ? "" : "  (not recommended)");
  Facts facts;
  facts.add("why", advice.evidence);
  for (const std::string& command : advice.commands) facts.add("do", command);
  facts.add("predicted", fmt::format("{:+.1f} % {} (90 %: {:+.1f} to {:+.1f} %)", 100 * advice.gain,
                                     metric_text(advice.gain_metric), 100 * advice.gain_low,
                                     100 * advice.gain_high));
  facts.add("loss", advice.loss);
  if (!advice.caution.empty()) facts.add("but", advice.caution);
  Table table({{""}, {"now", Align::kRight}, {"then", Align::kRight}, {"90 %", Align::kRight}});
  for (const advise::PredictedMetric& metric : advice.metrics) {
    table.add({metric_text(metric.metric), value_text(metric.metric, metric.now),
               value_text(metric.metric, metric.expected),
               fmt::format("{} to {}", value_text(metric.metric, metric.low),
                           value_text(metric.metric, metric.high))});
  }
  return text + facts.render() + table.render();
}

Result<void> run_advise(Context& context, const AdviseFlags& flags) {
  PARING_TRY(const std::string folder, store::data_folder(context.settings().data_dir, environ));
  std::error_code unknown;
  if (!std::filesystem::is_directory(folder + "/traffic", unknown)) {
    return not_found(folder + " is not the data folder of a server that keeps its traffic",
                     "name it with --data-dir");
  }
  PARING_TRY(const store::TrafficDb traffic, store::TrafficDb::open({.data = folder}));
  const double now = system_clock().wall_seconds();
  PARING_TRY(const advise::TrafficSample sample,
             advise::read_sample(
                 traffic, {.model = flags.served_as, .from_s = now - flags.hours * kHourSeconds}));
  advise::AdvisorOptions options;
  options.clients = flags.clients;
  const cost::Machine machine = cost::read_machine();
  options.usable_cores = machine.usable_cores;
  options.free_bytes = static_cast<double>(machine.memory_available_bytes.value_or(0));
  if (!flags.measures_nothing) {
    if (auto done = measure_weights(context, flags, sample, options); !done) {
      print_note("other types of weights are not predicted: " + done.error().message);
    }
  }
  const advise::AdviceReport report = advise::advise_on(sample, options);
  if (flags.is_json) {
    context.output().write_json(report_json(sample, report));
    return {};
  }
  Facts facts;
  facts.add("model", sample.model + ", " + sample.facts.path);
  facts.add("traffic", fmt::format("{} requests in {:.1f} hours, {} of them like an earlier one",
                                   sample.requests.size(),
                                   (sample.to_s - sample.from_s) / kHourSeconds, sample.repeated));
  facts.add("engine",
            fmt::format("{:.1f} s of work, {:.1f} ms between tokens, {:.1f} ms to the first",
                        sample.measured.work_s, 1e3 * sample.measured.gap_s,
                        1e3 * sample.measured.first_token_s));
  facts.add("full load", fmt::format("{} clients, {:.1f} answer tokens/s by replay", report.clients,
                                     report.present.answer_tokens_per_second()));
  context.output().write(facts.render());
  for (std::size_t i = 0; i < report.advice.size(); ++i) {
    context.output().write("\n" + advice_text(report.advice[i], i + 1));
  }
  if (report.advice.empty()) context.output().write("\nNothing to change.\n");
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<AdviseFlags>();
  app.add_option("--served-as", flags->served_as,
                 "The model, by the name that requests use; without it: that of the last steps")
      ->type_name("NAME");
  app.add_option("--hours", flags->hours, "How far back requests are read")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 24.0 * 366))
      ->type_name("N");
  app.add_option(
         "--clients", flags->clients,
         "Clients of the full load for which is predicted, each with one request at a time; "
         "0: as many sequences as ran together on average")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  app.add_option("--types", flags->types, "Types of weights that are considered")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("A,B");
  app.add_option("--candidate", flags->candidates,
                 "A model file that could be served instead; may be repeated")
      ->type_name("MODEL");
  app.add_flag("--no-measure", flags->measures_nothing,
               "Times no products on this machine: other weights are not predicted");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run_advise(context, *flags); };
}

}  // namespace

extern const Command kAdvise;
const Command kAdvise{"advise", "What to change about a server, with what it would gain",
                      "  paring advise --data-dir /var/lib/paring\n"
                      "  paring advise --clients 8 --candidate model-q4.gguf\n"
                      "  paring advise --served-as chat --hours 168 --json\n",
                      /*is_hidden=*/false, define};

}  // namespace paring::cli
