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
inline constexpr float kUnusedScore = -1e4F;  // of tokens that fill up a vocabulary

// tokenizer.ggml.model: kBpe "gpt2", kSpm "llama" (SentencePiece BPE), kUnigram "t5", kWordPiece
// "bert".
enum class TokenizerModel { kBpe, kSpm, kUnigram, kWordPiece };

// tokenizer.ggml.token_type.
enum TokenType : std::int32_t {
  kTokenNormal = 1,
  kTokenUnknown = 2,
  kTokenControl = 3,
  kTokenUserDefined = 4,
  kTokenUnused = 5,
  kTokenByte = 6,
};

// What a GGUF file says about its tokenizer, under the keys tokenizer.ggml.* (in brackets where the
// name differs). Start from default_spec(), then put in what the file has.
struct TokenizerSpec {
  TokenizerModel model = TokenizerModel::kBpe;
  std::string pre_tokenizer;              // [pre] of kBpe: "smollm", "llama-bpe", "qwen2", ...
  std::vector<std::string> tokens;        // index = id
  std::vector<std::int32_t> token_types;  // TokenType; empty: all normal
  std::vector<float> scores;              // kSpm, kUnigram: one per token
  std::vector<std::string> merges;        // kBpe: "left right", best first
  std::optional<std::int32_t> bos, eos, eot, unk, sep, pad, mask;  // [*_token_id]; bos of
                                                                   // kWordPiece is its [CLS]
  bool add_bos = false;                                            // [add_bos_token]
  bool add_eos = false;                                            // [add_eos_token]
  // [add_space_prefix] kSpm, kUnigram: text begins as if a space stood before it.
  bool add_space_prefix = false;
  bool remove_extra_whitespaces = false;  // kUnigram: runs of spaces count as one
  std::string precompiled_charsmap;       // kUnigram: SentencePiece's normalization, raw bytes
  bool lowercase = true;                  // kWordPiece [normalizer.lowercase]
  bool strip_accents = true;              // kWordPiece [normalizer.strip_accents]
  // Tokens that take the ASCII white space in front of them, or behind them, where they are found
  // whole in a text (special and user-defined ones; no effect on others). Ascending ids. GGUF has
  // no key for them: add_strip_rules().
  std::vector<std::int32_t> strip_left, strip_right;
};

// A spec without tokens, in which ids and flags are those that llama.cpp takes when a file does not
// have their keys. Ids may lie outside the vocabulary: see drop_missing_ids().
TokenizerSpec default_spec(TokenizerModel model, std::string_view pre_tokenizer);
// Fills strip_left and strip_right as llama.cpp does, which goes by the names of the model
// (general.name), its architecture and the pre-tokenizer. REQUIRES: the vocabulary is filled in.
void add_strip_rules(TokenizerSpec& spec, std::string_view model_name,
                     std::string_view architecture);
// Takes back default ids that the vocabulary does not reach.
void drop_missing_ids(TokenizerSpec& spec);
// Adds unused tokens "[PAD<id>]" until the vocabulary has as many as the embedding has rows.
void pad_vocabulary(TokenizerSpec& spec, std::size_t token_count);

struct EncodeOptions {
  bool add_special = false;    // BOS in front and EOS at the end where the spec says so
  bool parse_special = false;  // false: control tokens spelled out in the text stay text
};

struct DecodeOptions {
  bool skip_special = true;  // leave out control and unknown tokens
  // The ids continue a text: a leading space that the first token spells is part of the answer.
  // Otherwise one that the tokenizer itself puts in front of every text is taken off.
  bool is_continuation = false;
  // Special tokens that are text all the same, as tags of an answer are (answer_format.h).
  std::vector<std::int32_t> shown{};
};

// What tokenizer_config.json and generation_config.json of a Hugging Face folder say beyond
// tokenizer.json; read_tokenizer_config() of text/tokenizer_json.h fills it.
struct TokenizerConfig {
  std::optional<std::string> bos, eos, unk, sep, cls, pad, mask;  // texts of tokens
  std::vector<std::int32_t> end_ids;  // eos_token_id of generation_config.json, may be empty
  std::string chat_template;          // empty: none, or in a file of its own
};

class Tokenizer {
 public:
  // From what a GGUF file says; ids are those of llama.cpp. Unsupported for an unknown
  // pre-tokenizer (the ids could be wrong). Corrupt when tokens repeat or are not UTF-8, when
  // types, scores, ids or merges do not fit the vocabulary.
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerSpec& spec);

  // From the bytes of a tokenizer.json; ids are those of Hugging Face's `tokenizers` without
  // truncation and padding. Corrupt when it is not one, Unsupported for a decoder that is not
  // known, Exhausted beyond kTokenizerJsonBytesMax. Byte-level and SentencePiece BPE are encoded
  // by code of ours; the crate is made when the first text needs it (NFC, new characters), and an
  // encode() can fail with what it has against the file.
  static Result<std::shared_ptr<const Tokenizer>> create_from_json(std::string_view tokenizer_json,
                                                                   const TokenizerConfig& config);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // User-defined tokens are found in the text whatever the options say. Each byte that is not part
  // of a well-formed UTF-8 character counts as U+FFFD (as in llama.cpp, which differs for
  // surrogates and overlong forms only). A byte that the vocabulary cannot spell is left out.
  // InvalidArgument when the text is longer than kTextBytesMax.
  Result<std::vector<std::int32_t>> encode(std::string_view utf8, EncodeOptions options) const;

  // Well-formed UTF-8: what is cut or broken becomes U+FFFD. InvalidArgument for an id outside the
  // vocabulary.
  Result<std::string> decode(std::span<const std::int32_t> ids, DecodeOptions options = {}) const;

  // Raw bytes of one token, the byte-level alphabet undone; empty outside the vocabulary. Valid as
  // long as the tokenizer.
  std::string_view token_bytes(std::int32_t id) const noexcept;
  // The token as the vocabulary spells it, e.g. "<|im_end|>" or "\u0120the"; empty outside it.
  // Valid as long as the tokenizer.
  std::string_view spelling(std::int32_t id) const noexcept;
  // Control or unknown token: not text that a user should see.
  bool is_special(std::int32_t id) const noexcept;
  // Ends a generation: EOS, EOT and every token that llama.cpp treats so by its text.
  bool is_end(std::int32_t id) const noexcept;
  // The id of the token that the vocabulary spells exactly so, e.g. "<|im_end|>".
  std::optional<std::int32_t> find(std::string_view token) const;

  // Whether decode() takes a leading space off a text that is no continuation.
  bool strips_first_space() const noexcept;

  std::size_t vocab_size() const noexcept;
  std::optional<std::int32_t> bos() const noexcept;
  std::optional<std::int32_t> eos() const noexcept;

 private:
  struct State;  // tokenizer_state.h
  explicit Tokenizer(std::unique_ptr<const State> state);

  std::unique_ptr<const State> state_;
};

// Turns ids into text as they come. The pieces together are exactly what decode() gives for all
// ids with the same options; each piece is well-formed UTF-8, so a character may wait for the
// tokens that complete it.
class StreamDecoder {
 public:
  // By default what a model adds to a prompt.
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer,
                         DecodeOptions options = {.is_continuation = true});

  // The text that `id` completes, often empty. Ids outside the vocabulary add nothing.
  std::string push(std::int32_t id);
  // What is still waiting, as U+FFFD. The decoder is then as new.
  std::string finish();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;  // shared: a decoder may outlive the loaded model
  DecodeOptions options_;
  bool is_at_start_ = true;
  std::string pending_;  // the beginning of one character, at most 3 bytes
};

}  // namespace paring::text
