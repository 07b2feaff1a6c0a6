// SPDX-License-Identifier: Apache-2.0
// TokenizerSpec to tokenizer.json. The vocabulary is written token by token, in the order of ids;
// the small parts are built as JSON values.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "text/base64.h"
#include "text/encoder.h"
#include "text/pre_tokenizer.h"
#include "text/pre_tokenizer_names.h"
#include "text/tokenizer_json.h"
#include "text/vocabulary.h"

namespace paring::text {
namespace {

using Json = nlohmann::ordered_json;

// Longer words are unknown to BERT's tokenizer; llama.cpp has no such limit.
constexpr int kWordPieceCharactersMax = 100;

std::string json_text(std::string_view text) { return Json(text).dump(); }

// As tokenizer.json spells it.
std::string spelled(const TokenizerSpec& spec, const Vocabulary& vocabulary, std::size_t id) {
  const std::string& token = vocabulary.tokens[id];
  if (spec.model != TokenizerModel::kWordPiece || !vocabulary.is_text(id) ||
      (token.starts_with('[') && token.ends_with(']'))) {
    return token;
  }
  if (token.starts_with(kEscapedSpace)) return token.substr(kEscapedSpace.size());
  return "##" + token;
}

std::string vocab_object(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  std::string json = "{";
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    json += id == 0 ? "" : ",";
    json += json_text(spelled(spec, vocabulary, id)) + ":" + std::to_string(id);
  }
  return json + "}";
}

std::string vocab_list(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  std::string json = "[";
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    json += id == 0 ? "[" : ",[";
    json += json_text(vocabulary.tokens[id]) + "," +
            Json(static_cast<double>(spec.scores[id])).dump() + "]";
  }
  return json + "]";
}

std::string added_tokens(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  const auto lists = [](const std::vector<std::int32_t>& ids, std::size_t id) {
    return std::binary_search(ids.begin(), ids.end(), static_cast<std::int32_t>(id));
  };
  Json list = Json::array();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenKind& kind = vocabulary.kinds[id];
    if (!kind.is_special() && !kind.is_user_defined) continue;
    list.push_back({{"id", id},
                    {"content", vocabulary.tokens[id]},
                    {"single_word", false},
                    {"lstrip", lists(spec.strip_left, id)},
                    {"rstrip", lists(spec.strip_right, id)},
                    {"normalized", false},
                    {"special", kind.is_special()}});
  }
  return list.dump();
}

// A pair of parts whose joined text is the token `joined`.
struct Merge {
  float score;
  std::int32_t joined, left, right;
};

// SentencePiece joins whatever two neighbours make a token; as a list: every way to cut a token in
// two, best token first.
std::vector<Merge> merges_of_scores(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.is_text(id)) ids.emplace(vocabulary.tokens[id], static_cast<std::int32_t>(id));
  }
  std::vector<Merge> merges;
  for (const auto& [text, joined] : ids) {
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(text.substr(cut));
      if (right == ids.end()) continue;
      merges.push_back(
          {spec.scores[static_cast<std::size_t>(joined)], joined, left->second, right->second});
    }
  }
  std::sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    if (a.score != b.score) return a.score > b.score;
    return std::tie(a.joined, a.left, a.right) < std::tie(b.joined, b.left, b.right);
  });
  return merges;
}

std::string model_json(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  const auto text_of = [&](std::optional<std::int32_t> id) {
    return id ? json_text(vocabulary.tokens[static_cast<std::size_t>(*id)]) : std::string("null");
  };
  if (spec.model == TokenizerModel::kUnigram) {
    return R"({"type":"Unigram","unk_id":)" + std::to_string(*spec.unk) +
           R"(,"byte_fallback":false,"vocab":)" + vocab_list(spec, vocabulary) + "}";
  }
  if (spec.model == TokenizerModel::kWordPiece) {
    return R"({"type":"WordPiece","unk_token":)" + text_of(spec.unk) +
           R"(,"continuing_subword_prefix":"##","max_input_chars_per_word":)" +
           std::to_string(kWordPieceCharactersMax) + R"(,"vocab":)" +
           vocab_object(spec, vocabulary) + "}";
  }
  const bool is_spm = spec.model == TokenizerModel::kSpm;
  const auto known = find_pre_tokenizer(spec.pre_tokenizer);
  const bool ignores = !is_spm && known.has_value() && known->ignore_merges;
  std::string json = R"({"type":"BPE","dropout":null,"unk_token":)";
  json += is_spm ? text_of(spec.unk) : "null";
  json += R"(,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":)";
  json += is_spm ? "true" : "false";
  json += std::string(R"(,"byte_fallback":)") + (is_spm ? "true" : "false");
  json += std::string(R"(,"ignore_merges":)") + (ignores ? "true" : "false");
  json += R"(,"vocab":)" + vocab_object(spec, vocabulary) + R"(,"merges":[)";
  const auto add = [&](std::string_view left, std::string_view right) {
    json += json.back() == '[' ? "[" : ",[";
    json += json_text(left) + "," + json_text(right) + "]";
  };
  if (is_spm) {
    for (const Merge& merge : merges_of_scores(spec, vocabulary)) {
      add(vocabulary.tokens[static_cast<std::size_t>(merge.left)],
          vocabulary.tokens[static_cast<std::size_t>(merge.right)]);
    }
  }
  for (const std::string& merge : spec.merges) {
    if (is_spm) break;
    const std::size_t blank = merge.find(' ', 1);
    add(std::string_view(merge).substr(0, blank), std::string_view(merge).substr(blank + 1));
  }
  return json + "]}";
}

