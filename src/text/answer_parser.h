// SPDX-License-Identifier: Apache-2.0
// Takes an answer apart as it comes: content, reasoning, calls of tools. The events do not depend
// on how the text is cut into pieces. What could still become a tag is held back, nothing else; a
// tag is never content; what begins like a call and is none comes as content, and that is told.
//
//   text::AnswerParser parser({.format = format, .finds_calls = true});
//   for (const auto& event : parser.feed(piece)) ...        // once a piece
//   for (const auto& event : parser.finish()) ...           // once
//
// White space between a tag and what stands beside it belongs to neither. Arguments are the model's
// own characters, but for line ends inside a string, which JSON does not have: they are escaped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_format.h"

namespace paring::text {

inline constexpr std::size_t kHeldCallBytesMax = std::size_t{1} << 16;  // before a call is certain
inline constexpr std::size_t kToolNameBytesMax = 512;
inline constexpr std::size_t kArgumentsDepthMax = 256;

enum class AnswerEventKind : std::uint8_t {
  kContent,        // `text`
  kReasoning,      // `text`
  kCallBegin,      // `call`, `id`; `text` is the name
  kCallArguments,  // `call`; `text` is a piece of the JSON
  kCallEnd,        // `call`, `is_complete`
  kMalformed,      // `text` says what is wrong; what was held back follows as content
};

struct AnswerEvent {
  AnswerEventKind kind = AnswerEventKind::kContent;
  std::string text{};
  std::size_t call = 0;  // 0 for the first of the answer
  std::string id{};
  bool is_complete = true;  // the arguments end; false where the answer was cut or went wrong

  bool operator==(const AnswerEvent&) const = default;
};

struct AnswerParserOptions {
  AnswerFormat format{};
  std::optional<ReasoningForm> reasoning{};  // reasoning_behind() the prompt
  bool finds_calls = false;                  // the request has tools
  std::vector<std::string> tool_names{};     // other names are no calls; empty: any
  std::string id_prefix = "call_";           // ids are this and the number of the call
};

// Belongs to one answer; one thread at a time.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerParserOptions options);
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;

  // What the piece (UTF-8, cut anywhere) makes certain.
  std::vector<AnswerEvent> feed(std::string_view piece);
  // The answer has ended: what was held back. Not to be fed again.
  std::vector<AnswerEvent> finish();
  // Whether what was fed ends within reasoning: what comes next belongs to it, or closes it.
  bool is_in_reasoning() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace paring::text
