// SPDX-License-Identifier: Apache-2.0
// The fast pipeline of vocabularies that began as SentencePiece BPE (Llama 2, Mistral, Gemma):
// spaces become U+2581, characters that no token spells become byte tokens, and the whole text is
// merged. Immutable, shared by threads.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/bpe_merges.h"
#include "text/fast_pipeline.h"

namespace paring::text {

class SentencePiecePipeline final : public FastPipeline {
  class Key {  // create() alone makes one
    friend class SentencePiecePipeline;
    Key() = default;
  };

 public:
  explicit SentencePiecePipeline(Key /*key*/) {}

  // As make_fast_pipeline().
  static std::unique_ptr<const SentencePiecePipeline> create(const TokenizerFile& file,
                                                             const Vocabulary& vocabulary);

  std::optional<std::vector<std::int32_t>> encode(std::string_view utf8,
                                                  EncodeOptions options) const override;

 private:
  bool find_bytes();
  void append_text(std::string_view text, std::vector<std::int32_t>& ids) const;
  void append_word(std::string_view word, std::vector<std::int32_t>& part) const;
  std::size_t word_end(std::string_view text, std::size_t begin) const;

  TextTokens tokens_;
  BpeMerges merges_;
  AddedTokenFinder added_;
  TextSurroundings around_;
  std::array<std::int32_t, 256> byte_ids_{};   // of "<0x00>" to "<0xFF>"
  std::array<std::int32_t, 128> ascii_ids_{};  // of single characters, -1: no token
  bool prepends_space_ = false;
  bool words_end_at_space_ = true;  // no merge joins across the beginning of a run of spaces
};

}  // namespace paring::text
