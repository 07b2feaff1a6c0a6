// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/speed_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace paring::measure {

namespace {

constexpr const char* kForms =
    "write prefill:512, decode:128, decode:64@4096 or together:8x128+128";

Error bad_case(std::string_view text, const std::string& reason) {
  return invalid_argument(fmt::format("'{}' is no case to time: {}", text, reason), kForms);
}

// Takes a number in [1, most] off the front of `rest`.
bool take_number(std::string_view& rest, std::size_t most, std::size_t& value) {
  const auto result = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (result.ec != std::errc() || value == 0 || value > most) return false;
  rest.remove_prefix(static_cast<std::size_t>(result.ptr - rest.data()));
  return true;
}

bool take(std::string_view& rest, char wanted) {
  if (rest.empty() || rest.front() != wanted) return false;
  rest.remove_prefix(1);
  return true;
}

std::string grouped(std::size_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

}  // namespace

const char* case_kind_name(CaseKind kind) noexcept {
  switch (kind) {
    case CaseKind::kPrefill:
      return "prefill";
    case CaseKind::kDecode:
      return "decode";
    case CaseKind::kTogether:
      break;
  }
  return "together";
}

std::string case_text(const SpeedCase& c) {
  const std::string name = case_kind_name(c.kind);
  if (c.kind == CaseKind::kPrefill) return fmt::format("{}:{}", name, c.prompt);
  if (c.kind == CaseKind::kTogether) {
    return fmt::format("{}:{}x{}+{}", name, c.sequences, c.prompt, c.decode);
  }
  return c.prompt == 0 ? fmt::format("{}:{}", name, c.decode)
                       : fmt::format("{}:{}@{}", name, c.decode, c.prompt);
}

std::string case_title(const SpeedCase& c) {
  if (c.kind == CaseKind::kPrefill) return fmt::format("prefill {}", grouped(c.prompt));
  if (c.kind == CaseKind::kTogether) {
    return fmt::format("{} sequences together ({} + {} each), decode", c.sequences,
                       grouped(c.prompt), grouped(c.decode));
  }
  return c.prompt == 0
             ? fmt::format("decode {}", grouped(c.decode))
             : fmt::format("decode {} after {} tokens", grouped(c.decode), grouped(c.prompt));
}

Result<SpeedCase> parse_case(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return bad_case(text, "it has no ':'");
  const std::string_view kind = text.substr(0, colon);
  std::string_view rest = text.substr(colon + 1);
  SpeedCase c;
  bool is_read = false;
  const auto tokens = [&](std::size_t& value) { return take_number(rest, kCaseTokensMax, value); };
  if (kind == "prefill") {
    is_read = tokens(c.prompt);
  } else if (kind == "decode") {
    c.kind = CaseKind::kDecode;
    is_read = tokens(c.decode) && (!take(rest, '@') || tokens(c.prompt));
  } else if (kind == "together") {
    c.kind = CaseKind::kTogether;
    is_read = take_number(rest, kCaseSequencesMax, c.sequences) && take(rest, 'x') &&
              tokens(c.prompt) && take(rest, '+') && tokens(c.decode);
  } else {
    return bad_case(text, fmt::format("'{}' is not prefill, decode or together", kind));
  }
  if (!is_read || !rest.empty()) {
    return bad_case(text, fmt::format("its numbers must be 1 to {} tokens and 1 to {} sequences",
                                      kCaseTokensMax, kCaseSequencesMax));
  }
  return c;
}

Result<std::vector<SpeedCase>> parse_cases(std::string_view text) {
  std::vector<SpeedCase> cases;
  while (true) {
    const std::size_t comma = text.find(',');
    PARING_TRY(const SpeedCase c, parse_case(text.substr(0, comma)));
    if (std::find(cases.begin(), cases.end(), c) != cases.end()) {
      return bad_case(case_text(c), "it is there twice");
    }
    cases.push_back(c);
    if (comma == std::string_view::npos) return cases;
    text.remove_prefix(comma + 1);
  }
}

std::vector<SpeedCase> default_cases() {
  return {{CaseKind::kPrefill, 1, 512, 0},    {CaseKind::kPrefill, 1, 4096, 0},
          {CaseKind::kDecode, 1, 0, 128},     {CaseKind::kDecode, 1, 4096, 64},
          {CaseKind::kTogether, 8, 128, 128}, {CaseKind::kTogether, 32, 128, 128}};
}

}  // namespace paring::measure
