// SPDX-License-Identifier: Apache-2.0
// paring export: a model as a folder in Hugging Face layout.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "base/text.h"
#include "cli/commands.h"
#include "engine/export.h"
#include "engine/open_model.h"

namespace paring::cli {

namespace {

struct ExportFlags {
  std::string model;
  std::string out;
  std::string type;
  std::uint64_t shard_bytes = model::kHfShardBytesMax;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool is_json = false;
};

Result<void> make_folder(const std::string& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (!failed) return {};
  return io_error(fmt::format("the folder '{}' cannot be made: {}", path, failed.message()));
}

// Hugging Face's folders hold no block types.
Result<DType> export_type(const std::string& name) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (ascii_upper(name) == dtype_name(type)) return type;
  }
  return invalid_argument(fmt::format("cannot export type '{}'", escape_control(name)),
                          "--type is F32, F16 or BF16; without it every value is kept exactly");
}

Result<void> run(Context& context, const ExportFlags& flags) {
  model::HfExportOptions options;
  options.shard_bytes_max = flags.shard_bytes;
  options.overwrite = flags.overwrite;
  if (!flags.type.empty()) {
    PARING_TRY(options.type, export_type(flags.type));
  }
  PARING_TRY(const std::string path, context.resolve(flags.model));
  PARING_TRY(const io::ModelFile file, engine::open_model(path));
  PARING_TRY_VOID(make_folder(flags.out));
  const OnInterrupt interrupted(
      "\nparing: stopped; the folder is not complete, its finished files stay; the same command "
      "with --force writes all of them\n");
  PARING_TRY(const engine::Exported exported,
             engine::export_model(file, flags.out, options, context.progress()));
  if (flags.is_json) {
    context.output().write_json({{"out", flags.out},
                                 {"files", exported.files},
                                 {"bytes", exported.bytes},
                                 {"tensors", file.tensors().size()}});
    return {};
  }
  context.output().write(fmt::format("{}: {} in {} files, {} tensors\n", flags.out,
                                     format_bytes(exported.bytes), exported.files.size(),
                                     file.tensors().size()));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<ExportFlags>();
  app.add_option("MODEL", flags->model, "GGUF file or Hugging Face folder")
      ->required()
      ->type_name("");
  app.add_option("--out", flags->out, "Folder to write into")->required()->type_name("FOLDER");
  app.add_option("--type", flags->type,
                 "F32, F16 or BF16 for all tensors; the default keeps every value exactly")
      ->type_name("TYPE");
  add_bytes_option(app, "--shard-size", flags->shard_bytes,
                   "Largest safetensors file, such as 2GB; the default is 5GB");
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kExport;
const Command kExport{"export", "Write a model as a Hugging Face folder",
                      "  paring export model.gguf --out model-folder --type BF16\n",
                      /*is_hidden=*/false, define};

}  // namespace paring::cli
