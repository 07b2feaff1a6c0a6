// SPDX-License-Identifier: Apache-2.0
#include "text/vocabulary.h"

#include <array>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "text/byte_level.h"
#include "text/encoder.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

constexpr std::size_t kShownBytesMax = 64;  // of a token in an error

Error too_many(const std::string& what, std::size_t count, std::size_t limit) {
  return corrupt("the vocabulary has " + std::to_string(count) + " " + what + ", the limit is " +
                 std::to_string(limit));
}

std::size_t total_bytes(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

Result<void> check_sizes(const TokenizerSpec& spec) {
  if (spec.tokens.empty()) return corrupt("the vocabulary is empty");
  if (spec.tokens.size() > kVocabTokensMax) {
    return too_many("tokens", spec.tokens.size(), kVocabTokensMax);
  }
  if (spec.merges.size() > kMergesMax) return too_many("merges", spec.merges.size(), kMergesMax);
  for (const auto* texts : {&spec.tokens, &spec.merges}) {
    const std::size_t bytes = total_bytes(*texts);
    if (bytes > kVocabBytesMax) return too_many("bytes of text", bytes, kVocabBytesMax);
  }
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    if (spec.tokens[i].size() <= kTokenBytesMax) continue;
    return corrupt("token " + std::to_string(i) + " has " + std::to_string(spec.tokens[i].size()) +
                   " bytes, the limit is " + std::to_string(kTokenBytesMax));
  }
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    if (is_well_formed_utf8(spec.tokens[i])) continue;
    return corrupt("token " + std::to_string(i) + " is not valid UTF-8");
  }
  return {};
}

Result<void> check_ids(const TokenizerSpec& spec) {
  const std::pair<const char*, std::optional<std::int32_t>> ids[] = {
      {"bos", spec.bos}, {"eos", spec.eos},   {"unk", spec.unk}, {"sep", spec.sep},
      {"pad", spec.pad}, {"mask", spec.mask}, {"eot", spec.eot}};
  for (const auto& [name, id] : ids) {
    if (!id || (*id >= 0 && std::cmp_less(*id, spec.tokens.size()))) continue;
    return corrupt(std::string(name) + " token " + std::to_string(*id) +
                   " is outside the vocabulary of " + std::to_string(spec.tokens.size()) +
                   " tokens");
  }
  return {};
}

Result<void> check_lists(const TokenizerSpec& spec) {
  const std::size_t count = spec.tokens.size();
  if (!spec.token_types.empty() && spec.token_types.size() != count) {
    return corrupt("the vocabulary has " + std::to_string(count) + " tokens but " +
                   std::to_string(spec.token_types.size()) + " token types");
  }
  const bool needs_scores =
      spec.model == TokenizerModel::kSpm || spec.model == TokenizerModel::kUnigram;
  if ((needs_scores || !spec.scores.empty()) && spec.scores.size() != count) {
    return corrupt("the vocabulary has " + std::to_string(count) + " tokens but " +
                   std::to_string(spec.scores.size()) + " scores");
  }
  for (std::size_t i = 0; i < spec.scores.size(); ++i) {
    if (std::isfinite(spec.scores[i])) continue;
    return corrupt("the score of token " + std::to_string(i) + " is not a finite number");
  }
  return {};
}

// A byte token's number becomes an index: what is not one must not pass for another token.
Result<void> check_byte_tokens(const TokenizerSpec& spec) {
  for (std::size_t i = 0; i < spec.token_types.size(); ++i) {
    if (spec.token_types[i] != kTokenByte || byte_of_name(spec.tokens[i])) continue;
    return corrupt("tokenizer.ggml.tokens: token " + std::to_string(i) + " has the type " +
                       std::to_string(kTokenByte) + " (byte) and the text \"" +
                       escape_control(spec.tokens[i].substr(0, kShownBytesMax)) +
                       "\", which is no byte token",
                   "byte tokens are <0x00> to <0xFF>, with two digits of 0-9 and A-F");
  }
  return {};
}

