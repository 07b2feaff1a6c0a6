// SPDX-License-Identifier: Apache-2.0
// The encoding half of a tokenizer.json without the `tokenizers` crate, for the kinds of pipelines
// that most models have. Gives the crate's ids, many times faster. Immutable, shared by threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_file.h"
#include "text/vocabulary.h"

namespace paring::text {

class FastPipeline {
 public:
  virtual ~FastPipeline() = default;
  // As Tokenizer::encode. nullopt for a text that the crate has to see.
  virtual std::optional<std::vector<std::int32_t>> encode(std::string_view utf8,
                                                          EncodeOptions options) const = 0;
};

// Null for a pipeline of another kind, or a broken one: what is wrong with it, the crate says.
// `vocabulary` is that of the file and must outlive the pipeline.
std::unique_ptr<const FastPipeline> make_fast_pipeline(const TokenizerFile& file,
                                                       const Vocabulary& vocabulary);

}  // namespace paring::text
