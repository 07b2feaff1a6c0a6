// SPDX-License-Identifier: Apache-2.0
#include "serve/access/rate_headers.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace paring::serve {
namespace {

std::map<std::string, std::string> headers_of(wire::Protocol protocol, const RateState& state,
                                              double wall_seconds = 0) {
  std::map<std::string, std::string> found;
  for (const net::HttpHeader& header : rate_headers(protocol, state, wall_seconds)) {
    EXPECT_TRUE(found.emplace(header.name, header.value).second) << header.name;
  }
  return found;
}

TEST(RateHeaders, OpenAiGetsDurations) {
  const auto headers = headers_of(
      wire::Protocol::kOpenAi,
      {.requests = RateState::Figures{60, 59, 1}, .tokens = RateState::Figures{1000, 7, 59.5804}});
  const std::map<std::string, std::string> expected = {
      {"x-ratelimit-limit-requests", "60"},     {"x-ratelimit-limit-tokens", "1000"},
      {"x-ratelimit-remaining-requests", "59"}, {"x-ratelimit-remaining-tokens", "7"},
      {"x-ratelimit-reset-requests", "1s"},     {"x-ratelimit-reset-tokens", "59.581s"}};
  EXPECT_EQ(headers, expected);
}

TEST(RateHeaders, AnthropicGetsTimes) {
  const auto headers =
      headers_of(wire::Protocol::kAnthropic,
                 {.requests = RateState::Figures{60, 59, 1.5}, .tokens = {}}, 86'400);
  const std::map<std::string, std::string> expected = {
      {"anthropic-ratelimit-requests-limit", "60"},
      {"anthropic-ratelimit-requests-remaining", "59"},
      {"anthropic-ratelimit-requests-reset", "1970-01-02T00:00:02Z"}};
  EXPECT_EQ(headers, expected);
}

TEST(RateHeaders, NoneWithoutLimits) {
  EXPECT_TRUE(headers_of(wire::Protocol::kOpenAi, {}).empty());
  EXPECT_TRUE(headers_of(wire::Protocol::kAnthropic, {}).empty());
}

TEST(RateHeaders, DurationsAsGoWritesThem) {
  EXPECT_EQ(go_duration(0), "0s");
  EXPECT_EQ(go_duration(-1), "0s");
  EXPECT_EQ(go_duration(0.0001), "1ms");
  EXPECT_EQ(go_duration(0.12), "120ms");
  EXPECT_EQ(go_duration(1), "1s");
  EXPECT_EQ(go_duration(1.5), "1.5s");
  EXPECT_EQ(go_duration(60), "1m0s");
  EXPECT_EQ(go_duration(90.25), "1m30.25s");
  EXPECT_EQ(go_duration(3600), "1h0m0s");
  EXPECT_EQ(go_duration(7203), "2h0m3s");
}

}  // namespace
}  // namespace paring::serve
