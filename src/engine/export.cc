// SPDX-License-Identifier: Apache-2.0
#include "engine/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "engine/loaded_model.h"
#include "io/atomic_file.h"
#include "io/json_object.h"
#include "model/architecture.h"
#include "text/tokenizer_json.h"

namespace paring::engine {

namespace {

namespace fs = std::filesystem;

struct TextFile {
  const char* name;
  std::string text;
};

Result<std::vector<TextFile>> tokenizer_files(const io::ModelFile& file) {
  const io::Metadata& metadata = file.metadata();
  auto spec = read_tokenizer_spec(metadata);
  if (!spec) return std::move(spec.error()).with_context(file.path());
  PARING_TRY(const std::string source, metadata.string_or("tokenizer.chat_template", ""));
  auto json = text::tokenizer_json_of(*spec);
  if (!json) return std::move(json.error()).with_context(file.path() + ": the tokenizer");
  std::vector<TextFile> files = {
      {"tokenizer.json", std::move(*json)},
      {"tokenizer_config.json", text::tokenizer_config_json_of(*spec, source)}};
  PARING_TRY(const model::BlockSpec model, model::read_block_spec(file));
  if (model.encoder) return files;  // it generates nothing
  io::Metadata generation;
  if (spec->bos) generation.set("bos_token_id", io::GgufValue::of_i32(*spec->bos));
  if (spec->eos) generation.set("eos_token_id", io::GgufValue::of_i32(*spec->eos));
  if (spec->pad) generation.set("pad_token_id", io::GgufValue::of_i32(*spec->pad));
  files.push_back({"generation_config.json", io::json_object_text(generation)});
  return files;
}

// Files that a folder holds after the export, by name.
Result<Exported> list_files(const std::string& folder) {
  Exported exported;
  std::error_code failed;
  for (fs::recursive_directory_iterator entry(folder, failed);
       !failed && entry != fs::recursive_directory_iterator(); entry.increment(failed)) {
    if (!entry->is_regular_file(failed)) continue;
    exported.files.push_back(entry->path().lexically_relative(folder).string());
    exported.bytes += entry->file_size(failed);
  }
  if (failed) return io_error(fmt::format("'{}' cannot be listed: {}", folder, failed.message()));
  std::sort(exported.files.begin(), exported.files.end());
  return exported;
}

// Files of another model beside the new ones would be read as part of it.
Result<void> check_folder(const std::string& folder, io::Overwrite overwrite) {
  std::error_code failed;
  if (overwrite == io::Overwrite::kReplace || fs::is_empty(folder, failed)) return {};
  return invalid_argument(fmt::format("the folder '{}' is not empty", folder),
                          "choose another name, or allow overwriting with --force");
}

// Safetensors of an earlier export under other names.
Result<void> remove_stale(const std::string& folder) {
  std::error_code failed;
  std::vector<fs::path> stale;
  for (fs::directory_iterator entry(folder, failed); !failed && entry != fs::directory_iterator();
       entry.increment(failed)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("model") &&
        (name.ends_with(".safetensors") || name == "model.safetensors.index.json")) {
      stale.push_back(entry->path());
    }
  }
  for (const fs::path& path : stale) fs::remove(path, failed);
  if (failed) return io_error(fmt::format("'{}': {}", folder, failed.message()));
  return {};
}

}  // namespace

Result<Exported> export_model(const io::ModelFile& file, const std::string& folder,
                              const model::HfExportOptions& options, ProgressSink& progress) {
  std::error_code unknown;
  if (fs::equivalent(file.path(), folder, unknown)) {
    return invalid_argument(fmt::format("'{}' is the model's own folder", folder),
                            "export into another one");
  }
  PARING_TRY_VOID(check_folder(folder, options.overwrite));
  // What cannot be said is found out before anything is written.
  PARING_TRY(const std::vector<TextFile> texts, tokenizer_files(file));
  PARING_TRY([[maybe_unused]] const std::string config, model::hf_config_json(file, options));
  PARING_TRY_VOID(remove_stale(folder));
  PARING_TRY_VOID(model::export_hf(file, folder, options, progress));
  for (const TextFile& each : texts) {
    PARING_TRY_VOID(
        io::write_file((fs::path(folder) / each.name).string(), each.text, options.overwrite));
  }
  return list_files(folder);
}

}  // namespace paring::engine
