// SPDX-License-Identifier: Apache-2.0
// The checked vocabulary of a tokenizer, and the texts that its tokens stand for. For the .cc files
// of this module only. Immutable once made, shared by threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"

namespace paring::text {

// Not copied: `ids` views `tokens`.
struct Vocabulary {
  std::vector<std::string> tokens;  // as the file spells them, empty ones named
  TokenIds ids;
  std::vector<TokenKind> kinds;

  // Text may become this token: control, unknown and byte tokens are never spelled by text.
  bool is_text(std::size_t id) const { return !kinds[id].is_special() && !kinds[id].is_byte; }
};

// Corrupt when sizes are beyond the limits of tokenizer.h, lists differ in length, ids lie outside
// the vocabulary, tokens are not UTF-8.
Result<void> check_spec(const TokenizerSpec& spec);
// Corrupt when two tokens have the same text. REQUIRES: check_spec().
Result<void> fill_vocabulary(const TokenizerSpec& spec, Vocabulary& vocabulary);

// The bytes of all tokens, one after the other.
class TokenTexts {
 public:
  void add(std::string_view bytes) {
    bytes_ += bytes;
    ends_.push_back(bytes_.size());
  }
  // REQUIRES: id was added.
  std::string_view at(std::size_t id) const {
    const std::size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(bytes_).substr(begin, ends_[id] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

// What the tokens of a GGUF vocabulary stand for. Unused tokens stand for nothing.
TokenTexts texts_of(const TokenizerSpec& spec, const Vocabulary& vocabulary);

// The byte of "<0x1F>"; nothing for other texts.
std::optional<char> byte_of_name(std::string_view token);
// The way back.
std::string name_of_byte(unsigned char byte);
// Whether the token has U+2581, a space, behind something that is none.
bool has_inner_space(std::string_view token);
// `token` with U+2581 as spaces.
std::string unescaped_spaces(std::string_view token);
// A word piece as BERT's decoder shows it: no space before punctuation and English endings.
std::string cleaned_word_piece(std::string text);

}  // namespace paring::text
