// SPDX-License-Identifier: Apache-2.0
#include "cli/versus_bench.h"

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/versus_report.h"
#include "engine/open_model.h"
#include "measure/memory.h"
#include "measure/versus/peer_setup.h"
#include "measure/versus/versus.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

constexpr std::size_t kPairsMax = 999;

// The other engines read GGUF files only.
Result<void> check_file(const std::string& path, const std::string& engine,
                        const io::ModelFile& file) {
  if (file.layout().starts_with("GGUF")) return {};
  return unsupported("'" + path + "' is no GGUF file, and " + engine + " reads nothing else",
                     "paring export or quantize make GGUF files of folders");
}

// Of the longest cases: what is needed beside the weights.
std::size_t need_of(const model::BlockSpec& spec, kernels::KvType kv_type, std::size_t threads,
                    const std::vector<measure::SpeedCase>& cases) {
  std::size_t most = 0;
  for (const measure::SpeedCase& c : cases) {
    const std::size_t tokens = c.sequences * (c.length() + kernels::kPageTokens);
    most = std::max(most,
                    measure::run_memory(
                        spec, 0, {.kv_type = kv_type, .context_tokens = tokens, .threads = threads})
                        .total());
  }
  return most;
}

}  // namespace

void add_versus_options(CLI::App& app, VersusFlags& flags, const std::vector<CLI::Option*>& alone) {
  std::vector<std::string> engines;
  for (const measure::PeerPackage& package : measure::peer_packages()) {
    engines.emplace_back(package.engine);
  }
  CLI::Option* against =
      app.add_option("--against", flags.against,
                     "Compares the speed with that of another engine, in turns, each at its best "
                     "settings (--peer-python names an interpreter that has its package)")
          ->check(CLI::IsMember(engines))
          ->type_name("ENGINE");
  for (CLI::Option* option : alone) against->excludes(option);
  app.add_option("--cases", flags.cases,
                 "What is compared: prefill:N, decode:N, decode:N@DEPTH, together:SEQUENCESxN+N; "
                 "separated by commas")
      ->needs(against)
      ->type_name("LIST");
  app.add_option("--pairs", flags.pairs, "Turns of both; ratios are medians of so many pairs")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, kPairsMax))
      ->needs(against)
      ->type_name("N");
  app.add_option("--search", flags.search_seconds,
                 "Seconds for each case to find the other engine's fastest flags")
      ->capture_default_str()
      ->check(number_between(0, 86'400))
      ->needs(against)
      ->type_name("SECONDS");
  app.add_option("--peer-timeout", flags.peer_timeout_seconds,
                 "Seconds after which a request that the other engine has not answered is given up")
      ->capture_default_str()
      ->check(number_between(0.1, 86'400))
      ->needs(against)
      ->type_name("SECONDS");
  app.add_option("--markdown", flags.markdown_path, "Writes the comparison as Markdown, too")
      ->needs(against)
      ->type_name("FILE");
  add_force_flag(app, flags.overwrite);
}

Result<void> run_versus(Context& context, const std::string& name, const VersusFlags& flags,
                        bool is_json) {
  VersusReport report;
  report.model = name;
  if (!flags.cases.empty()) {
    PARING_TRY(report.options.cases, measure::parse_cases(flags.cases));
  }
  if (!flags.markdown_path.empty()) {
    PARING_TRY_VOID(check_can_write(flags.markdown_path, flags.overwrite));
  }
  report.options.pairs = flags.pairs;
  report.options.search_seconds = flags.search_seconds;
  report.options.numerics = context.numerics();
  PARING_TRY(Executor * executor, context.executor());
  PARING_TRY(const std::string path, context.resolve(name));
  if (!flags.markdown_path.empty()) {
    PARING_TRY_VOID(check_different("--markdown", flags.markdown_path, "MODEL", path));
  }
  std::size_t need = 0;
  {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    PARING_TRY_VOID(check_file(path, flags.against, file));
    report.options.kv_type = context.kv_type(file);
    PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
    need = need_of(spec, report.options.kv_type, executor->threads(), report.options.cases);
    report.model_bytes = file.file_bytes();
  }
  const std::string& python = context.settings().peer_python;
  PARING_TRY(const measure::PeerCommand command,
             measure::peer_command({.engine = flags.against,
                                    .python = python == "auto" ? "" : python,
                                    .timeout_seconds = flags.peer_timeout_seconds},
                                   context.progress()));
  PARING_TRY(const auto peer, measure::Peer::start(command));
  report.peer = peer->identity();
  report.machine = cost::read_machine();
  PARING_TRY(report.probes, cost::measure_probes(*executor));
  PARING_TRY(const engine::LoadedModel model, context.load(name, need));
  PARING_TRY(report.result, measure::compare_speed(model, *executor, report.probes, *peer,
                                                   report.options, context.progress()));
  if (!flags.markdown_path.empty()) {
    PARING_TRY_VOID(io::write_file(flags.markdown_path, versus_markdown(report), flags.overwrite));
  }
  if (is_json) {
    context.output().write_json(versus_json(report));
  } else {
    context.output().write(versus_text(report));
  }
  return {};
}

}  // namespace paring::cli
