// SPDX-License-Identifier: Apache-2.0
// Where special tokens stand around a text, or around a pair of texts that a model reads together,
// and which type each part has (BERT's token types). Stateless, any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace paring::text {

// One part of a template: special tokens, or one of the texts.
struct TemplatePiece {
  enum class Kind : std::uint8_t { kSpecial, kFirst, kSecond };
  Kind kind = Kind::kSpecial;
  std::vector<std::int32_t> ids;  // of kSpecial
  std::uint8_t type = 0;
};

struct TextTemplates {
  std::vector<TemplatePiece> single;  // kFirst once
  std::vector<TemplatePiece> pair;    // kFirst and kSecond once each
};

// What a tokenizer.json's post-processor says. Unsupported for one that is not known; Corrupt when
// it names tokens that do not exist, repeats a text or leaves one out.
Result<TextTemplates> templates_of_json(std::string_view tokenizer_json);
// What llama.cpp's reading of a GGUF file implies: BOS A EOS, and for pairs BOS A EOS EOS B EOS as
// RoBERTa has them (without a BOS one EOS between); of WordPiece [CLS] A [SEP] B [SEP], B of type 1
// as BERT has them. REQUIRES: the spec has passed Tokenizer::create().
TextTemplates templates_of_spec(const TokenizerSpec& spec);

}  // namespace paring::text
