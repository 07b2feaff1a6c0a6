// SPDX-License-Identifier: Apache-2.0
// What is timed on two programs: written as prefill:512, decode:128, decode:64@4096 (64 tokens
// after 4,096) and together:8x128+128 (8 sequences of 128 tokens, then 128 more of each at once).
// Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::measure {

enum class CaseKind : std::uint8_t {
  kPrefill,   // timed: a prompt, up to the logits of its last token
  kDecode,    // timed: single tokens after a prompt, which may be empty
  kTogether,  // timed: steps of one token of each sequence, after their prompts
};

struct SpeedCase {
  CaseKind kind = CaseKind::kPrefill;
  std::size_t sequences = 1;
  std::size_t prompt = 0;  // tokens of each sequence in front of those that are decoded
  std::size_t decode = 0;  // of each sequence

  // Tokens that one sequence reaches.
  std::size_t length() const { return prompt + decode; }
  // Tokens that are timed.
  std::size_t timed_tokens() const {
    return kind == CaseKind::kPrefill ? prompt : sequences * decode;
  }
  friend bool operator==(const SpeedCase&, const SpeedCase&) = default;
};

// "prefill", "decode" or "together".
const char* case_kind_name(CaseKind kind) noexcept;
// As it is written.
std::string case_text(const SpeedCase& speed_case);
// "decode 64 after 4,096 tokens".
std::string case_title(const SpeedCase& speed_case);
// InvalidArgument names the part that is wrong.
Result<SpeedCase> parse_case(std::string_view text);
// Separated by commas; no case twice.
Result<std::vector<SpeedCase>> parse_cases(std::string_view text);
// The phases of a server's day: short and long prompts, decoding short and deep, 8 and 32 together.
std::vector<SpeedCase> default_cases();

// Limits of one case.
inline constexpr std::size_t kCaseTokensMax = std::size_t{1} << 17;
inline constexpr std::size_t kCaseSequencesMax = 256;

}  // namespace paring::measure
