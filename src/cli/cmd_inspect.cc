// SPDX-License-Identifier: Apache-2.0
// paring inspect: what a model file holds and what it would need.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/inspection.h"
#include "cli/planning.h"
#include "engine/open_model.h"
#include "hub/pull.h"
#include "hub/remote_files.h"

namespace paring::cli {

namespace {

constexpr double kParametersMax = 1e15;

struct InspectFlags {
  std::string model;
  double parameters = 0;
  std::uint64_t memory_bytes = 0;
  std::string gpu;
  bool predicts = false;
  bool lists_tensors = false;
  bool is_json = false;
};

Result<PlanQuestions> questions_of(Context& context, const InspectFlags& flags) {
  PlanQuestions questions;
  questions.memory_bytes = flags.memory_bytes;
  if (!flags.gpu.empty()) {
    PARING_TRY(Gpu gpu, parse_gpu(flags.gpu));
    questions.gpu = std::move(gpu);
  }
  if (flags.predicts) {
    PARING_TRY(Executor * executor, context.executor());
    PARING_TRY(questions.machine, cost::measure_probes(*executor));
  }
  return questions;
}

// A model that is known by its size alone.
Result<void> run_parameters(Context& context, const InspectFlags& flags,
                            const PlanQuestions& questions) {
  if (!(flags.parameters >= 1) || flags.parameters > kParametersMax) {
    return invalid_argument(fmt::format("--params is {}", flags.parameters),
                            fmt::format("a number from 1 to {:g}, such as 175e9", kParametersMax));
  }
  const std::vector<WeightsRow> rows = weights_table(flags.parameters, questions);
  if (flags.is_json) {
    context.output().write_json(weights_json(flags.parameters, rows, questions));
  } else {
    context.output().write(weights_text(flags.parameters, rows, questions));
  }
  return {};
}

struct Opened {
  io::ModelFile file;
  std::string origin;
  std::uint64_t fetched_bytes = 0;
};

// A name on the hub that the cache does not hold: its headers are enough.
Result<Opened> open_remote(const std::string& text) {
  PARING_TRY(const hub::HubName name, hub::parse_hub_name(text));
  PARING_TRY(const hub::HubSettings settings, hub::read_hub_settings(environ));
  if (const auto path = hub::find_in_cache(name, hub::HubContent::kModel, settings)) {
    PARING_TRY(io::ModelFile file, engine::open_model(*path));
    return Opened{std::move(file), "file"};
  }
  PARING_TRY(hub::RemoteFiles files, hub::RemoteFiles::open(name, settings));
  PARING_TRY(const hub::HubSelection chosen, hub::select_outline(files.listing(), name));
  PARING_TRY(io::ModelFile file, engine::outline_model(files, chosen.entry, name.text()));
  const bool has_tensors = !chosen.files.empty();
  return Opened{std::move(file), has_tensors ? "headers" : "config", files.fetched_bytes()};
}

Result<Opened> open_any(Context& context, const std::string& text) {
  std::error_code unknown;
  const bool is_here = std::filesystem::exists(text, unknown);
  if (hub::is_hub_name(text) && !is_here) return open_remote(text);
  if (is_here && std::filesystem::path(text).extension() == ".json") {
    PARING_TRY(io::ModelFile file, engine::outline_config(text));
    return Opened{std::move(file), "config"};
  }
  PARING_TRY(const std::string path, context.resolve(text));
  PARING_TRY(io::ModelFile file, engine::open_model(path));
  return Opened{std::move(file), "file"};
}

Result<void> run(Context& context, const InspectFlags& flags) {
  if (flags.model.empty() == (flags.parameters == 0)) {
    return invalid_argument(
        "give either MODEL or --params",
        "for example 'paring inspect --params 175e9'; 'paring inspect --help' lists "
        "what it takes");
  }
  PARING_TRY(const PlanQuestions questions, questions_of(context, flags));
  if (flags.model.empty()) return run_parameters(context, flags, questions);
  PARING_TRY(const Opened opened, open_any(context, flags.model));
  const io::ModelFile& file = opened.file;
  const auto threads = static_cast<std::size_t>(context.settings().threads);
  PARING_TRY(Inspection found,
             inspect_file(file, {.kv_type = context.kv_type(file),
                                 .context_tokens = context.settings().context_tokens,
                                 .threads = threads == 0 ? usable_cores() : threads}));
  found.numerics = context.numerics();
  found.origin = opened.origin;
  found.fetched_bytes = opened.fetched_bytes;
  const bool is_asked = questions.memory_bytes != 0 || questions.gpu || questions.machine;
  if (is_asked && !found.spec) return unsupported(found.unsupported);
  if (is_asked && found.spec->encoder) {
    return invalid_argument(fmt::format("{} is an encoder", file.path()),
                            "--memory, --gpu and --predict plan for models that generate text");
  }
  const Plan plan = is_asked ? make_plan(file, found, questions) : Plan{};
  if (flags.is_json) {
    Json json = inspection_json(found);
    if (is_asked) json["plan"] = plan_json(plan, questions, found);
    if (flags.lists_tensors) json["tensors"] = tensors_json(file);
    context.output().write_json(json);
    return {};
  }
  context.output().write(inspection_text(found));
  if (is_asked) context.output().write("\n" + plan_text(plan, questions, found));
  if (flags.lists_tensors) context.output().write("\n" + tensors_text(file));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  app.add_option(
         "MODEL", flags->model,
         "GGUF file, Hugging Face folder, config.json, or a name on the hub, of which the headers "
         "are enough")
      ->type_name("");
  const auto check_parameters = [](const std::string& text) {
    const Result<double> count = parse_count(text);
    if (!count) return count.error().text();
    if (*count >= 1 && *count <= kParametersMax) return std::string();
    return fmt::format("'{}' is not a number from 1 to {:g}", escape_control(text), kParametersMax);
  };
  app.add_option_function<std::string>(
         "--params",
         [flags](const std::string& text) {
           if (const Result<double> count = parse_count(text)) flags->parameters = *count;
         },
         "Instead of MODEL: so many parameters, such as 7B, 1.5B or 175e9")
      ->check(CLI::Validator(check_parameters, ""))
      ->type_name("N");
  add_bytes_option(app, "--memory", flags->memory_bytes, "Longest context in this much memory");
  app.add_option("--gpu", flags->gpu, "What fits a GPU: its memory, or a name such as RTX4090")
      ->type_name("");
  app.add_flag("--predict", flags->predicts, "Speed that this machine's measured limits allow");
  app.add_flag("--tensors", flags->lists_tensors, "List every tensor");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kInspect;
const Command kInspect{"inspect", "What a model file holds and what it needs to run",
                       "  paring inspect model.gguf\n"
                       "  paring inspect hf:Qwen/Qwen2.5-7B-Instruct --memory 16GB\n"
                       "  paring inspect model.gguf --tensors --context 8192\n"
                       "  paring inspect model.gguf --memory 8GB --gpu RTX4090 --predict\n"
                       "  paring inspect --params 7B --memory 8GB\n"
                       "  paring inspect --params 175e9 --gpu 80GB\n",
                       /*is_hidden=*/false, define};

}  // namespace paring::cli
