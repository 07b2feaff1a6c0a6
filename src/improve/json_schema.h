// SPDX-License-Identifier: Apache-2.0
// JSON Schema, drafts 7 to 2020-12: whether a value is what a schema says. Keywords that are not
// known are refused, not passed over; "format" and the annotations say nothing, as the standard has
// it. References lead into the schema itself only. Immutable; thread-safe.
//
//   PARING_TRY(const auto schema, improve::JsonSchema::parse(text));
//   PARING_TRY(const std::string fault, schema.fault_in(answer));  // "" : it is valid
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::improve {

class JsonSchema {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{1} << 20;
  static constexpr std::size_t kDepthMax = 128;  // of schemas applied inside one another
  // Schemas applied to parts of one value; references can multiply.
  static constexpr std::size_t kStepsMax = 1'000'000;

  // InvalidArgument, with a JSON pointer: no JSON, an unknown keyword, one with a wrong value, a
  // reference that leads nowhere or out of the schema, a pattern that RE2 does not take.
  static Result<JsonSchema> parse(std::string_view text);
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;
  ~JsonSchema();

  // Empty: `text` is JSON and valid. Else why not, with a JSON pointer into the value. Exhausted: a
  // bound above.
  Result<std::string> fault_in(std::string_view text) const;

 private:
  struct State;
  explicit JsonSchema(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace paring::improve
