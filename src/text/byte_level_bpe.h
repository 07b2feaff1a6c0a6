// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE of the words of a text, for GGUF files and for tokenizer.json. Immutable, any
// thread; for the .cc files of this module only.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/bpe_merges.h"
#include "text/pre_tokenizer.h"

namespace paring::text {

class ByteBpe {
 public:
  // Best merges first. Corrupt as BpeMerges::create(). With `ignores_merges` a word that is a token
  // as a whole becomes that token.
  static Result<ByteBpe> create(TextTokens tokens, std::span<const TextMerge> merges,
                                bool ignores_merges);

  // Whether each byte has a token. Bytes without one are left out of a text, and nothing is joined
  // across them.
  bool spells_every_byte() const;

  // Appends the ids of `text`, which is well-formed UTF-8.
  void append_words(const Splitter& splitter, std::string_view text,
                    std::vector<std::int32_t>& ids) const;

 private:
  ByteBpe() = default;
  void append_word(std::string_view word, std::vector<std::int32_t>& part,
                   std::vector<std::int32_t>& ids) const;

  TextTokens tokens_;
  std::array<std::int32_t, 256> byte_ids_{};
  BpeMerges merges_;
  bool ignores_merges_ = false;
};

}  // namespace paring::text
