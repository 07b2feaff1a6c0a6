// SPDX-License-Identifier: Apache-2.0
#include "engine/open_model.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "engine/tokenizer_metadata.h"
#include "io/hf_folder.h"
#include "io/json_object.h"
#include "io/outline.h"
#include "io/printable.h"
#include "model/architecture.h"
#include "model/hf_outline.h"
#include "model/hf_translation.h"
#include "model/vectors.h"
#include "text/tokenizer_json.h"

namespace paring::engine {

namespace {

// The vocabulary that the embedding has rows for.
std::size_t embedding_rows(const io::ModelParts& parts) {
  for (const io::TensorInfo& tensor : parts.tensors) {
    if (tensor.name == "token_embd.weight") return static_cast<std::size_t>(tensor.rows());
  }
  return 0;
}

Result<void> put_hf_tokenizer(const io::HfFolder& folder, io::ModelParts& parts) {
  const io::TokenizerFiles& files = folder.tokenizer_files;
  if (files.tokenizer.bytes().empty()) {
    return not_found(fmt::format("'{}' holds no tokenizer.json", io::printable(folder.path)),
                     "save the tokenizer with a current version of transformers, which writes it");
  }
  auto config = text::read_tokenizer_config(files.config.text(), files.generation.text());
  if (!config) return std::move(config.error()).with_context(folder.path);
  auto spec = text::spec_of_tokenizer_json(files.tokenizer.text(), *config);
  if (!spec) return std::move(spec.error()).with_context(folder.path + "/tokenizer.json");
  if (embedding_rows(parts) > model::kVocabularyMax) {
    return corrupt(
        fmt::format("{}: the embedding has {} rows, the limit is {}", io::printable(folder.path),
                    embedding_rows(parts), model::kVocabularyMax),
        "the folder is damaged or was written by a faulty tool");
  }
  if (spec->tokens.size() < embedding_rows(parts)) {
    text::pad_vocabulary(*spec, embedding_rows(parts));
  }
  put_tokenizer(*spec, parts.metadata);
  const std::string& source =
      folder.chat_template.empty() ? config->chat_template : folder.chat_template;
  if (!source.empty()) {
    parts.metadata.set("tokenizer.chat_template", io::GgufValue::of_string(source));
  }
  return {};
}

Result<io::ModelFile> open_hf(const std::string& path) {
  PARING_TRY(io::HfFolder folder, io::HfFolder::open(path));
  PARING_TRY(io::ModelParts parts, model::translate_hf(folder));
  PARING_TRY_VOID(put_hf_tokenizer(folder, parts));
  parts.tokenizer_files = std::move(folder.tokenizer_files);
  return io::ModelFile(std::move(parts));
}

// What a BlockSpec needs to know of values.
constexpr const char* kValuedTensors[] = {model::kRopeFreqsName, model::kRopeLongName,
                                          model::kRopeShortName};

Result<io::ModelFile> outline_hf(io::HfFolder folder) {
  if (folder.tensors.empty()) PARING_TRY_VOID(model::imply_hf_tensors(folder));
  PARING_TRY(io::ModelParts parts, model::translate_hf(folder));
  return io::ModelFile(std::move(parts));
}

}  // namespace

Result<io::ModelFile> outline_model(io::FileSource& source, const std::string& file,
                                    const std::string& path) {
  if (file.empty()) {
    PARING_TRY(io::HfFolder folder, io::outline_hf_folder(source, path));
    return outline_hf(std::move(folder));
  }
  PARING_TRY(io::ModelParts parts, io::outline_gguf(source, file, kValuedTensors));
  parts.path = path;
  return io::ModelFile(std::move(parts));
}

Result<io::ModelFile> outline_config(const std::string& path) {
  PARING_TRY(const io::MappedFile map, io::MappedFile::open(path));
  PARING_TRY(io::HfFolder folder, io::outline_hf_config(map.text(), path));
  return outline_hf(std::move(folder));
}

Result<io::ModelFile> open_model(const std::string& path) {
  return with_damage_hint(io::is_hf_folder(path) ? open_hf(path) : io::ModelFile::open_gguf(path));
}

}  // namespace paring::engine
