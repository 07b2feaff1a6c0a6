// SPDX-License-Identifier: Apache-2.0
#include "serve/trace_context.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace paring::serve {
namespace {

constexpr const char* kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr const char* kSpan = "00f067aa0ba902b7";

std::string parent(const std::string& version = "00", const std::string& more = "") {
  return version + "-" + kTrace + "-" + kSpan + "-01" + more;
}

net::HttpHead head_with(const std::vector<std::string>& parents) {
  net::HttpHead head;
  for (const std::string& value : parents) head.headers.push_back({"traceparent", value});
  return head;
}

TEST(TraceContext, ReadsWhatKeepsToTheSpecification) {
  const auto trace = parse_traceparent(parent());
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->trace_id, kTrace);
  EXPECT_EQ(trace->parent_id, kSpan);
  EXPECT_EQ(trace->flags, kTraceSampled);
  EXPECT_EQ(parse_traceparent(parent().replace(53, 2, "a3"))->flags, 0xa3);
}

TEST(TraceContext, LaterVersionsAreReadAsFarAsTheyAreKnown) {
  EXPECT_TRUE(parse_traceparent(parent("01")));
  EXPECT_TRUE(parse_traceparent(parent("cc", "-what-the-future-brings")));
  EXPECT_TRUE(parse_traceparent(parent("cc", "-")));
  EXPECT_FALSE(parse_traceparent(parent("cc", ".more")));
  EXPECT_FALSE(parse_traceparent(parent("cc", "0")));
}

TEST(TraceContext, AnythingElseIsNone) {
  const std::string zeros(32, '0');
  const std::string bad[] = {
      "",
      "00",
      parent().substr(1),
      parent().substr(0, 54),
      parent("00", "-"),
      parent("00", "-01"),
      parent("00", " "),
      parent("ff"),
      parent("FF"),
      parent("0g"),
      parent().replace(2, 1, "_"),
      parent().replace(35, 1, "."),
      parent().replace(52, 1, "+"),
      parent().replace(3, 32, zeros),
      parent().replace(36, 16, zeros, 0, 16),
      parent().replace(3, 1, "A"),
      parent().replace(36, 1, "F"),
      parent().replace(53, 2, "0x"),
      parent().replace(10, 1, std::string(1, '\0')),
  };
  for (const std::string& value : bad) EXPECT_FALSE(parse_traceparent(value)) << value;
}

TEST(TraceContext, ARequestHasTheTraceOfItsCallerAndASpanOfItsOwn) {
  const TraceContext trace = trace_of(head_with({parent()}));
  EXPECT_EQ(trace.trace_id, kTrace);
  EXPECT_EQ(trace.parent_id, kSpan);
  EXPECT_EQ(trace.span_id.size(), 16U);
  EXPECT_NE(trace.span_id, kSpan);
  EXPECT_EQ(trace.response_header(), "00-" + std::string(kTrace) + "-" + trace.span_id + "-01");
  EXPECT_TRUE(parse_traceparent(trace.response_header()));
  // Flags of later versions mean nothing that we could say.
  EXPECT_EQ(trace_of(head_with({parent("00").replace(53, 2, "ff")})).flags, 3);
}

TEST(TraceContext, ARequestWithoutOneBeginsATrace) {
  std::set<std::string> ids;
  for (const auto& parents : {std::vector<std::string>{}, {"nonsense"}, {parent(), parent()}}) {
    const TraceContext trace = trace_of(head_with(parents));
    EXPECT_NE(trace.trace_id, kTrace);
    EXPECT_TRUE(trace.parent_id.empty());
    EXPECT_EQ(trace.flags, kTraceRandom);
    EXPECT_TRUE(parse_traceparent(trace.response_header())) << trace.response_header();
    ids.insert(trace.trace_id);
    ids.insert(trace.span_id);
  }
  EXPECT_EQ(ids.size(), 6U);
}

}  // namespace
}  // namespace paring::serve
