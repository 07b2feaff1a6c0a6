// SPDX-License-Identifier: Apache-2.0
// Tokenizer: text to token ids and back, as llama.cpp does it for the same GGUF file. Made from
// plain data (TokenizerSpec), so that this module knows no file format. Immutable and shared by
// threads; a StreamDecoder belongs to one sequence.
//
//   PARING_TRY(auto tokenizer, text::Tokenizer::create(spec));
//   PARING_TRY(auto ids, tokenizer->encode(prompt, {.add_special = true, .parse_special = true}));
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::text {

inline constexpr std::size_t kVocabTokensMax = std::size_t{1} << 20;  // the largest known is 2^18
inline constexpr std::size_t kMergesMax = std::size_t{1} << 21;
inline constexpr std::size_t kTokenBytesMax = std::size_t{1} << 12;
inline constexpr std::size_t kVocabBytesMax = std::size_t{1} << 26;  // tokens or merges, together
inline constexpr std::size_t kTextBytesMax = std::size_t{1} << 25;   // one encode call

enum class TokenizerModel { kBpe, kUnigramSpm, kUnigram, kWordPiece };

// What a GGUF file says about its tokenizer, under the keys tokenizer.ggml.*.
struct TokenizerSpec {
  TokenizerModel model = TokenizerModel::kBpe;
  std::string pre_tokenizer;              // pre: "smollm", "llama-bpe", "qwen2", "default", ...
  std::vector<std::string> tokens;        // index = id
  std::vector<std::int32_t> token_types;  // 1 normal 2 unknown 3 control 4 user-defined 5 unused 6
                                          // byte; empty: all normal
  std::vector<std::string> merges;        // "left right", best first
  std::optional<std::int32_t> bos, eos, unk, pad, eot;
  bool add_bos = false;
  bool add_eos = false;
};

struct EncodeOptions {
  bool add_special = false;    // BOS in front and EOS at the end where the spec says so
  bool parse_special = false;  // false: control tokens spelled out in the text stay text
};

// What add_bos is for a file that has no tokenizer.ggml.add_bos_token: true for "llama-bpe".
bool default_add_bos(std::string_view pre_tokenizer) noexcept;

class Tokenizer {
 public:
  // Unsupported for a model other than kBpe and for an unknown pre-tokenizer. Corrupt when tokens
  // repeat or are not UTF-8, when types, ids or merges do not fit the vocabulary.
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerSpec& spec);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // User-defined tokens are found in the text whatever the options say. Each byte that is not part
  // of a well-formed UTF-8 character counts as U+FFFD (as in llama.cpp, which differs for
  // surrogates and overlong forms only). A byte that the vocabulary cannot spell is left out.
  // InvalidArgument when the text is longer than kTextBytesMax.
  Result<std::vector<std::int32_t>> encode(std::string_view utf8, EncodeOptions options) const;

  // Well-formed UTF-8: what is cut or broken becomes U+FFFD. `skip_special` leaves out control and
  // unknown tokens. InvalidArgument for an id outside the vocabulary.
  Result<std::string> decode(std::span<const std::int32_t> ids, bool skip_special) const;

  // Raw bytes of one token, the byte-level alphabet undone; empty outside the vocabulary. Valid as
  // long as the tokenizer.
  std::string_view token_bytes(std::int32_t id) const noexcept;
  // Control or unknown token: not text that a user should see.
  bool is_special(std::int32_t id) const noexcept;
  // Ends a generation: EOS, EOT and every token that llama.cpp treats so by its text.
  bool is_end(std::int32_t id) const noexcept;
  // The id of the token that the vocabulary spells exactly so, e.g. "<|im_end|>".
  std::optional<std::int32_t> find(std::string_view token) const;

  std::size_t vocab_size() const noexcept;
  std::optional<std::int32_t> bos() const noexcept;
  std::optional<std::int32_t> eos() const noexcept;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);

  std::unique_ptr<const State> state_;
};

// Turns ids into text as they come. The pieces together are exactly what decode() gives for all
// ids; each piece is well-formed UTF-8, so a character may wait for the tokens that complete it.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);

  // The text that `id` completes, often empty. Ids outside the vocabulary add nothing.
  std::string push(std::int32_t id);
  // What is still waiting, as U+FFFD. The decoder is then as new.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;  // shared: a decoder may outlive the loaded model
  bool skip_special_;
  std::string pending_;  // the beginning of one character, at most 3 bytes
};

}  // namespace paring::text
