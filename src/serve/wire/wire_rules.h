// SPDX-License-Identifier: Apache-2.0
// How strictly bodies of requests are read, and their limits. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paring::serve::wire {

inline constexpr std::size_t kBodyBytesMax = std::size_t{8} << 20;  // as text::kChatBytesMax
inline constexpr std::size_t kBodyDepthMax = 64;                    // brackets within brackets
inline constexpr std::size_t kBodyValuesMax = std::size_t{1} << 20;
inline constexpr std::size_t kObjectFieldsMax = 1024;
inline constexpr std::size_t kNameCharactersMax = 256;  // of models, tools, users
inline constexpr std::size_t kMessagesMax = 4096;
inline constexpr std::size_t kToolsMax = 128;    // as OpenAI
inline constexpr std::size_t kSamplesMax = 128;  // as OpenAI; of one prompt
inline constexpr std::size_t kPromptsMax = 256;  // of one request for text
inline constexpr std::size_t kAnswersMax = 256;  // prompts times samples
inline constexpr std::size_t kInputsMax = 2048;  // texts of one request for vectors or scores
inline constexpr std::size_t kStopsMax = 16;     // OpenAI takes 4
inline constexpr std::size_t kStopCharactersMax = 256;
inline constexpr std::size_t kTopLogprobsMax = 20;
inline constexpr std::size_t kChoicesMax = 1024;  // of guided_choice
inline constexpr std::int64_t kTokensMax = 0x7fffffff;
inline constexpr std::int64_t kTokenIdMax = 999'999'999;

struct WireRules {
  // A field that no one knows is an error: a misspelled one would otherwise be an option without
  // effect. Off: it is left out of account, in messages given to the template.
  bool is_strict = true;
};

}  // namespace paring::serve::wire
