// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer_metadata.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace paring::engine {

namespace {

using io::GgufValue;
using text::TokenizerModel;

const char* model_name(TokenizerModel model) {
  switch (model) {
    case TokenizerModel::kBpe:
      return "gpt2";
    case TokenizerModel::kSpm:
      return "llama";
    case TokenizerModel::kUnigram:
      return "t5";
    case TokenizerModel::kWordPiece:
      break;
  }
  return "bert";
}

GgufValue bytes_value(const std::string& bytes) {
  std::vector<std::uint64_t> items;
  items.reserve(bytes.size());
  for (const char byte : bytes) items.push_back(static_cast<unsigned char>(byte));
  return {io::GgufValueType::kArray, io::GgufArray{io::GgufValueType::kU8, std::move(items)}};
}

void put_ids(const text::TokenizerSpec& spec, io::Metadata& metadata) {
  const std::pair<const char*, std::optional<std::int32_t>> ids[] = {
      {"bos_token_id", spec.bos},     {"eos_token_id", spec.eos},       {"eot_token_id", spec.eot},
      {"unknown_token_id", spec.unk}, {"seperator_token_id", spec.sep},  // spelled so in GGUF
      {"padding_token_id", spec.pad}, {"mask_token_id", spec.mask}};
  for (const auto& [name, id] : ids) {
    if (!id) continue;
    metadata.set(std::string("tokenizer.ggml.") + name,
                 GgufValue::of_u32(static_cast<std::uint32_t>(*id)));
  }
}

}  // namespace

void put_tokenizer(const text::TokenizerSpec& spec, io::Metadata& metadata) {
  const auto put = [&](const char* name, GgufValue value) {
    metadata.set(std::string("tokenizer.ggml.") + name, std::move(value));
  };
  put("model", GgufValue::of_string(model_name(spec.model)));
  put("pre", GgufValue::of_string(spec.pre_tokenizer.empty() ? "default" : spec.pre_tokenizer));
  put("tokens", GgufValue::of_strings(spec.tokens));
  if (!spec.scores.empty()) put("scores", GgufValue::of_f32_array(spec.scores));
  if (!spec.token_types.empty()) put("token_type", GgufValue::of_i32_array(spec.token_types));
  // llama.cpp asks for the key even when there are none.
  if (spec.model == TokenizerModel::kBpe) put("merges", GgufValue::of_strings(spec.merges));
  put_ids(spec, metadata);
  put("add_bos_token", GgufValue::of_bool(spec.add_bos));
  put("add_eos_token", GgufValue::of_bool(spec.add_eos));
  if (spec.model == TokenizerModel::kSpm || spec.model == TokenizerModel::kUnigram) {
    put("add_space_prefix", GgufValue::of_bool(spec.add_space_prefix));
  }
  if (spec.model == TokenizerModel::kUnigram) {
    put("remove_extra_whitespaces", GgufValue::of_bool(spec.remove_extra_whitespaces));
    if (!spec.precompiled_charsmap.empty()) {
      put("precompiled_charsmap", bytes_value(spec.precompiled_charsmap));
    }
  }
  if (spec.model == TokenizerModel::kWordPiece) {
    put("normalizer.lowercase", GgufValue::of_bool(spec.lowercase));
    put("normalizer.strip_accents", GgufValue::of_bool(spec.strip_accents));
  }
}

}  // namespace paring::engine
