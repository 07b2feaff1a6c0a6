// SPDX-License-Identifier: Apache-2.0
// What the tokens of a vocabulary are beyond text (control, user-defined, end of generation), by
// the rules of llama.cpp, and where they occur in a text. Immutable, shared by threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/token_ids.h"
#include "text/token_trie.h"
#include "text/tokenizer.h"

namespace paring::text {

// Not exclusive: a token can be normal text in the file and a control token by its spelling.
struct TokenKind {
  bool is_normal = false;
  bool is_unknown = false;
  bool is_control = false;
  bool is_user_defined = false;
  bool is_byte = false;
  bool is_end = false;

  bool is_special() const { return is_control || is_unknown; }
};

// One kind per token. REQUIRES: spec.token_types is empty or as long as spec.tokens, eos and eot
// lie in the vocabulary, `ids` maps the text of every token.
std::vector<TokenKind> classify_tokens(const TokenizerSpec& spec, const TokenIds& ids);

// A text that ends a generation when it is a special token, e.g. "<|im_end|>".
bool is_end_spelling(std::string_view token);

// A stretch of a text: one token when `token` is not negative, otherwise plain text.
struct Fragment {
  std::size_t begin = 0;
  std::size_t size = 0;
  std::int32_t token = -1;
};

// Finds whole special tokens in a text. Longer tokens first: an occurrence that overlaps one of a
// longer token is not seen; among equally long ones the lower id counts.
class SpecialTokenFinder {
 public:
  SpecialTokenFinder() = default;
  // Of `spec` the strips are read.
  SpecialTokenFinder(const std::vector<std::string>& tokens, const std::vector<TokenKind>& kinds,
                     const TokenizerSpec& spec);

  // `text` in order, without empty stretches and without white space that a token takes. Control
  // and unknown tokens are looked for only with `parse_special`.
  std::vector<Fragment> partition(std::string_view text, bool parse_special) const;

 private:
  struct Entry {
    std::string text;
    std::int32_t id;
    bool is_special;
    bool strips_left;
    bool strips_right;
  };
  // Cuts the plain stretch `fragment` at every occurrence of `entry`.
  static void cut(std::string_view text, const Fragment& fragment, const Entry& entry,
                  std::vector<Fragment>& out);
  // Which entries occur in the text at all: one pass for all of them.
  std::vector<bool> occurring(std::string_view text) const;

  std::vector<Entry> entries_;
  TokenTrie trie_;  // text to position in entries_
};

}  // namespace paring::text
