// SPDX-License-Identifier: Apache-2.0
// Splits text into the words that BPE may not merge across: the stages of a known pre-tokenizer,
// exactly as llama.cpp splits for the same GGUF file (tokenizer.ggml.pre), or those of a
// tokenizer.json. A stage cuts the pieces of the stage before, and never looks beyond the piece
// that it cuts. Immutable, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/split_pattern.h"

namespace paring::text {

// What a GGUF name of a pre-tokenizer stands for.
struct PreTokenizer {
  std::string_view family;  // the name among those that split alike, e.g. "gpt-2"
  // A word that is a token as a whole is taken as that token.
  bool ignore_merges = false;
  // Whether a file without tokenizer.ggml.add_bos_token begins texts with BOS.
  bool adds_bos = false;
};

// By GGUF name; empty means "default". Unsupported, with the list, for names that are not known.
Result<PreTokenizer> find_pre_tokenizer(std::string_view name);
// Every name, for tests.
std::vector<std::string_view> pre_tokenizer_names();

struct SplitStage {
  enum class Kind : std::uint8_t {
    kPattern,        // matches are pieces, and so is what lies between them
    kTrailingSpace,  // white space at the end of a piece is a piece
    // Cuts runs into groups of three from the right. kAsciiTriples: runs of digits 0 to 9, in front
    // of each whole group. kNumberTriples: runs of all numbers, behind each group; what stands in
    // front of a run stays with its first group.
    kAsciiTriples,
    kNumberTriples,
  };
  Kind kind = Kind::kPattern;
  std::string_view pattern = {};  // kPattern: see SplitPattern
};

class Splitter {
 public:
  // Unsupported as SplitPattern::compile.
  static Result<Splitter> create(std::span<const SplitStage> stages, SplitPatternOptions options);
  // Of a GGUF name. Unsupported as find_pre_tokenizer().
  static Result<Splitter> create(std::string_view pre_tokenizer);

  // Byte positions where words of `text` end, ascending, the last one text.size().
  // REQUIRES: text is well-formed UTF-8.
  std::vector<std::size_t> split(std::string_view text) const;

 private:
  struct Stage {
    SplitStage::Kind kind;
    SplitPattern pattern;
  };
  std::vector<Stage> stages_;
};

}  // namespace paring::text
