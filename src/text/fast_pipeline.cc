// SPDX-License-Identifier: Apache-2.0
#include "text/fast_pipeline.h"

#include "text/byte_level_pipeline.h"
#include "text/sentence_piece_pipeline.h"

namespace paring::text {

std::unique_ptr<const FastPipeline> make_fast_pipeline(const TokenizerFile& file,
                                                       const Vocabulary& vocabulary) {
  if (auto made = ByteLevelPipeline::create(file, vocabulary)) return made;
  return SentencePiecePipeline::create(file, vocabulary);
}

}  // namespace paring::text
