// SPDX-License-Identifier: Apache-2.0
// The fast pipeline that most models have: byte-level BPE, words cut by patterns, perhaps NFC in
// front. Immutable, shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/byte_level_bpe.h"
#include "text/fast_pipeline.h"

namespace paring::text {

class ByteLevelPipeline final : public FastPipeline {
  class Key {  // create() alone makes one
    friend class ByteLevelPipeline;
    Key() = default;
  };

 public:
  ByteLevelPipeline(Key, Splitter splitter, ByteBpe bpe)
      : splitter_(std::move(splitter)), bpe_(std::move(bpe)) {}

  // Null for a pipeline that is not one of these, or broken. `vocabulary` is that of the file and
  // must outlive the pipeline.
  static std::unique_ptr<const ByteLevelPipeline> create(const TokenizerFile& file,
                                                         const Vocabulary& vocabulary);

  // nullopt for a text that NFC would change (or might), and for characters younger than our
  // tables.
  std::optional<std::vector<std::int32_t>> encode(std::string_view utf8,
                                                  EncodeOptions options) const override;

 private:
  bool is_for_the_crate(std::string_view text) const;

  Splitter splitter_;
  ByteBpe bpe_;
  AddedTokenFinder plain_, normalized_;
  bool has_nfc_ = false;
  TextSurroundings around_;
};

}  // namespace paring::text
