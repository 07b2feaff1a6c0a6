// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json taken apart. For the .cc files of this module only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/vocabulary.h"

namespace paring::text {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool is_special = false;
  bool is_normalized = false;
  bool strips_left = false;
  bool strips_right = false;
  bool is_single_word = false;
};

// One step of a pre-tokenizer, normalizer, decoder or post-processor: its "type" and its other
// fields as compact JSON with sorted keys. Sequences are flattened.
struct PipelineStep {
  std::string type;
  std::string fields;  // "{}" when there are none
};

struct TokenizerFile {
  std::string model;                // "BPE", "Unigram", "WordPiece", "WordLevel"
  std::vector<std::string> tokens;  // index = id, added ones included
  std::vector<bool> is_named;       // false: no token has this id
  std::vector<double> scores;       // Unigram
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<AddedToken> added;
  std::optional<std::int32_t> unknown;
  std::vector<bool> is_in_model;  // by id: of the model's vocabulary, not only an added token
  bool byte_fallback = false;
  bool ignore_merges = false;
  bool has_dropout = false;
  std::string end_of_word_suffix;
  std::string continuing_prefix;  // of word pieces that do not begin a word
  std::vector<PipelineStep> normalizer, pre_tokenizer, post_processor, decoder;

  std::optional<std::int32_t> find(std::string_view token) const;
};

// Corrupt when it is not a tokenizer.json, Exhausted beyond the limits of tokenizer_json.h.
Result<TokenizerFile> read_tokenizer_file(std::string_view tokenizer_json);

// The file's tokens and what they are; those without a name stand for nothing.
void fill_vocabulary(const TokenizerFile& file, Vocabulary& vocabulary);

// What a JSON text may be, and the error when it is more.
struct JsonLimits {
  std::size_t bytes_max = 0;
  std::size_t depth_max = 0;
  ErrorCode code = ErrorCode::kExhausted;
  const char* hint = "a model's file of this name is far smaller and flatter; fetch it again";
};
// Of messages, tools and template variables that a request brings.
inline constexpr JsonLimits kChatLimits = {kChatBytesMax, kChatDepthMax,
                                           ErrorCode::kInvalidArgument,
                                           "send less of it, with fewer brackets in brackets"};
// Looks at brackets only, before a parser has to. `name` is for the message.
Result<void> check_json_limits(std::string_view json, const char* name, const JsonLimits& limits);

// What the tokens stand for by the file's decoder, and whether it takes a leading space off.
// Unsupported for a decoder that is not known.
struct DecodedVocabulary {
  TokenTexts texts;
  bool strips_first_space = false;
};
Result<DecodedVocabulary> decode_vocabulary(const TokenizerFile& file);

}  // namespace paring::text
