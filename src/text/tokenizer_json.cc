// SPDX-License-Identifier: Apache-2.0
// tokenizer.json to TokenizerSpec, by the rules of llama.cpp's conversion where GGUF leaves a
// choice.
#include "text/tokenizer_json.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "text/base64.h"
#include "text/encoder.h"
#include "text/pre_tokenizer_names.h"
#include "text/tokenizer_file.h"

namespace paring::text {
namespace {

using Json = nlohmann::json;

Error no_way(const std::string& what) {
  return unsupported("tokenizer.json: GGUF cannot say " + what,
                     "use the Hugging Face folder itself");
}

std::string shown(const std::vector<PipelineStep>& steps) {
  std::string text;
  for (const PipelineStep& step : steps) {
    text += (text.empty() ? "" : ", ") + step.type + step.fields;
  }
  return text.size() > 512 ? text.substr(0, 512) + "..." : text;
}

bool has_step(const std::vector<PipelineStep>& steps, std::string_view type) {
  return std::any_of(steps.begin(), steps.end(),
                     [&](const PipelineStep& step) { return step.type == type; });
}

// Special tokens that post-processing puts around a text.
struct Around {
  std::vector<std::string> before, after;
};

Result<Around> read_around(const TokenizerFile& file) {
  Around around;
  for (const PipelineStep& step : file.post_processor) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    if (step.type == "BertProcessing" || step.type == "RobertaProcessing") {
      around.before.push_back(fields.at("cls").at(0).get<std::string>());
      around.after.push_back(fields.at("sep").at(0).get<std::string>());
    } else if (step.type == "TemplateProcessing") {
      bool is_behind = false;
      for (const Json& piece : fields.at("single")) {
        if (piece.contains("Sequence")) {
          is_behind = true;
        } else {
          (is_behind ? around.after : around.before)
              .push_back(piece.at("SpecialToken").at("id").get<std::string>());
        }
      }
    } else if (step.type != "ByteLevel") {
      return no_way("the post-processor " + step.type + step.fields);
    }
  }
  if (around.before.size() > 1 || around.after.size() > 1) {
    return no_way("more than one special token on a side of a text");
  }
  return around;
}

// The types of all tokens, and names for ids without one.
void fill_tokens(const TokenizerFile& file, TokenizerSpec& spec) {
  spec.tokens = file.tokens;
  spec.token_types.assign(file.tokens.size(), kTokenNormal);
  for (std::size_t id = 0; id < file.tokens.size(); ++id) {
    if (!file.is_named[id]) {
      spec.tokens[id] = "[PAD" + std::to_string(id) + "]";
      spec.token_types[id] = kTokenUnused;
    } else if (file.byte_fallback && byte_of_name(file.tokens[id])) {
      spec.token_types[id] = kTokenByte;
    }
  }
  for (const AddedToken& token : file.added) {
    const auto id = static_cast<std::size_t>(token.id);
    spec.token_types[id] = token.is_special ? kTokenControl : kTokenUserDefined;
    if (!token.is_special) spec.tokens[id] = unescaped_spaces(token.content);
  }
}

Result<void> set_special_ids(const TokenizerFile& file, const TokenizerConfig& config,
                             TokenizerSpec& spec) {
  const auto find = [&](const std::optional<std::string>& text) {
    return text ? file.find(*text) : std::nullopt;
  };
  spec.bos = find(config.bos);
  spec.eos = find(config.eos);
  spec.unk = config.unk ? find(config.unk) : file.unknown;
  if (!spec.unk) spec.unk = file.unknown;
  spec.sep = find(config.sep);
  spec.pad = find(config.pad);
  spec.mask = find(config.mask);
  PARING_TRY(const Around around, read_around(file));
  spec.add_bos = !around.before.empty();
  spec.add_eos = !around.after.empty();
  if (spec.add_bos) spec.bos = file.find(around.before[0]);
  if (spec.add_eos && spec.model == TokenizerModel::kWordPiece) {
    spec.sep = file.find(around.after[0]);
    spec.add_eos = false;
  } else if (spec.add_eos) {
    spec.eos = file.find(around.after[0]);
  }
  if ((spec.add_bos && !spec.bos) || (!around.after.empty() && !spec.eos && !spec.sep)) {
    return corrupt("tokenizer.json: the post-processor adds a token that does not exist");
  }
  return {};
}

Result<void> convert_byte_level(const TokenizerFile& file, TokenizerSpec& spec) {
  for (const PipelineStep& step : file.normalizer) {
    if (step.type != "NFC") return no_way("the normalizer " + step.type + step.fields);
  }
  PARING_TRY(spec.pre_tokenizer, pre_tokenizer_name(file.pre_tokenizer, file.ignore_merges));
  spec.merges.reserve(file.merges.size());
  for (const auto& [left, right] : file.merges) spec.merges.push_back(left + " " + right);
  return {};
}

// SentencePiece's scores decide as the order of merges does when each text has one rank: then
// minus that rank is its score. User-defined tokens are found before anything is merged, so that
// their ranks do not matter (Gemma 3 has runs of spaces at many).
Result<void> scores_of_merges(const TokenizerFile& file, TokenizerSpec& spec) {
  std::unordered_set<std::string_view> user_defined;
  for (const AddedToken& token : file.added) {
    if (!token.is_special) user_defined.insert(token.content);
  }
  std::unordered_map<std::string, float> score;
  float next = 0;
  std::string last;
  for (const auto& [left, right] : file.merges) {
    std::string joined = left + right;
    if (joined == last) continue;
    if (!score.emplace(joined, next).second && !user_defined.contains(joined)) {
      return no_way("that \"" + joined.substr(0, 64) + "\" is merged at two ranks");
    }
    next -= 1;
    last = std::move(joined);
  }
  spec.scores.assign(spec.tokens.size(), 0.0F);
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.token_types[id] == kTokenUnused) spec.scores[id] = kUnusedScore;
    if (spec.token_types[id] != kTokenNormal) continue;
    const auto found = score.find(spec.tokens[id]);
    // Single characters are never the result of a merge.
    spec.scores[id] = found == score.end() ? next - 1 : found->second;
  }
  return {};
}

