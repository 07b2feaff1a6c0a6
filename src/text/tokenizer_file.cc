// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

Error broken(const std::string& what) { return corrupt("tokenizer.json: " + what); }

std::string text_field(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
bool flag_field(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

Result<std::int32_t> token_id(const Json& value) {
  if (value.is_number_integer()) {
    const auto id = value.is_number_unsigned() ? static_cast<std::int64_t>(std::min<std::uint64_t>(
                                                     value.get<std::uint64_t>(), INT64_MAX))
                                               : value.get<std::int64_t>();
    if (id >= 0 && std::cmp_less(id, kVocabTokensMax)) return static_cast<std::int32_t>(id);
  }
  return broken("token id " + value.dump().substr(0, 32) + " is not between 0 and " +
                std::to_string(kVocabTokensMax - 1));
}

Result<void> name_token(TokenizerFile& file, std::int32_t id, const std::string& text) {
  const auto at = static_cast<std::size_t>(id);
  if (text.size() > kTokenBytesMax) {
    return broken("token " + std::to_string(id) + " has " + std::to_string(text.size()) +
                  " bytes, the limit is " + std::to_string(kTokenBytesMax));
  }
  if (at >= file.tokens.size()) {
    file.tokens.resize(at + 1);
    file.is_named.resize(at + 1);
  }
  if (file.is_named[at] && file.tokens[at] != text) {
    return broken("id " + std::to_string(id) + " has the two tokens \"" + file.tokens[at] +
                  "\" and \"" + text + "\"");
  }
  file.tokens[at] = text;
  file.is_named[at] = true;
  return {};
}

// {"text": id, ...}, or for Unigram [["text", score], ...].
Result<void> read_vocabulary(const Json& vocab, TokenizerFile& file) {
  if (vocab.size() > kVocabTokensMax) {
    return broken("the vocabulary has " + std::to_string(vocab.size()) + " tokens, the limit is " +
                  std::to_string(kVocabTokensMax));
  }
  if (vocab.is_object()) {
    for (const auto& [text, value] : vocab.items()) {
      PARING_TRY(const std::int32_t id, token_id(value));
      PARING_TRY_VOID(name_token(file, id, text));
    }
    return {};
  }
  if (!vocab.is_array()) return broken("model.vocab is neither an object nor a list");
  for (const Json& row : vocab) {
    if (!row.is_array() || row.size() != 2 || !row[0].is_string() || !row[1].is_number()) {
      return broken("a row of model.vocab is not a text and a score");
    }
    PARING_TRY_VOID(
        name_token(file, static_cast<std::int32_t>(file.scores.size()), row[0].get<std::string>()));
    file.scores.push_back(row[1].get<double>());
  }
  return {};
}

// "left right", or ["left", "right"] where a part may hold a space.
Result<void> read_merges(const Json& merges, TokenizerFile& file) {
  if (!merges.is_array() || merges.size() > kMergesMax) {
    return broken("model.merges is not a list of at most " + std::to_string(kMergesMax));
  }
  file.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      file.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
    const std::size_t blank = text.find(' ');
    if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos) {
      return broken("merge " + std::to_string(file.merges.size()) + " is not a pair of texts");
    }
    file.merges.emplace_back(text.substr(0, blank), text.substr(blank + 1));
  }
  return {};
}

Result<void> read_model(const Json& model, TokenizerFile& file) {
  if (!model.is_object() || !model.contains("vocab")) return broken("it has no model.vocab");
  file.model = text_field(model, "type");
  // Files of old versions name no type; what they hold tells it.
  if (file.model.empty() && model.contains("merges")) file.model = "BPE";
  if (file.model.empty() && model["vocab"].is_array()) file.model = "Unigram";
  if (file.model.empty() && model.contains("continuing_subword_prefix")) file.model = "WordPiece";
  PARING_TRY_VOID(read_vocabulary(model["vocab"], file));
  if (model.contains("merges")) PARING_TRY_VOID(read_merges(model["merges"], file));
  file.byte_fallback = flag_field(model, "byte_fallback");
  file.ignore_merges = flag_field(model, "ignore_merges");
  file.has_dropout = model.contains("dropout") && !model["dropout"].is_null();
  file.end_of_word_suffix = text_field(model, "end_of_word_suffix");
  file.is_in_model = file.is_named;
  file.continuing_prefix = text_field(model, "continuing_subword_prefix");
  if (model.contains("unk_id") && !model["unk_id"].is_null()) {
    PARING_TRY(file.unknown, token_id(model["unk_id"]));
  } else if (const std::string unknown = text_field(model, "unk_token"); !unknown.empty()) {
    file.unknown = file.find(unknown);
  }
  return {};
}

