// SPDX-License-Identifier: Apache-2.0
#include "shrink/report_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace paring::shrink::report {
namespace {

struct CodePoint {
  char32_t value;
  std::size_t bytes;  // 0: `text` does not begin with a valid sequence
};

// Strict UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
CodePoint decode(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return {0, 0};
  char32_t value = first & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80U) return {0, 0};
    value = (value << 6) | (byte(i) & 0x3fU);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kLeast[length] || value > 0x10ffff) return {0, 0};
  if (value >= 0xd800 && value <= 0xdfff) return {0, 0};
  return {value, length};
}

// Invisible or misleading in a page, or not a character of XML 1.0.
bool is_hidden(char32_t c) {
  if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return true;
  if (c == 0x200e || c == 0x200f || c == 0x61c) return true;        // direction marks
  if (c >= 0x202a && c <= 0x202e) return true;                      // embeddings, overrides
  if (c >= 0x2066 && c <= 0x2069) return true;                      // isolates
  if (c == 0x2028 || c == 0x2029 || c == 0xfeff) return true;       // separators, byte order
  return (c & 0xfffeU) == 0xfffeU || (c >= 0xfdd0 && c <= 0xfdef);  // noncharacters
}

void append_escaped(std::string& out, std::string_view text, const CodePoint& point) {
  if (point.bytes == 0) {
    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
  } else if (is_hidden(point.value)) {
    out += point.value < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(point.value))
                              : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(point.value));
  } else if (point.value == '&') {
    out += "&amp;";
  } else if (point.value == '<') {
    out += "&lt;";
  } else if (point.value == '>') {
    out += "&gt;";
  } else if (point.value == '"') {
    out += "&quot;";
  } else if (point.value == '\'') {
    out += "&#39;";
  } else {
    out += text.substr(0, point.bytes);
  }
}

// fmt writes 3.5e-05; people write 3.5e-5.
std::string plain_exponent(std::string text) {
  const std::size_t e = text.find('e');
  if (e == std::string::npos || e + 2 >= text.size()) return text;
  std::size_t digit = e + 2;
  while (digit + 1 < text.size() && text[digit] == '0') text.erase(digit, 1);
  if (text[e + 1] == '+') text.erase(e + 1, 1);
  return text;
}

std::string with_minus_sign(const std::string& text) {
  if (text.empty() || text.front() != '-') return text;
  return std::string(kMinus) + text.substr(1);
}

}  // namespace

std::string escape(std::string_view text) { return escape_cut(text, text.size()); }

std::string escape_cut(std::string_view text, std::size_t characters_max) {
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t count = 0; !text.empty(); ++count) {
    if (count >= characters_max) return out + "...";
    const CodePoint point = decode(text);
    append_escaped(out, text, point);
    text.remove_prefix(std::max<std::size_t>(point.bytes, 1));
  }
  return out;
}

std::string shell_quote(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=+,@%-";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string_view file_name(std::string_view path) {
  if (path.empty()) return "model";
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos || slash + 1 == path.size()) return path;
  return path.substr(slash + 1);
}

std::string number(double value, int significant_digits) {
  if (!std::isfinite(value)) return std::string(kNoValue);
  return with_minus_sign(plain_exponent(fmt::format("{:.{}g}", value, significant_digits)));
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return std::string(kNoValue);
  if (std::abs(value) >= 1e15) return number(value, 6);
  std::string text = fmt::format("{:.{}f}", value == 0 ? 0.0 : value, decimals);
  const std::size_t digits_end = std::min(text.find('.'), text.size());
  const std::size_t digits_begin = text.front() == '-' ? 1 : 0;
  // A thin non-breaking space every three digits from 10 000 upward (ISO 80000-1).
  if (digits_end - digits_begin > 4) {
    for (std::size_t at = digits_end; at > digits_begin + 3;) {
      at -= 3;
      text.insert(at, "&#8239;");
    }
  }
  return with_minus_sign(text);
}

std::string percent(double share, int decimals) {
  if (!std::isfinite(share)) return std::string(kNoValue);
  return fixed(share * 100, decimals) + "&#160;%";
}

std::string factor(double source, double target) {
  const double value = target / source;
  if (!(source > 0) || !(target > 0) || !std::isfinite(value)) return std::string(kNoValue);
  return (value < 1000 ? fixed(value, value < 10 ? 2 : 1) : number(value)) + std::string(kTimes);
}

std::string change(double source, double target, int decimals) {
  const double value = (target / source - 1) * 100;
  if (!(source > 0) || !std::isfinite(value)) return std::string(kNoValue);
  return (value > 0 ? "+" : "") + fixed(value, decimals) + "&#160;%";
}

std::string seconds(double value) {
  if (!std::isfinite(value) || value < 0 || value > 1e12) return std::string(kNoValue);
  return format_duration(value);
}

bool is_plottable(double value) noexcept { return std::isfinite(value) && std::abs(value) < 1e15; }

std::optional<std::uint64_t> matrix_bytes(const MatrixPlan& plan, DType type) {
  for (const TypeOption& option : plan.options) {
    if (option.type == type) return option.bytes;
  }
  const Result<std::uint64_t> row = dtype_row_bytes(type, plan.cols);
  if (!row.has_value()) return std::nullopt;
  return *row * plan.rows;
}

const TypeOption* chosen_option(const MatrixPlan& plan) noexcept {
  for (const TypeOption& option : plan.options) {
    if (option.type == plan.chosen) return &option;
  }
  return nullptr;
}

std::optional<double> chosen_kl(const MatrixPlan& plan) noexcept {
  if (const TypeOption* option = chosen_option(plan)) {
    if (std::isfinite(option->predicted_kl)) return option->predicted_kl;
    return std::nullopt;
  }
  if (plan.chosen == plan.original) return 0.0;
  return std::nullopt;
}

}  // namespace paring::shrink::report
