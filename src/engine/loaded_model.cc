// SPDX-License-Identifier: Apache-2.0
#include "engine/loaded_model.h"

#include <fmt/format.h>

#include "cost/memory_model.h"
#include "engine/open_model.h"
#include "model/architecture.h"
#include "text/tokenizer_json.h"

namespace paring::engine {

namespace {

Result<text::TokenizerModel> read_tokenizer_model(const io::Metadata& metadata) {
  PARING_TRY(const std::string name, metadata.get_string("tokenizer.ggml.model"));
  if (name == "gpt2") return text::TokenizerModel::kBpe;
  if (name == "llama") return text::TokenizerModel::kSpm;
  if (name == "t5") return text::TokenizerModel::kUnigram;
  if (name == "bert") return text::TokenizerModel::kWordPiece;
  return unsupported(fmt::format("tokenizer.ggml.model is '{}', which is not known", name),
                     "known: gpt2, llama, t5, bert");
}

constexpr std::int32_t kTokenTypeMax = 6;  // 0 undefined, 1 normal, ... 6 byte

Result<void> read_vocabulary(const io::Metadata& metadata, text::TokenizerSpec& spec) {
  PARING_TRY(const auto tokens, metadata.strings("tokenizer.ggml.tokens"));
  spec.tokens.assign(tokens.begin(), tokens.end());
  if (metadata.has("tokenizer.ggml.token_type")) {
    PARING_TRY(spec.token_types, metadata.i32_array("tokenizer.ggml.token_type"));
    for (const std::int32_t type : spec.token_types) {
      if (type >= 0 && type <= kTokenTypeMax) continue;
      return corrupt(fmt::format("tokenizer.ggml.token_type holds {}, known are 0 to {}", type,
                                 kTokenTypeMax));
    }
  }
  if (metadata.has("tokenizer.ggml.scores")) {
    PARING_TRY(spec.scores, metadata.f32_array("tokenizer.ggml.scores"));
  }
  if (metadata.has("tokenizer.ggml.merges")) {
    PARING_TRY(const auto merges, metadata.strings("tokenizer.ggml.merges"));
    spec.merges.assign(merges.begin(), merges.end());
  }
  if (metadata.has("tokenizer.ggml.precompiled_charsmap")) {
    PARING_TRY(const auto bytes, metadata.i32_array("tokenizer.ggml.precompiled_charsmap"));
    for (const std::int32_t byte : bytes) {
      if (byte < -128 || byte > 255) {
        return corrupt(
            fmt::format("tokenizer.ggml.precompiled_charsmap holds {}, which is no byte", byte));
      }
      spec.precompiled_charsmap.push_back(static_cast<char>(byte));
    }
  }
  return {};
}

// The default stays where the file has no key.
Result<void> read_special_ids(const io::Metadata& metadata, text::TokenizerSpec& spec) {
  const std::pair<const char*, std::optional<std::int32_t>*> keys[] = {
      {"tokenizer.ggml.bos_token_id", &spec.bos},
      {"tokenizer.ggml.eos_token_id", &spec.eos},
      {"tokenizer.ggml.eot_token_id", &spec.eot},
      {"tokenizer.ggml.unknown_token_id", &spec.unk},
      {"tokenizer.ggml.seperator_token_id", &spec.sep},  // spelled so in GGUF
      {"tokenizer.ggml.padding_token_id", &spec.pad},
      {"tokenizer.ggml.mask_token_id", &spec.mask}};
  for (const auto& [key, id] : keys) {
    if (!metadata.has(key)) continue;
    PARING_TRY(const std::uint64_t value, metadata.get_u64(key));
    if (value >= spec.tokens.size()) {
      return corrupt(
          fmt::format("{} is {}, the vocabulary has {} tokens", key, value, spec.tokens.size()));
    }
    *id = static_cast<std::int32_t>(value);
  }
  return {};
}

Result<void> read_flags(const io::Metadata& metadata, text::TokenizerSpec& spec) {
  const auto read = [&](const std::string& name, bool& flag) -> Result<void> {
    PARING_TRY(flag, metadata.bool_or("tokenizer.ggml." + name, flag));
    return {};
  };
  PARING_TRY_VOID(read("add_bos_token", spec.add_bos));
  PARING_TRY_VOID(read("add_eos_token", spec.add_eos));
  // A default is for the usual special tokens; without them there is nothing to add.
  if (!metadata.has("tokenizer.ggml.add_bos_token")) spec.add_bos = spec.add_bos && spec.bos;
  if (!metadata.has("tokenizer.ggml.add_eos_token")) spec.add_eos = spec.add_eos && spec.eos;
  PARING_TRY_VOID(read("add_space_prefix", spec.add_space_prefix));
  PARING_TRY_VOID(read("remove_extra_whitespaces", spec.remove_extra_whitespaces));
  PARING_TRY_VOID(read("normalizer.lowercase", spec.lowercase));
  spec.strip_accents = spec.lowercase;
  PARING_TRY_VOID(read("normalizer.strip_accents", spec.strip_accents));
  return {};
}

}  // namespace

Result<text::TokenizerSpec> read_tokenizer_spec(const io::Metadata& metadata) {
  PARING_TRY(const text::TokenizerModel model, read_tokenizer_model(metadata));
  PARING_TRY(const std::string pre, metadata.string_or("tokenizer.ggml.pre", "default"));
  text::TokenizerSpec spec = text::default_spec(model, pre);
  PARING_TRY_VOID(read_vocabulary(metadata, spec));
  text::drop_missing_ids(spec);
  PARING_TRY_VOID(read_special_ids(metadata, spec));
  PARING_TRY_VOID(read_flags(metadata, spec));
  PARING_TRY(const std::string name, metadata.string_or("general.name", ""));
  PARING_TRY(const std::string architecture, metadata.string_or("general.architecture", ""));
  text::add_strip_rules(spec, name, architecture);
  return spec;
}

namespace {

// A folder's own tokenizer.json where there is one: GGUF's form of it leaves out what llama.cpp
// does not know.
Result<std::shared_ptr<const text::Tokenizer>> make_tokenizer(const io::ModelFile& file,
                                                              const text::TokenizerSpec& spec) {
  const io::TokenizerFiles& files = file.tokenizer_files();
  if (files.tokenizer.bytes().empty()) return text::Tokenizer::create(spec);
  PARING_TRY(const text::TokenizerConfig config,
             text::read_tokenizer_config(files.config.text(), files.generation.text()));
  return text::Tokenizer::create_from_json(files.tokenizer.text(), config);
}

}  // namespace

kernels::KvType served_kv_type(const io::ModelFile& file) {
  std::uint64_t in_blocks = 0;
  for (const io::TensorInfo& tensor : file.tensors()) {
    if (dtype_info(tensor.type).block_values > 1) in_blocks += tensor.bytes;
  }
  return 2 * in_blocks > packed_weight_bytes(file) ? kernels::KvType::kQ8 : kernels::KvType::kF16;
}

std::uint64_t packed_weight_bytes(const io::ModelFile& file) {
  std::uint64_t bytes = 0;
  for (const io::TensorInfo& tensor : file.tensors()) bytes += tensor.bytes;
  return bytes;
}

namespace {

Result<void> check_kind(const io::ModelFile& file, ModelKind kind) {
  if (kind == ModelKind::kAny) return {};
  PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
  if (spec.encoder.has_value() == (kind == ModelKind::kEncoder)) return {};
  if (spec.encoder) {
    return invalid_argument(
        fmt::format("{} is an encoder ({}), it has no next token", file.path(), spec.architecture),
        "'paring embed', 'rerank', 'classify', 'eval', 'quantize', 'export' and 'inspect' take "
        "encoders");
  }
  return invalid_argument(fmt::format("{} is a decoder ({})", file.path(), spec.architecture),
                          "embeddings, reranking and classification need an encoder such as BERT");
}

Result<LoadedModel> load_file(const std::string& path, Executor& executor,
                              const LoadOptions& options) {
  PARING_TRY(io::ModelFile file, open_model(path));
  PARING_TRY_VOID(check_kind(file, options.kind));
  const std::uint64_t weights = packed_weight_bytes(file);
  PARING_TRY_VOID(cost::check_memory(weights + options.extra_bytes));
  LoadedModel loaded{path, std::move(file), nullptr, nullptr, nullptr, false, {}};
  const io::Metadata& metadata = loaded.file.metadata();
  PARING_TRY(loaded.model, model::Model::load(loaded.file, executor));
  PARING_TRY_VOID(loaded.file.check_unchanged());
  if (options.locks_memory) PARING_TRY_VOID(loaded.model->lock_matrices());

  auto spec = read_tokenizer_spec(metadata);
  if (!spec) return std::move(spec.error()).with_context(path);
  loaded.add_bos = spec->add_bos;
  if (spec->tokens.size() != loaded.model->spec().vocabulary) {
    return corrupt(
        fmt::format("{}: tokenizer.ggml.tokens has {} entries, the embedding has {} rows", path,
                    spec->tokens.size(), loaded.model->spec().vocabulary));
  }
  auto tokenizer = make_tokenizer(loaded.file, *spec);
  if (!tokenizer) return std::move(tokenizer.error()).with_context(path);
  loaded.tokenizer = std::move(tokenizer).value();

  if (metadata.has("tokenizer.chat_template")) {
    PARING_TRY(const std::string source, metadata.get_string("tokenizer.chat_template"));
    const auto name_of = [&](const std::optional<std::int32_t>& id) {
      return id ? spec->tokens[static_cast<std::size_t>(*id)] : std::string();
    };
    auto chat = text::ChatTemplate::create(source, name_of(spec->bos), name_of(spec->eos));
    if (chat) {
      loaded.chat_template = std::move(chat).value();
    } else {
      loaded.chat_template_error =
          std::move(chat.error()).with_context(path + ": tokenizer.chat_template");
    }
  }
  return loaded;
}

}  // namespace

Result<LoadedModel> LoadedModel::load(const std::string& path, Executor& executor,
                                      const LoadOptions& options) {
  return with_damage_hint(load_file(path, executor, options));
}

}  // namespace paring::engine
