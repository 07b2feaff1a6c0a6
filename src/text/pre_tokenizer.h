// SPDX-License-Identifier: Apache-2.0
// Splits text into the words that BPE may not merge across, exactly as llama.cpp does for the same
// GGUF file (tokenizer.ggml.pre). Its splitters are state machines over character classes, not
// regular expressions; where the two differ its behaviour counts. Stateless, any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::text {

enum class Splitting { kGpt2, kDefault, kSmollm, kLlama3, kQwen2 };

struct PreTokenizer {
  Splitting splitting = Splitting::kGpt2;
  // A word that is a token as a whole is taken as that token.
  bool ignore_merges = false;
  // Whether a file without tokenizer.ggml.add_bos_token begins texts with BOS.
  bool adds_bos = false;
};

// By GGUF name; empty means "default". Unsupported, with the list, for names that are not known.
Result<PreTokenizer> find_pre_tokenizer(std::string_view name);

// Byte positions where words of `text` end, ascending, the last one text.size().
// REQUIRES: text is well-formed UTF-8.
std::vector<std::size_t> split_words(Splitting splitting, std::string_view text);

}  // namespace paring::text
