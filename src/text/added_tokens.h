// SPDX-License-Identifier: Apache-2.0
// What all fast pipelines of a tokenizer.json share: added tokens, found as the `tokenizers` crate
// finds them, and the ids around a text. Immutable, any thread; for the .cc files of this module.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/token_trie.h"
#include "text/tokenizer_file.h"
#include "text/vocabulary.h"

namespace paring::text {

// A part of a text: one token when `token` is not negative, otherwise plain text.
struct Stretch {
  std::string_view text;
  std::int32_t token = -1;
};

// Added tokens that are looked for at the same time.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // Those of `added` that are looked for in normalized text, or those in the text as it came.
  AddedTokenFinder(const std::vector<AddedToken>& added, bool is_normalized);

  // Appends the parts of `text`: the leftmost token counts, of those the longest.
  void cut(std::string_view text, bool parse_special, std::vector<Stretch>& stretches) const;

 private:
  std::vector<AddedToken> tokens_;
  TokenTrie trie_;  // content to position in tokens_
};

// What add_special puts around a text.
struct TextSurroundings {
  std::vector<std::int32_t> before, after;
};
// nullopt when the file's post-processing is of another kind. Throws nlohmann's exceptions where
// fields are missing or of a wrong type.
std::optional<TextSurroundings> read_surroundings(const TokenizerFile& file);

// Which tokens text may become, by id. nullopt when two tokens have the same text, of which the
// model may know another than the vocabulary finds.
std::optional<std::vector<bool>> tokens_of_text(const TokenizerFile& file,
                                                const Vocabulary& vocabulary);

}  // namespace paring::text
