// SPDX-License-Identifier: Apache-2.0
// The encoding half of a tokenizer.json without the `tokenizers` crate, for the pipelines that most
// models have: byte-level BPE, words cut by patterns, perhaps NFC in front. Gives the crate's ids,
// many times faster. Immutable, shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/byte_level_bpe.h"
#include "text/token_trie.h"
#include "text/tokenizer_file.h"

namespace paring::text {

class ByteLevelPipeline {
  class Key {  // create() alone makes one
    friend class ByteLevelPipeline;
    Key() = default;
  };

 public:
  ByteLevelPipeline(Key, Splitter splitter, BpeHandle bpe)
      : splitter_(std::move(splitter)), bpe_(std::move(bpe)) {}

  // Null for a pipeline that is not one of these; an error only for what is broken in any.
  static Result<std::unique_ptr<const ByteLevelPipeline>> create(const TokenizerFile& file);

  // As Tokenizer::encode. nullopt for a text that the crate has to see: one that NFC would change
  // (or might), and characters younger than our tables.
  Result<std::optional<std::vector<std::int32_t>>> encode(std::string_view utf8,
                                                          EncodeOptions options) const;

 private:
  // Added tokens that are looked for at the same time.
  struct Finder {
    std::vector<AddedToken> tokens;
    TokenTrie trie;  // content to position in `tokens`
  };
  struct Stretch {
    std::string_view text;
    std::int32_t token = -1;  // >= 0: this one
  };
  static Finder make_finder(const std::vector<AddedToken>& added, bool is_normalized);
  // Cuts `text` as the crate does: the leftmost token counts, of those the longest.
  static void find(const Finder& finder, std::string_view text, bool parse_special,
                   std::vector<Stretch>& stretches);
  bool is_for_the_crate(std::string_view text) const;

  Splitter splitter_;
  BpeHandle bpe_;
  Finder plain_, normalized_;
  bool has_nfc_ = false;
  std::vector<std::int32_t> before_, after_;  // what add_special puts around a text
};

}  // namespace paring::text