Result<void> read_added(const Json& list, TokenizerFile& file) {
  if (!list.is_array()) return broken("added_tokens is not a list");
  for (const Json& row : list) {
    if (!row.is_object() || !row.contains("id")) return broken("an added token has no id");
    AddedToken token;
    PARING_TRY(token.id, token_id(row["id"]));
    token.content = text_field(row, "content");
    token.is_special = flag_field(row, "special");
    token.is_normalized = flag_field(row, "normalized");
    token.strips_left = flag_field(row, "lstrip");
    token.strips_right = flag_field(row, "rstrip");
    token.is_single_word = flag_field(row, "single_word");
    PARING_TRY_VOID(name_token(file, token.id, token.content));
    file.added.push_back(std::move(token));
  }
  return {};
}

// Flattens sequences, whose items lie under a key of their own for each part.
void read_steps(const Json& file, const char* key, std::vector<PipelineStep>& steps) {
  const auto found = file.find(key);
  if (found == file.end() || !found->is_object()) return;
  if (text_field(*found, "type") == "Sequence") {
    for (const char* items : {"normalizers", "pretokenizers", "processors", "decoders"}) {
      if (!found->contains(items) || !(*found)[items].is_array()) continue;
      for (const Json& item : (*found)[items]) read_steps({{"item", item}}, "item", steps);
    }
    return;
  }
  Json fields = *found;
  fields.erase("type");
  steps.push_back({text_field(*found, "type"), fields.dump()});
}

}  // namespace

std::optional<std::int32_t> TokenizerFile::find(std::string_view token) const {
  const auto found = std::find(tokens.begin(), tokens.end(), token);
  if (found == tokens.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - tokens.begin());
}

Result<void> check_json_limits(std::string_view json, const char* name, const JsonLimits& limits) {
  if (json.size() > limits.bytes_max) {
    return Error{limits.code,
                 std::string(name) + " has " + std::to_string(json.size()) +
                     " bytes, the limit is " + std::to_string(limits.bytes_max),
                 limits.hint};
  }
  std::size_t depth = 0;
  bool is_in_text = false;
  for (std::size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (is_in_text) {
      if (c == '\\') ++at;
      is_in_text = c != '"';
      continue;
    }
    is_in_text = c == '"';
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    if (depth <= limits.depth_max) continue;
    return Error{limits.code,
                 std::string(name) + " is nested deeper than " + std::to_string(limits.depth_max) +
                     " levels at byte " + std::to_string(at),
                 limits.hint};
  }
  return {};
}

Result<TokenizerFile> read_tokenizer_file(std::string_view tokenizer_json) {
  PARING_TRY_VOID(check_json_limits(
      tokenizer_json, "tokenizer.json",
      {.bytes_max = kTokenizerJsonBytesMax, .depth_max = kTokenizerJsonDepthMax}));
  const Json json = Json::parse(tokenizer_json, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("model")) {
    return broken(json.is_discarded() ? "it is not JSON" : "it has no model");
  }
  TokenizerFile file;
  PARING_TRY_VOID(read_model(json["model"], file));
  if (json.contains("added_tokens")) PARING_TRY_VOID(read_added(json["added_tokens"], file));
  if (file.tokens.empty()) return broken("the vocabulary is empty");
  read_steps(json, "normalizer", file.normalizer);
  read_steps(json, "pre_tokenizer", file.pre_tokenizer);
  read_steps(json, "post_processor", file.post_processor);
  read_steps(json, "decoder", file.decoder);
  return file;
}

}  // namespace paring::text
