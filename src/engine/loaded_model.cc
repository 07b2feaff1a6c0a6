// SPDX-License-Identifier: Apache-2.0
#include "engine/loaded_model.h"

#include <fmt/format.h>

#include "cost/memory_model.h"
#include "engine/open_model.h"

namespace paring::engine {

namespace {

Result<std::optional<std::int32_t>> read_token_id(const io::Metadata& metadata,
                                                  const std::string& key, std::size_t vocabulary) {
  if (!metadata.has(key)) return std::optional<std::int32_t>{};
  PARING_TRY(const std::uint64_t id, metadata.get_u64(key));
  if (id >= vocabulary) {
    return corrupt(fmt::format("{} is {}, the vocabulary has {} tokens", key, id, vocabulary));
  }
  return std::optional<std::int32_t>{static_cast<std::int32_t>(id)};
}

Result<text::TokenizerModel> read_tokenizer_model(const io::Metadata& metadata) {
  PARING_TRY(const std::string name, metadata.get_string("tokenizer.ggml.model"));
  if (name == "gpt2") return text::TokenizerModel::kBpe;
  if (name == "llama") return text::TokenizerModel::kUnigramSpm;
  if (name == "t5") return text::TokenizerModel::kUnigram;
  if (name == "bert") return text::TokenizerModel::kWordPiece;
  return unsupported(fmt::format("tokenizer.ggml.model is '{}', which is not known", name),
                     "known: gpt2");
}

}  // namespace

Result<text::TokenizerSpec> read_tokenizer_spec(const io::Metadata& metadata) {
  text::TokenizerSpec spec;
  PARING_TRY(spec.model, read_tokenizer_model(metadata));
  PARING_TRY(spec.pre_tokenizer, metadata.string_or("tokenizer.ggml.pre", "default"));
  PARING_TRY(const auto tokens, metadata.strings("tokenizer.ggml.tokens"));
  spec.tokens.assign(tokens.begin(), tokens.end());
  if (metadata.has("tokenizer.ggml.token_type")) {
    PARING_TRY(spec.token_types, metadata.i32_array("tokenizer.ggml.token_type"));
  }
  if (metadata.has("tokenizer.ggml.merges")) {
    PARING_TRY(const auto merges, metadata.strings("tokenizer.ggml.merges"));
    spec.merges.assign(merges.begin(), merges.end());
  }
  const std::size_t count = spec.tokens.size();
  PARING_TRY(spec.bos, read_token_id(metadata, "tokenizer.ggml.bos_token_id", count));
  PARING_TRY(spec.eos, read_token_id(metadata, "tokenizer.ggml.eos_token_id", count));
  PARING_TRY(spec.unk, read_token_id(metadata, "tokenizer.ggml.unknown_token_id", count));
  PARING_TRY(spec.pad, read_token_id(metadata, "tokenizer.ggml.padding_token_id", count));
  PARING_TRY(spec.eot, read_token_id(metadata, "tokenizer.ggml.eot_token_id", count));
  PARING_TRY(spec.add_bos, metadata.bool_or("tokenizer.ggml.add_bos_token", false));
  PARING_TRY(spec.add_eos, metadata.bool_or("tokenizer.ggml.add_eos_token", false));
  return spec;
}

std::uint64_t packed_weight_bytes(const io::ModelFile& file) {
  std::uint64_t bytes = 0;
  for (const io::TensorInfo& tensor : file.tensors()) bytes += tensor.bytes;
  return bytes;
}

Result<LoadedModel> LoadedModel::load(const std::string& path, Executor& executor,
                                      const LoadOptions& options) {
  PARING_TRY(io::ModelFile file, open_model(path));
  const std::uint64_t weights = packed_weight_bytes(file);
  PARING_TRY_VOID(cost::check_memory(weights + options.extra_bytes));
  LoadedModel loaded{path, std::move(file), nullptr, nullptr, nullptr, false};
  const io::Metadata& metadata = loaded.file.metadata();
  PARING_TRY(loaded.model, model::Model::load(loaded.file, executor));

  auto spec = read_tokenizer_spec(metadata);
  if (!spec) return std::move(spec.error()).with_context(path);
  loaded.add_bos = spec->add_bos;
  if (spec->tokens.size() != loaded.model->spec().vocabulary) {
    return corrupt(
        fmt::format("{}: tokenizer.ggml.tokens has {} entries, the embedding has {} rows", path,
                    spec->tokens.size(), loaded.model->spec().vocabulary));
  }
  auto tokenizer = text::Tokenizer::create(*spec);
  if (!tokenizer) return std::move(tokenizer.error()).with_context(path);
  loaded.tokenizer = std::move(tokenizer).value();

  if (metadata.has("tokenizer.chat_template")) {
    PARING_TRY(const std::string source, metadata.get_string("tokenizer.chat_template"));
    const auto name_of = [&](const std::optional<std::int32_t>& id) {
      return id ? spec->tokens[static_cast<std::size_t>(*id)] : std::string();
    };
    auto chat = text::ChatTemplate::create(source, name_of(spec->bos), name_of(spec->eos));
    if (!chat) return std::move(chat.error()).with_context(path + ": tokenizer.chat_template");
    loaded.chat_template = std::move(chat).value();
  }
  return loaded;
}

}  // namespace paring::engine
