// SPDX-License-Identifier: Apache-2.0
// Encoder: what one tokenizer model does with a stretch of text from which special tokens have been
// cut out. One implementation a TokenizerModel. Immutable, shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace paring::text {

class Encoder {
 public:
  virtual ~Encoder() = default;
  // Appends the ids of `text` (any bytes). `begins` is true at the beginning of the whole text and
  // right behind a special token.
  virtual Result<void> encode(std::string_view text, bool begins,
                              std::vector<std::int32_t>& ids) const = 0;
};

inline constexpr std::string_view kEscapedSpace = "\xE2\x96\x81";  // U+2581, SentencePiece's space

// REQUIRES for each: `spec` passed check_spec(), `vocabulary` was made from it and outlives the
// encoder.
Result<std::unique_ptr<const Encoder>> make_byte_level_bpe(const TokenizerSpec& spec,
                                                           const Vocabulary& vocabulary);
Result<std::unique_ptr<const Encoder>> make_spm(const TokenizerSpec& spec,
                                                const Vocabulary& vocabulary);
Result<std::unique_ptr<const Encoder>> make_unigram(const TokenizerSpec& spec,
                                                    const Vocabulary& vocabulary);
Result<std::unique_ptr<const Encoder>> make_word_piece(const TokenizerSpec& spec,
                                                       const Vocabulary& vocabulary);

}  // namespace paring::text
