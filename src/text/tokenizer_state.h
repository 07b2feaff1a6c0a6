// SPDX-License-Identifier: Apache-2.0
// What a Tokenizer holds. For tokenizer.cc and tokenizer_from_json.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "text/encoder.h"
#include "text/fast_pipeline.h"
#include "text/json_pipeline.h"
#include "text/special_tokens.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace paring::text {

struct Tokenizer::State {
  Vocabulary vocabulary;
  TokenTexts texts;
  bool strips_first_space = false;
  std::optional<std::int32_t> bos, eos;

  // From a GGUF file.
  std::unique_ptr<const Encoder> encoder;  // reads vocabulary
  SpecialTokenFinder finder;
  std::vector<std::int32_t> before, after;  // what add_special puts around a text
  // From a tokenizer.json: does all of it, the fast one what it can.
  std::unique_ptr<const LateJsonPipeline> pipeline;
  std::unique_ptr<const FastPipeline> fast_pipeline;  // null for pipelines that it lacks

  bool has(std::int32_t id) const { return id >= 0 && std::cmp_less(id, vocabulary.tokens.size()); }
};

}  // namespace paring::text
