// SPDX-License-Identifier: Apache-2.0
// paring inspect: what a model file holds and what it would need.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/inspection.h"
#include "engine/open_model.h"

namespace paring::cli {

namespace {

struct InspectFlags {
  std::string model;
  bool lists_tensors = false;
  bool is_json = false;
};

Result<void> run(Context& context, const InspectFlags& flags) {
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  const auto threads = static_cast<std::size_t>(context.settings().threads);
  PARING_TRY(const Inspection found,
             inspect_file(file, {.kv_type = context.kv_type(),
                                 .context_tokens = context.settings().context_tokens,
                                 .threads = threads == 0 ? usable_cores() : threads}));
  if (flags.is_json) {
    Json json = inspection_json(found);
    if (flags.lists_tensors) json["tensors"] = tensors_json(file);
    context.output().write_json(json);
    return {};
  }
  context.output().write(inspection_text(found));
  if (flags.lists_tensors) context.output().write("\n" + tensors_text(file));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<InspectFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("");
  app.add_flag("--tensors", flags->lists_tensors, "List every tensor");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kInspect;
const Command kInspect{"inspect", "What a model file holds and what it needs to run",
                       "  paring inspect model.gguf\n"
                       "  paring inspect model.gguf --tensors --context 8192\n",
                       /*is_hidden=*/false, define};

}  // namespace paring::cli
