// SPDX-License-Identifier: Apache-2.0
// The tokenizer files of a Hugging Face folder and what GGUF metadata says, each made from the
// other. Tokenizing itself needs none of this: Tokenizer::create_from_json() takes any
// tokenizer.json. Stateless, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer.h"

namespace paring::text {

inline constexpr std::size_t kTokenizerJsonBytesMax = std::size_t{1} << 27;  // Gemma's has 33 MB
inline constexpr std::size_t kTokenizerJsonDepthMax = 64;

// `config_json` is tokenizer_config.json, `generation_json` generation_config.json; either may be
// empty. Corrupt when they do not parse or a value has a wrong type.
Result<TokenizerConfig> read_tokenizer_config(std::string_view config_json,
                                              std::string_view generation_json);

// What a GGUF file has to say so that llama.cpp tokenizes as this tokenizer.json. The
// pre-tokenizer's name is found by comparing its definition with those of known models.
// Unsupported where GGUF has no way to say it, naming the part. Not converted, as in llama.cpp's
// own conversion: Unicode normalization in front of a byte-level BPE (NFC of Qwen2), which most
// texts have already.
Result<TokenizerSpec> spec_of_tokenizer_json(std::string_view tokenizer_json,
                                             const TokenizerConfig& config);

// A tokenizer.json that tokenizes as Tokenizer::create(spec) does, special tokens included.
// Unsupported for pre-tokenizers whose definition is not known.
Result<std::string> tokenizer_json_of(const TokenizerSpec& spec);
// The tokenizer_config.json beside it. `chat_template` may be empty.
std::string tokenizer_config_json_of(const TokenizerSpec& spec, std::string_view chat_template);

}  // namespace paring::text
