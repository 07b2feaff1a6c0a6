// SPDX-License-Identifier: Apache-2.0
// paring bench: speed of a model on this machine.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cli/versus_bench.h"
#include "cost/machine.h"
#include "cost/probes.h"
#include "engine/open_model.h"
#include "measure/bench.h"
#include "measure/bench_batch.h"
#include "measure/memory.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

constexpr std::size_t kCompareBytesMax = std::size_t{1} << 20;

struct BenchFlags {
  std::string model;
  std::string compare_path;
  measure::BenchOptions options;
  std::size_t sequences = 0;
  VersusFlags versus;
  bool is_json = false;
};

// The figures of an earlier `paring bench --json`.
struct Earlier {
  std::string model;
  double prefill = 0;  // tokens/s
  double decode = 0;
};

Result<Earlier> read_earlier(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path, kCompareBytesMax));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto rate = [&](const char* phase) {
    const Json::json_pointer where(std::string("/") + phase + "/tokens_per_second");
    return json.is_object() && json.contains(where) && json[where].is_number()
               ? json[where].get<double>()
               : -1.0;
  };
  Earlier earlier{"", rate("prefill"), rate("decode")};
  if (earlier.prefill < 0 || earlier.decode < 0) {
    return corrupt(fmt::format("{} is no result of 'paring bench --json'", path),
                   "make one with: paring bench MODEL --json > FILE.json");
  }
  if (json.contains("model") && json["model"].is_string()) {
    earlier.model = json["model"].get<std::string>();
  }
  return earlier;
}

struct Report {
  const BenchFlags& flags;
  cost::Machine machine;
  cost::Probes probes;
  measure::BenchResult result;
  std::optional<measure::BatchResult> batch;
  std::optional<ProcessMemory> memory;
  std::optional<Earlier> earlier;
  std::string numerics;
  std::string kv_type;
};

// 0 for "no such figure".
double ratio(double now, double before) { return before > 0 ? now / before : 0; }

Json to_json(const Report& report) {
  Json json;
  json["model"] = report.flags.model;
  json["prefill"] = phase_json(report.result.prefill);
  json["decode"] = phase_json(report.result.decode);
  json["depth"] = report.flags.options.depth_tokens;
  if (report.batch) {
    json["batch"] = {{"sequences", report.batch->sequences},
                     {"shared_tokens", report.flags.options.shared_tokens},
                     {"prefill", phase_json(report.batch->prefill)},
                     {"decode", phase_json(report.batch->decode)},
                     {"gap_median_seconds", report.batch->gap_median_seconds},
                     {"gap_worst_seconds", report.batch->gap_worst_seconds}};
  }
  json["repetitions"] = report.flags.options.repetitions;
  json["memory"] = {{"weight_bytes", report.result.weight_bytes},
                    {"kv_bytes", report.result.kv_bytes},
                    {"buffer_bytes", report.result.buffer_bytes}};
  if (report.memory) json["memory"]["peak_resident_bytes"] = report.memory->peak_resident_bytes;
  json["limits"] = limits_json(report.probes);
  json["numerics"] = report.numerics;
  json["kv_type"] = report.kv_type;
  json["cpu"] = report.machine.cpu;
  json["isa"] = report.probes.isa;
  json["threads"] = report.probes.threads;
  json["version"] = version();
  json["commit"] = version_commit();
  if (report.earlier) {
    json["compare"] = {
        {"file", report.flags.compare_path},
        {"model", report.earlier->model},
        {"prefill_ratio", ratio(report.result.prefill.tokens_per_second, report.earlier->prefill)},
        {"decode_ratio", ratio(report.result.decode.tokens_per_second, report.earlier->decode)}};
  }
  return json;
}

// What was measured while something else took part of the machine.
std::vector<std::pair<std::string, std::string>> busy_notes(const Report& report) {
  std::vector<std::pair<std::string, double>> shares = {
      {"limits", report.probes.own_share},
      {"prefill", report.result.prefill.own_share},
      {"decode", report.result.decode.own_share}};
  if (report.batch) shares.emplace_back("together", report.batch->decode.own_share);
  std::vector<std::pair<std::string, std::string>> notes;
  for (const auto& [name, share] : shares) {
    const std::string note = cost::busy_note(share);
    if (!note.empty()) notes.emplace_back(name, note + "; repeat it when nothing else runs");
  }
  return notes;
}

std::string shared_text(const measure::BenchOptions& options) {
  if (options.shared_tokens == 0) return "";
  return fmt::format(", {} tokens of their prompts shared", options.shared_tokens);
}