bool is_replacing_spaces(const PipelineStep& step) {
  const Json fields = Json::parse(step.fields, nullptr, false);
  return step.type == "Replace" && fields.at("pattern").value("String", "") == " " &&
         fields.value("content", "") == kEscapedSpace;
}

// What a Metaspace pre-tokenizer puts in front of a text; nothing when it is none that GGUF knows.
std::optional<bool> prepends_space(const PipelineStep& step) {
  const Json fields = Json::parse(step.fields, nullptr, false);
  if (step.type != "Metaspace" || fields.value("replacement", "") != kEscapedSpace) {
    return std::nullopt;
  }
  if (fields.contains("prepend_scheme")) return fields.value("prepend_scheme", "") != "never";
  return fields.value("add_prefix_space", true);
}

Result<void> convert_spm(const TokenizerFile& file, TokenizerSpec& spec) {
  spec.model = TokenizerModel::kSpm;
  bool replaces = false;
  for (const PipelineStep& step : file.normalizer) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    if (step.type == "Prepend" && fields.value("prepend", "") == kEscapedSpace) {
      spec.add_space_prefix = true;
    } else if (is_replacing_spaces(step)) {
      replaces = true;
    } else {
      return no_way("the normalizer " + shown(file.normalizer) + " of a SentencePiece BPE");
    }
  }
  for (const PipelineStep& step : file.pre_tokenizer) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    // Gemma's: by then there is no space left to split at.
    const bool is_without_effect =
        replaces && step.type == "Split" && fields.at("pattern").value("String", "") == " ";
    if (const auto prepends = prepends_space(step); prepends) {
      spec.add_space_prefix = *prepends;
      replaces = true;
    } else if (!is_without_effect) {
      return no_way("the pre-tokenizer " + shown(file.pre_tokenizer) + " of a SentencePiece BPE");
    }
  }
  if (!replaces) return no_way("a BPE with byte fallback that does not escape spaces");
  return scores_of_merges(file, spec);
}

