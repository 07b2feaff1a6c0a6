// SPDX-License-Identifier: Apache-2.0
// ChatTemplate: messages to the prompt text of one model, by the Jinja template that its file
// brings. Rendered as the `transformers` package does. Templates come from strangers: no access to
// files or other templates, and every bound below ends in an error. Immutable, shared by threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::text {

inline constexpr std::size_t kTemplateBytesMax = std::size_t{1} << 18;  // the largest seen: 20 KB
inline constexpr std::size_t kTemplateOutputBytesMax = std::size_t{1} << 24;
inline constexpr std::size_t kChatBytesMax = std::size_t{1} << 23;  // roles and contents together
inline constexpr std::size_t kChatMessagesMax = 1 << 14;
inline constexpr std::size_t kChatDepthMax = 64;  // of tools and of messages with structure
// Template instructions of one rendering; a long chat takes about 100 a message.
inline constexpr std::uint64_t kTemplateFuel = 10'000'000;
inline constexpr std::size_t kTemplateRecursionMax = 64;
// Text and list items that one rendering makes, in variables or on the way: bounds its memory.
inline constexpr std::size_t kTemplateValueBytesMax = std::size_t{1} << 27;
// Processor time of one rendering, for what the other bounds let pass; a long chat takes 10 ms.
inline constexpr std::uint64_t kTemplateTimeMs = 4'000;

// A rendering needs room for deep recursion. A thread with such a stack renders on it; for any
// other one a thread is started each time, which takes several times as long as most renderings.
inline constexpr std::size_t kRenderStackBytes = std::size_t{66} << 20;

struct ChatMessage {
  std::string role;     // "system", "user", "assistant", ...
  std::string content;  // UTF-8
};

// A conversation with everything that templates know of, as JSON texts.
struct ChatInput {
  std::string messages;   // [{"role": ..., "content": ..., "tool_calls": ...}, ...]
  std::string tools;      // [{"type": "function", "function": {...}}, ...]; empty: none
  std::string variables;  // {"enable_thinking": false, ...} for the template; empty: none
};

class ChatTemplate {
 public:
  // The tokens are given as text. Corrupt when the template does not parse, InvalidArgument when it
  // is longer than kTemplateBytesMax.
  static Result<std::shared_ptr<const ChatTemplate>> create(std::string_view jinja_source,
                                                            std::string bos_token,
                                                            std::string eos_token);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // `add_generation_prompt` appends the beginning of the assistant's turn. InvalidArgument when the
  // template refuses the messages (its words are in the error) or a message is not UTF-8, Exhausted
  // at a limit.
  Result<std::string> render(std::span<const ChatMessage> messages,
                             bool add_generation_prompt) const;
  // The same with tools and with messages of any structure. Keys keep their order.
  Result<std::string> render(const ChatInput& chat, bool add_generation_prompt) const;
  Result<std::string> render_at(const ChatInput& chat, bool add_generation_prompt,
                                std::int64_t now) const;
  // The first at a given time (seconds since 1970), which strftime_now shows.
  Result<std::string> render_at(std::span<const ChatMessage> messages, bool add_generation_prompt,
                                std::int64_t now) const;

 private:
  Result<std::string> render_context(std::string_view context, bool add_generation_prompt,
                                     std::int64_t now) const;

  struct State;
  explicit ChatTemplate(std::unique_ptr<const State> state);

  std::unique_ptr<const State> state_;
};

}  // namespace paring::text
