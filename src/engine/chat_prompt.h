// SPDX-License-Identifier: Apache-2.0
// Token ids of a conversation, through the model's chat template, such that what people wrote stays
// text: a message that contains "<|im_end|>" cannot end its turn.
//
// How: control tokens count only where the template itself wrote them. The template is rendered
// twice, once with the messages as they are and once with everything in them that could become
// (part of) a control token replaced by keys that nobody can guess. Putting the originals back for
// the keys must give the first rendering again; then each key marks text of a message. A template
// that changes what the keys stand for is refused, never rendered unprotected. Immutable,
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/metadata.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace paring::engine {

// The texts of control tokens (GGUF token types "control" and "unknown") with their ids.
struct ControlTokens {
  std::vector<std::pair<std::string, std::int32_t>> tokens;  // longest text first
};
Result<ControlTokens> read_control_tokens(const io::Metadata& metadata);

// Part of a rendered prompt: text to encode without control tokens, or one control token.
struct PromptPart {
  std::string text;
  std::int32_t control = -1;  // >= 0: this token, `text` is its name
  bool operator==(const PromptPart&) const = default;
};

using RenderMessages =
    std::function<Result<std::string>(std::span<const text::ChatMessage> messages)>;

// Renders `messages` and separates the template's control tokens from text. `nonce` is the secret
// of the keys, lower-case letters and digits. InvalidArgument for a role that is not a plain word,
// Unsupported when the template cannot be rendered safely.
Result<std::vector<PromptPart>> split_prompt(const RenderMessages& render,
                                             std::span<const text::ChatMessage> messages,
                                             const ControlTokens& control,
                                             const std::string& nonce);

// Text as token ids, without special tokens.
using EncodeText = std::function<Result<std::vector<std::int32_t>>(std::string_view text)>;
Result<std::vector<std::int32_t>> encode_parts(std::span<const PromptPart> parts,
                                               const EncodeText& encode);

// The prompt that asks for the next answer: template, control tokens, BOS when the model wants one
// and the template wrote none.
class ChatPrompt {
 public:
  // `chat_template` must not be null.
  static Result<ChatPrompt> create(const io::Metadata& metadata,
                                   std::shared_ptr<const text::Tokenizer> tokenizer,
                                   std::shared_ptr<const text::ChatTemplate> chat_template,
                                   bool add_bos);
  Result<std::vector<std::int32_t>> encode(std::span<const text::ChatMessage> messages) const;

 private:
  ChatPrompt() = default;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::shared_ptr<const text::ChatTemplate> chat_template_;
  ControlTokens control_;
  bool add_bos_ = false;
};

}  // namespace paring::engine