Json sequence(const char* items, Json list) {
  if (list.empty()) return nullptr;
  if (list.size() == 1) return list[0];
  return {{"type", "Sequence"}, {items, std::move(list)}};
}

Json metaspace(bool prepends) {
  return {{"type", "Metaspace"},
          {"replacement", kEscapedSpace},
          {"prepend_scheme", prepends ? "always" : "never"},
          {"split", true}};
}

Json normalizer_json(const TokenizerSpec& spec) {
  Json steps = Json::array();
  if (spec.model == TokenizerModel::kSpm) {
    if (spec.add_space_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kEscapedSpace}});
    steps.push_back(
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kEscapedSpace}});
  } else if (spec.model == TokenizerModel::kUnigram && !spec.precompiled_charsmap.empty()) {
    steps.push_back({{"type", "Precompiled"},
                     {"precompiled_charsmap", base64_encoded(spec.precompiled_charsmap)}});
  } else if (spec.model == TokenizerModel::kWordPiece) {
    steps.push_back({{"type", "BertNormalizer"},
                     {"clean_text", true},
                     {"handle_chinese_chars", true},
                     {"strip_accents", spec.strip_accents},
                     {"lowercase", spec.lowercase}});
  }
  return sequence("normalizers", std::move(steps));
}

Result<Json> pre_tokenizer(const TokenizerSpec& spec) {
  switch (spec.model) {
    case TokenizerModel::kBpe: {
      PARING_TRY(const std::string definition, pre_tokenizer_json(spec.pre_tokenizer));
      return Json::parse(definition);
    }
    case TokenizerModel::kSpm:
      return Json(nullptr);
    case TokenizerModel::kUnigram: {
      Json steps = Json::array();
      if (spec.remove_extra_whitespaces) steps.push_back({{"type", "WhitespaceSplit"}});
      steps.push_back(metaspace(spec.add_space_prefix || spec.remove_extra_whitespaces));
      return sequence("pretokenizers", std::move(steps));
    }
    case TokenizerModel::kWordPiece:
      return Json{{"type", "BertPreTokenizer"}};
  }
  return Json(nullptr);
}

// A special token in a template of post-processing; also lists it among those that occur.
Json template_token(const std::string& text, std::int32_t id, int type, Json& specials) {
  specials[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  return {{"SpecialToken", {{"id", text}, {"type_id", type}}}};
}

Json post_processor(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  const bool is_bert = spec.model == TokenizerModel::kWordPiece;
  const std::int32_t before = is_bert || spec.add_bos ? spec.bos.value_or(-1) : -1;
  const std::int32_t after = is_bert        ? spec.sep.value_or(-1)
                             : spec.add_eos ? spec.eos.value_or(-1)
                                            : -1;
  if (before < 0 && after < 0) return nullptr;
  Json specials = Json::object();
  const auto token = [&](std::int32_t id, int type) {
    return template_token(vocabulary.tokens[static_cast<std::size_t>(id)], id, type, specials);
  };
  // Pairs as text/text_template.h has them: a type for the second text of BERT's, two separators in
  // RoBERTa's.
  const bool is_roberta = !is_bert && before >= 0 && after >= 0;
  Json single = Json::array();
  Json pair = Json::array();
  for (const int type : {0, 1}) {
    Json part = Json::array();
    const int shown = is_roberta ? 0 : type;
    if (before >= 0 && type == 0) part.push_back(token(before, 0));
    part.push_back({{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", shown}}}});
    if (after >= 0) part.push_back(token(after, is_bert ? type : 0));
    if (type == 0) single = part;
    if (type == 0 && is_roberta) part.push_back(token(after, 0));
    pair.insert(pair.end(), part.begin(), part.end());
  }
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", specials}};
}

Json decoder(const TokenizerSpec& spec) {
  if (spec.model == TokenizerModel::kBpe) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}};
  }
  if (spec.model == TokenizerModel::kWordPiece) {
    return {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  }
  if (spec.model == TokenizerModel::kUnigram) return metaspace(spec.add_space_prefix);
  Json steps = Json::array();
  steps.push_back(
      {{"type", "Replace"}, {"pattern", {{"String", kEscapedSpace}}}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (spec.add_space_prefix) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return sequence("decoders", std::move(steps));
}

}  // namespace

Result<std::string> tokenizer_json_of(const TokenizerSpec& spec) {
  PARING_TRY_VOID(check_spec(spec));
  if (spec.model == TokenizerModel::kUnigram && !spec.unk) {
    return corrupt("a Unigram vocabulary needs an unknown token, none is named");
  }
  Vocabulary vocabulary;
  PARING_TRY_VOID(fill_vocabulary(spec, vocabulary));
  PARING_TRY(const Json splitter, pre_tokenizer(spec));
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" +
         added_tokens(spec, vocabulary) + R"(,"normalizer":)" + normalizer_json(spec).dump() +
         R"(,"pre_tokenizer":)" + splitter.dump() + R"(,"post_processor":)" +
         post_processor(spec, vocabulary).dump() + R"(,"decoder":)" + decoder(spec).dump() +
         R"(,"model":)" + model_json(spec, vocabulary) + "}";
}

}  // namespace paring::text