// The text of a token in the lookup: an empty one gets a name of its own, as in llama.cpp.
std::vector<std::string> named_tokens(const std::vector<std::string>& tokens) {
  std::vector<std::string> named = tokens;
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (named[i].empty()) named[i] = "[EMPTY_" + std::to_string(i) + "]";
  }
  return named;
}

Result<TokenIds> index_tokens(const std::vector<std::string>& tokens) {
  TokenIds ids;
  ids.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::int32_t first = ids.add(tokens[i], static_cast<std::int32_t>(i));
    if (std::cmp_equal(first, i)) continue;
    return corrupt("tokens " + std::to_string(first) + " and " + std::to_string(i) +
                   " have the same text");
  }
  return ids;
}

}  // namespace

Result<void> check_spec(const TokenizerSpec& spec) {
  PARING_TRY_VOID(check_sizes(spec));
  PARING_TRY_VOID(check_lists(spec));
  PARING_TRY_VOID(check_byte_tokens(spec));
  return check_ids(spec);
}

Result<void> fill_vocabulary(const TokenizerSpec& spec, Vocabulary& vocabulary) {
  vocabulary.tokens = named_tokens(spec.tokens);
  PARING_TRY(vocabulary.ids, index_tokens(vocabulary.tokens));
  vocabulary.kinds = classify_tokens(spec, vocabulary.ids);
  return {};
}

std::optional<char> byte_of_name(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned byte = 0;
  for (const char digit : token.substr(3, 2)) {
    const std::size_t value = std::string_view("0123456789ABCDEF").find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    byte = byte * 16 + static_cast<unsigned>(value);
  }
  return static_cast<char>(byte);
}

std::string name_of_byte(unsigned char byte) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4U], kDigits[byte & 15U], '>'};
}

bool has_inner_space(std::string_view token) {
  while (token.starts_with(kEscapedSpace)) token.remove_prefix(kEscapedSpace.size());
  return token.find(kEscapedSpace) != std::string_view::npos;
}

std::string unescaped_spaces(std::string_view token) {
  std::string text;
  text.reserve(token.size());
  for (std::size_t at = 0; at < token.size();) {
    const bool is_space = token.substr(at, kEscapedSpace.size()) == kEscapedSpace;
    text += is_space ? ' ' : token[at];
    at += is_space ? kEscapedSpace.size() : 1;
  }
  return text;
}

std::string cleaned_word_piece(std::string text) {
  // In the order in which BERT's decoder replaces them.
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kReplacements = {
      {{" .", "."},
       {" ?", "?"},
       {" !", "!"},
       {" ,", ","},
       {" ' ", "'"},
       {" n't", "n't"},
       {" 'm", "'m"},
       {" do not", " don't"},
       {" 's", "'s"},
       {" 've", "'ve"},
       {" 're", "'re"}}};
  for (const auto& [from, to] : kReplacements) {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  }
  return text;
}

TokenTexts texts_of(const TokenizerSpec& spec, const Vocabulary& vocabulary) {
  TokenTexts texts;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const TokenKind& kind = vocabulary.kinds[id];
    if (kind.is_special() || kind.is_user_defined) {
      texts.add(token);
    } else if (kind.is_byte) {
      const std::optional<char> byte = byte_of_name(token);
      texts.add(byte ? std::string(1, *byte) : std::string());
    } else if (!kind.is_normal) {
      texts.add("");
    } else if (spec.model == TokenizerModel::kBpe) {
      texts.add(byte_level_decoded(token).value_or(token));
    } else if (spec.model == TokenizerModel::kWordPiece) {
      texts.add(cleaned_word_piece(unescaped_spaces(token)));
    } else {
      texts.add(unescaped_spaces(token));
    }
  }
  return texts;
}

}  // namespace paring::text