Result<void> convert_unigram(const TokenizerFile& file, TokenizerSpec& spec) {
  for (const PipelineStep& step : file.normalizer) {
    const Json fields = Json::parse(step.fields, nullptr, false);
    const bool merges_spaces =
        step.type == "Replace" && fields.at("pattern").value("Regex", "") == " {2,}";
    if (step.type == "Precompiled") {
      const auto map = base64_decoded(fields.value("precompiled_charsmap", ""));
      if (!map) return corrupt("tokenizer.json: precompiled_charsmap is not base64");
      spec.precompiled_charsmap = *map;
    } else if (merges_spaces || step.type == "Strip") {
      spec.remove_extra_whitespaces = true;
    } else {
      return no_way("the normalizer " + shown(file.normalizer) + " of a Unigram model");
    }
  }
  bool has_spaces = false;
  for (const PipelineStep& step : file.pre_tokenizer) {
    if (const auto prepends = prepends_space(step); prepends) {
      spec.add_space_prefix = *prepends;
      has_spaces = true;
    } else if (step.type == "WhitespaceSplit") {
      spec.remove_extra_whitespaces = true;
    } else {
      return no_way("the pre-tokenizer " + shown(file.pre_tokenizer) + " of a Unigram model");
    }
  }
  if (!has_spaces) return no_way("a Unigram model without Metaspace");
  if (!file.unknown) return no_way("a Unigram model without an unknown token");
  spec.unk = file.unknown;
  spec.scores.assign(spec.tokens.size(), 0.0F);
  for (std::size_t id = 0; id < file.scores.size(); ++id) {
    spec.scores[id] = static_cast<float>(file.scores[id]);
  }
  spec.token_types[static_cast<std::size_t>(*file.unknown)] = kTokenUnknown;
  return {};
}

Result<void> convert_word_piece(const TokenizerFile& file, TokenizerSpec& spec) {
  if (file.continuing_prefix != "##") return no_way("another prefix than ## of word pieces");
  if (file.normalizer.size() != 1 || file.normalizer[0].type != "BertNormalizer") {
    return no_way("the normalizer " + shown(file.normalizer) + " of a WordPiece model");
  }
  const Json fields = Json::parse(file.normalizer[0].fields, nullptr, false);
  if (!fields.value("clean_text", true) || !fields.value("handle_chinese_chars", true)) {
    return no_way("a BertNormalizer that leaves text or Chinese characters alone");
  }
  if (file.pre_tokenizer.size() != 1 || file.pre_tokenizer[0].type != "BertPreTokenizer") {
    return no_way("the pre-tokenizer " + shown(file.pre_tokenizer) + " of a WordPiece model");
  }
  spec.lowercase = fields.value("lowercase", true);
  const bool is_said = fields.contains("strip_accents") && fields["strip_accents"].is_boolean();
  spec.strip_accents = is_said ? fields["strip_accents"].get<bool>() : spec.lowercase;
  // A token that begins a word is spelled with the space in front of it; "[CLS]" and its like are
  // not words.
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    std::string& token = spec.tokens[id];
    if (token.starts_with('[') && token.ends_with(']')) continue;
    if (spec.token_types[id] != kTokenNormal) continue;
    token = token.starts_with("##") ? token.substr(2) : std::string(kEscapedSpace) + token;
  }
  return {};
}

Result<void> convert(const TokenizerFile& file, TokenizerSpec& spec) {
  if (file.model == "Unigram") {
    spec.model = TokenizerModel::kUnigram;
    return convert_unigram(file, spec);
  }
  if (file.model == "WordPiece") {
    spec.model = TokenizerModel::kWordPiece;
    return convert_word_piece(file, spec);
  }
  if (file.model != "BPE") return no_way("the model " + file.model);
  spec.model = TokenizerModel::kBpe;
  if (has_step(file.pre_tokenizer, "ByteLevel")) return convert_byte_level(file, spec);
  return convert_spm(file, spec);
}

}  // namespace

Result<TokenizerSpec> spec_of_tokenizer_json(std::string_view tokenizer_json,
                                             const TokenizerConfig& config) {
  PARING_TRY(const TokenizerFile file, read_tokenizer_file(tokenizer_json));
  TokenizerSpec spec;
  fill_tokens(file, spec);
  try {
    PARING_TRY_VOID(convert(file, spec));
    PARING_TRY_VOID(set_special_ids(file, config, spec));
  } catch (const Json::exception& error) {
    return corrupt(std::string("tokenizer.json: a field has a wrong type: ") + error.what());
  }
  PARING_TRY_VOID(check_spec(spec));
  return spec;
}

}  // namespace paring::text