std::string to_text(const Report& report) {
  Table table({{"phase"},
               {"tokens", Align::kRight},
               {"tokens/s", Align::kRight},
               {"limit here", Align::kRight},
               {"of limit", Align::kRight},
               {"read a token", Align::kRight},
               {"work a token", Align::kRight},
               {report.earlier ? "x earlier" : "", Align::kRight}});
  const auto add = [&](const std::string& name, const measure::PhaseSpeed& phase, double before) {
    if (phase.tokens == 0) return;
    table.add({name, std::to_string(phase.tokens), format_rate(phase.tokens_per_second),
               format_rate(phase.limit_tokens_per_second), format_percent(phase.limit_share),
               format_bytes(static_cast<std::uint64_t>(phase.bytes_per_token)),
               format_operations(phase.operations_per_token),
               before > 0 ? fmt::format("{:.3f}", phase.tokens_per_second / before) : ""});
  };
  add("prefill", report.result.prefill, report.earlier ? report.earlier->prefill : 0);
  add("decode", report.result.decode, report.earlier ? report.earlier->decode : 0);
  Facts facts;
  if (report.batch) {
    add("prefill, together", report.batch->prefill, 0);
    add("decode, together", report.batch->decode, 0);
    facts.add(
        "together",
        fmt::format("{} sequences{}; {:.2f} ms between tokens, {:.2f} ms at worst",
                    report.batch->sequences, shared_text(report.flags.options),
                    report.batch->gap_median_seconds * 1e3, report.batch->gap_worst_seconds * 1e3));
  }
  facts.add(
      "memory",
      fmt::format("weights {}, cache {}, buffers {}{}", format_bytes(report.result.weight_bytes),
                  format_bytes(report.result.kv_bytes), format_bytes(report.result.buffer_bytes),
                  report.memory
                      ? "; peak of the process " + format_bytes(report.memory->peak_resident_bytes)
                      : ""));
  facts.add(
      "machine",
      fmt::format("{}, {}, {}; reads {}/s, f32 {}/s, int8 {}/s", report.machine.label(),
                  counted(report.probes.threads, "thread"), report.probes.isa,
                  format_bytes(static_cast<std::uint64_t>(report.probes.read_bytes_per_second)),
                  format_operations(report.probes.f32_operations_per_second),
                  format_operations(report.probes.int8_operations_per_second)));
  facts.add("computed in",
            fmt::format("{} numerics, {} cache; {} repetitions, medians", report.numerics,
                        report.kv_type, report.flags.options.repetitions));
  for (const auto& [name, note] : busy_notes(report)) facts.add(name, note);
  facts.add("paring", fmt::format("{} ({})", version(), version_commit()));
  return table.render() + "\n" + facts.render();
}

Result<void> run(Context& context, const BenchFlags& flags) {
  if (!flags.versus.against.empty()) {
    return run_versus(context, flags.model, flags.versus, flags.is_json);
  }
  Report report{flags, {}, {}, {}, {}, {}, {}, numerics_name(context.numerics()), {}};
  if (!flags.compare_path.empty()) {
    PARING_TRY(report.earlier, read_earlier(flags.compare_path));
  }
  measure::BenchOptions options = flags.options;
  options.numerics = context.numerics();
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  options.kv_type = context.kv_type(file);
  report.kv_type = kernels::kv_type_name(options.kv_type);
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  const std::size_t longest =
      std::max(options.prefill_tokens, options.depth_tokens + options.decode_tokens) + 1;
  const measure::MemoryUse need = measure::run_memory(
      spec, 0,
      {.kv_type = options.kv_type, .context_tokens = longest, .threads = executor->threads()});
  // The probes' buffer is gone before the model is loaded, so that the peak is the model's.
  PARING_TRY(report.probes, cost::measure_probes(*executor));
  reset_peak_memory();
  PARING_TRY(const engine::LoadedModel model, context.load(flags.model, need.total()));
  const model::ModelView view(*model.model);
  PARING_TRY(report.result, measure::bench(view, *executor, report.probes, options));
  if (flags.sequences > 0) {
    PARING_TRY(report.batch,
               measure::bench_batch(view, *executor, report.probes, options, flags.sequences));
  }
  report.memory = process_memory();
  report.machine = cost::read_machine();
  if (flags.is_json) {
    context.output().write_json(to_json(report));
  } else {
    context.output().write(to_text(report));
  }
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<BenchFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder to time")
      ->required()
      ->type_name("");
  std::vector<CLI::Option*> alone;  // what a comparison has its cases for
  const auto add_count = [&](const char* name, std::size_t& target, const char* help,
                             std::size_t least) {
    alone.push_back(app.add_option(name, target, help)
                        ->capture_default_str()
                        ->check(CLI::Range(least, measure::kBenchTokensMax))
                        ->type_name("N"));
  };
  add_count("--prefill", flags->options.prefill_tokens, "Tokens of the prompt; 0: no prefill", 0);
  add_count("--decode", flags->options.decode_tokens, "Tokens made one by one; 0: none", 0);
  add_count("--depth", flags->options.depth_tokens, "Tokens in the cache before decoding", 0);
  add_count("--repetitions", flags->options.repetitions, "Runs; medians are printed", 1);
  alone.push_back(
      app.add_option("--sequences", flags->sequences,
                     "Times so many sequences together as well, each of --prefill and --decode "
                     "tokens")
          ->check(CLI::Range(std::size_t{1}, measure::kBenchSequencesMax))
          ->type_name("N"));
  alone.push_back(app.add_option("--shared-prefix", flags->options.shared_tokens,
                                 "Of --sequences: so many tokens of their prompts are the same, "
                                 "and cached before")
                      ->check(CLI::Range(std::size_t{1}, measure::kBenchTokensMax))
                      ->needs(alone.back())
                      ->type_name("N"));
  alone.push_back(
      app.add_option("--compare", flags->compare_path, "Result of an earlier bench --json")
          ->type_name("FILE"));
  add_versus_options(app, flags->versus, alone);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kBench;
const Command kBench{"bench", "Speed of both phases, with the share of this machine's limit",
                     "  paring bench model.gguf --threads 2 --prefill 512 --decode 128\n"
                     "  paring bench model.gguf --json > before.json\n"
                     "  paring bench small.gguf --compare before.json\n"
                     "  paring bench model.gguf --prefill 128 --decode 128 --sequences 8\n"
                     "  paring bench model.gguf --against llama.cpp --cases "
                     "prefill:512,decode:128\n",
                     /*is_hidden=*/false, define};

}  // namespace paring::cli
