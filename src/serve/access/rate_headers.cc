// SPDX-License-Identifier: Apache-2.0
#include "serve/access/rate_headers.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "base/clock.h"

namespace paring::serve {

namespace {

using Figures = RateState::Figures;

void add_openai(std::vector<net::HttpHeader>& headers, const char* what,
                const std::optional<Figures>& figures) {
  if (!figures) return;
  headers.push_back({fmt::format("x-ratelimit-limit-{}", what), std::to_string(figures->limit)});
  headers.push_back(
      {fmt::format("x-ratelimit-remaining-{}", what), std::to_string(figures->remaining)});
  headers.push_back(
      {fmt::format("x-ratelimit-reset-{}", what), go_duration(figures->reset_seconds)});
}

void add_anthropic(std::vector<net::HttpHeader>& headers, const char* what,
                   const std::optional<Figures>& figures, double wall_seconds) {
  if (!figures) return;
  const std::string begin = fmt::format("anthropic-ratelimit-{}-", what);
  headers.push_back({begin + "limit", std::to_string(figures->limit)});
  headers.push_back({begin + "remaining", std::to_string(figures->remaining)});
  // Whole seconds, not before everything is there again.
  headers.push_back(
      {begin + "reset", format_utc(std::ceil(wall_seconds + figures->reset_seconds))});
}

}  // namespace

std::string go_duration(double seconds) {
  constexpr std::int64_t kMsPerMinute = 60'000;
  constexpr std::int64_t kMsPerHour = 60 * kMsPerMinute;
  const auto ms = static_cast<std::int64_t>(std::ceil(seconds * 1000));
  if (ms <= 0) return "0s";
  if (ms < 1000) return fmt::format("{}ms", ms);
  std::string text;
  if (ms >= kMsPerHour) text += fmt::format("{}h", ms / kMsPerHour);
  if (ms >= kMsPerMinute) text += fmt::format("{}m", ms % kMsPerHour / kMsPerMinute);
  return text + fmt::format("{}s", static_cast<double>(ms % kMsPerMinute) / 1000);
}

std::vector<net::HttpHeader> rate_headers(wire::Protocol protocol, const RateState& state,
                                          double wall_seconds) {
  std::vector<net::HttpHeader> headers;
  if (protocol == wire::Protocol::kAnthropic) {
    add_anthropic(headers, "requests", state.requests, wall_seconds);
    add_anthropic(headers, "tokens", state.tokens, wall_seconds);
  } else {
    add_openai(headers, "requests", state.requests);
    add_openai(headers, "tokens", state.tokens);
  }
  return headers;
}

}  // namespace paring::serve
