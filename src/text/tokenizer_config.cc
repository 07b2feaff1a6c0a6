// SPDX-License-Identifier: Apache-2.0
// tokenizer_config.json and generation_config.json.
#include <nlohmann/json.hpp>

#include "text/tokenizer_file.h"
#include "text/tokenizer_json.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kConfigBytesMax = std::size_t{1} << 25;  // old Llama 3 files list all tokens

Result<Json> parsed(std::string_view json, const char* name) {
  if (json.empty()) return Json::object();
  PARING_TRY_VOID(check_json_limits(
      json, name, {.bytes_max = kConfigBytesMax, .depth_max = kTokenizerJsonDepthMax}));
  Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!value.is_object()) return corrupt(std::string(name) + " is not a JSON object");
  return value;
}

// "text" or {"content": "text", ...}; null and absent mean that there is none.
Result<std::optional<std::string>> token_text(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::optional<std::string>();
  const Json& value =
      found->is_object() && found->contains("content") ? found->at("content") : *found;
  if (!value.is_string()) {
    return corrupt(std::string("tokenizer_config.json: ") + key + " is not the text of a token");
  }
  return std::optional(value.get<std::string>());
}

// One template, or [{"name": ..., "template": ...}], of which "default" counts.
Result<std::string> template_text(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& row : *found) {
      if (!row.is_object() || row.value("name", Json()) != "default") continue;
      if (const auto text = row.find("template"); text != row.end() && text->is_string()) {
        return text->get<std::string>();
      }
    }
  }
  return corrupt(
      "tokenizer_config.json: chat_template is neither a text nor a list with one named "
      "default");
}

Result<std::vector<std::int32_t>> end_ids(const Json& config) {
  std::vector<std::int32_t> ids;
  const auto found = config.find("eos_token_id");
  if (found == config.end() || found->is_null()) return ids;
  const Json list = found->is_array() ? *found : Json::array({*found});
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kVocabTokensMax) {
      return corrupt("generation_config.json: eos_token_id " + id.dump().substr(0, 32) +
                     " is not a token id");
    }
    ids.push_back(static_cast<std::int32_t>(id.get<std::uint64_t>()));
  }
  return ids;
}

}  // namespace

Result<TokenizerConfig> read_tokenizer_config(std::string_view config_json,
                                              std::string_view generation_json) {
  PARING_TRY(const Json config, parsed(config_json, "tokenizer_config.json"));
  PARING_TRY(const Json generation, parsed(generation_json, "generation_config.json"));
  TokenizerConfig read;
  PARING_TRY(read.bos, token_text(config, "bos_token"));
  PARING_TRY(read.eos, token_text(config, "eos_token"));
  PARING_TRY(read.unk, token_text(config, "unk_token"));
  PARING_TRY(read.sep, token_text(config, "sep_token"));
  PARING_TRY(read.cls, token_text(config, "cls_token"));
  PARING_TRY(read.pad, token_text(config, "pad_token"));
  PARING_TRY(read.mask, token_text(config, "mask_token"));
  PARING_TRY(read.chat_template, template_text(config));
  PARING_TRY(read.end_ids, end_ids(generation));
  return read;
}

std::string tokenizer_config_json_of(const TokenizerSpec& spec, std::string_view chat_template) {
  nlohmann::ordered_json config;
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config["clean_up_tokenization_spaces"] = false;
  const auto put = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) config[key] = spec.tokens[static_cast<std::size_t>(*id)];
  };
  const bool is_bert = spec.model == TokenizerModel::kWordPiece;
  put(is_bert ? "cls_token" : "bos_token", spec.bos);
  put("eos_token", spec.eos);
  put("unk_token", spec.unk);
  put("sep_token", spec.sep);
  put("pad_token", spec.pad);
  put("mask_token", spec.mask);
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  return config.dump(2) + "\n";
}

}  // namespace paring::text
