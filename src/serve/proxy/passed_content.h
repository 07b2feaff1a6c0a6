// SPDX-License-Identifier: Apache-2.0
// The prompt and the answer of what passed a proxy, out of the bytes that passed: OpenAI's chats
// and completions and Anthropic's messages, whole or as a stream. Pure functions.
#pragma once

#include <cstddef>
#include <string_view>

#include "store/traffic_rows.h"

namespace paring::serve {

// Of a request's body, and of an answer; of longer ones no content is kept.
inline constexpr std::size_t kPassedBytesMax = std::size_t{4} << 20;

// Whether requests to this path have content that is understood.
bool has_passed_content(std::string_view path) noexcept;

// Of the body of a request (`prompt`) and the bytes of its answer (`answer`) makes the content of a
// row, in place. False: they are something else, or broke off.
bool read_passed(store::TrafficContent& content);

}  // namespace paring::serve
