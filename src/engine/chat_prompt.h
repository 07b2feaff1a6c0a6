// SPDX-License-Identifier: Apache-2.0
// Token ids of a conversation, through the model's chat template, such that what people wrote stays
// text: a message, a tool's description or a tool's result that contains "<|im_end|>" cannot end
// its turn.
//
// How: control tokens count only where the template itself wrote them. The template is rendered
// twice, once with the conversation as it is and once with everything in its strings that could
// become (part of) a control token replaced by keys that nobody can guess. Putting the originals
// back for the keys must give the first rendering again; then each key marks text of the
// conversation. A template that changes what the keys stand for is refused, never rendered
// unprotected. Immutable, thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace paring::engine {

// The texts of control and unknown tokens with their ids.
class ControlTokens {
 public:
  explicit ControlTokens(std::vector<std::pair<std::string, std::int32_t>> tokens);
  // Those of a vocabulary.
  static ControlTokens of(const text::Tokenizer& tokenizer);

  using Token = std::pair<std::string, std::int32_t>;
  // The longest one that `text` starts with, or nullptr.
  const Token* at(std::string_view text) const;
  bool occurs_in(std::string_view text) const;
  // Whether a token starts with this byte.
  bool may_start_with(char byte) const { return is_first_[static_cast<unsigned char>(byte)]; }
  // Whether `text`, put behind a part of a token, could go on with that token.
  bool may_continue_with(std::string_view text) const;
  const std::vector<Token>& tokens() const { return tokens_; }

 private:
  std::vector<Token> tokens_;       // longest text first
  std::vector<std::string> tails_;  // every token without its first 1, 2, ... bytes; sorted
  std::size_t tail_bytes_max_ = 0;
  std::array<bool, 256> is_first_{};
};

// Part of a rendered prompt: text to encode without control tokens, or one control token.
struct PromptPart {
  std::string text;
  std::int32_t control = -1;  // >= 0: this token, `text` is its name
  bool operator==(const PromptPart&) const = default;
};

struct SplitPrompt {
  std::string text;               // as rendered
  std::vector<PromptPart> parts;  // the same, cut
};

using RenderChat = std::function<Result<std::string>(const text::ChatInput& chat)>;

// Renders `chat`, which is as text::read_chat() gives it, and separates the template's control
// tokens from text. `nonce` is the secret of the keys, lower-case letters and digits.
// InvalidArgument for a role that is not a plain word, Unsupported when the template cannot be
// rendered safely.
Result<SplitPrompt> split_prompt(const RenderChat& render, const text::ChatInput& chat,
                                 const ControlTokens& control, const std::string& nonce);

// The ids of a prompt: those of its text as one, as `transformers` and llama.cpp encode it, unless
// people wrote control tokens into the conversation; then part by part.
Result<std::vector<std::int32_t>> encode_split(const SplitPrompt& prompt,
                                               const text::Tokenizer& tokenizer,
                                               const ControlTokens& control);

// The prompt that asks for the next answer: template, control tokens, BOS when the model wants one
// and the template wrote none.
class ChatPrompt {
 public:
  // Neither may be null.
  ChatPrompt(std::shared_ptr<const text::Tokenizer> tokenizer,
             std::shared_ptr<const text::ChatTemplate> chat_template, bool add_bos);
  // `chat` is as text::read_chat() or text::chat_of() gives it.
  Result<std::vector<std::int32_t>> encode(const text::ChatInput& chat) const;
  // nullopt, found before anything is encoded: the rendered text has more than `text_bytes_max`
  // bytes.
  Result<std::optional<std::vector<std::int32_t>>> encode_within(const text::ChatInput& chat,
                                                                 std::size_t text_bytes_max) const;

 private:
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::shared_ptr<const text::ChatTemplate> chat_template_;
  ControlTokens control_;
  bool add_bos_;
};

}  // namespace paring::engine
