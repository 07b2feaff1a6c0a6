// SPDX-License-Identifier: Apache-2.0
// The one list of endpoints that this module reads and answers, for the OpenAPI document, the
// reference page and tests that go through all of them. An endpoint is one row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// Whose error bodies an endpoint has.
enum class Protocol : std::uint8_t { kOpenAi, kAnthropic, kOllama };

struct Endpoint {
  const char* method;  // "POST"
  const char* path;    // {name}: a parameter
  const char* name;    // for programs, unique
  const char* summary;
  Protocol protocol;
  const Shape& (*request)();  // null: no body
  const Shape& (*answer)();
  const char* stream_type;  // of answers that are streamed; null: there are none
  // What is wrong with a body; null: no body.
  std::optional<ApiError> (*check)(std::string_view body, const WireRules& rules);
  const Shape& (*query)() = nullptr;  // of what may stand behind '?'; null: nothing is read
  const char* form_type = nullptr;    // of bodies that `check` is not for
  const char* answer_type = nullptr;  // of answers that are no JSON
  const char* binary_type =
      nullptr;  // what bodies and answers may be instead, with the same fields
};

std::span<const Endpoint> endpoints() noexcept;

// The body of an error as the protocol has it.
std::string error_body(Protocol protocol, const ApiError& error);
const Shape& error_shape(Protocol protocol);

}  // namespace paring::serve::wire
