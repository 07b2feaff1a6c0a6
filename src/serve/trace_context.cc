// SPDX-License-Identifier: Apache-2.0
#include "serve/trace_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace paring::serve {

namespace {

constexpr std::size_t kTraceDigits = 32;
constexpr std::size_t kSpanDigits = 16;
// 00-TRACE-SPAN-FLAGS
constexpr std::size_t kTraceAt = 3;
constexpr std::size_t kSpanAt = kTraceAt + kTraceDigits + 1;
constexpr std::size_t kFlagsAt = kSpanAt + kSpanDigits + 1;
constexpr std::size_t kValueSize = kFlagsAt + 2;

int digit_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool is_hex(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return digit_of(c) >= 0; });
}

bool is_id(std::string_view text) noexcept {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

std::string random_hex(std::size_t digits) {
  thread_local std::mt19937_64 source{[] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }()};
  std::string text;
  while (text.size() < digits) text += fmt::format("{:016x}", source());
  text.resize(digits);
  if (text.find_first_not_of('0') == std::string::npos) text.back() = '1';
  return text;
}

std::string TraceContext::response_header() const {
  return fmt::format("00-{}-{}-{:02x}", trace_id, span_id, flags);
}

std::optional<TraceContext> parse_traceparent(std::string_view value) {
  if (value.size() < kValueSize) return std::nullopt;
  const std::string_view version = value.substr(0, 2);
  const std::string_view trace = value.substr(kTraceAt, kTraceDigits);
  const std::string_view span = value.substr(kSpanAt, kSpanDigits);
  const std::string_view flags = value.substr(kFlagsAt, 2);
  const bool has_dashes =
      value[kTraceAt - 1] == '-' && value[kSpanAt - 1] == '-' && value[kFlagsAt - 1] == '-';
  if (!has_dashes || !is_hex(version) || version == "ff") return std::nullopt;
  if (!is_id(trace) || !is_id(span) || !is_hex(flags)) return std::nullopt;
  // Only a later version may have more, behind another dash.
  if (value.size() > kValueSize && (version == "00" || value[kValueSize] != '-')) {
    return std::nullopt;
  }
  return TraceContext{
      .trace_id = std::string(trace),
      .parent_id = std::string(span),
      .span_id = {},
      .flags = static_cast<std::uint8_t>(digit_of(flags[0]) * 16 + digit_of(flags[1]))};
}

TraceContext trace_of(const net::HttpHead& head) {
  const auto is_parent = [](const net::HttpHeader& header) { return header.name == "traceparent"; };
  std::optional<TraceContext> given;
  if (std::count_if(head.headers.begin(), head.headers.end(), is_parent) == 1) {
    given = parse_traceparent(*head.find("traceparent"));
  }
  TraceContext trace = given.value_or(TraceContext{
      .trace_id = random_hex(kTraceDigits), .parent_id = {}, .span_id = {}, .flags = kTraceRandom});
  trace.span_id = random_hex(kSpanDigits);
  trace.flags &= kTraceSampled | kTraceRandom;
  return trace;
}

}  // namespace paring::serve
