// SPDX-License-Identifier: Apache-2.0
#include "serve/traffic_row.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "store/token_gaps.h"

namespace paring::serve {
namespace {

RequestFacts answered() {
  RequestFacts facts;
  facts.id = "abc";
  facts.trace = {.trace_id = "t", .parent_id = "p", .span_id = "s", .flags = 1};
  facts.is_work = true;
  facts.route = "/v1/chat/completions";
  facts.key_id = "key_1";
  facts.tenant = "red";
  facts.user = "u";
  facts.model = "m";
  facts.variant = "v";
  facts.started_s = 1e9;
  facts.ending = "length";
  facts.first_token_seconds = 0.5;
  facts.seconds = 2;
  facts.end = {.status = 200, .is_complete = true};
  facts.usage = AnswerUsage{.prompt_tokens = 10,
                            .cached_tokens = 4,
                            .completion_tokens = 7,
                            .reasoning_tokens = 2,
                            .drafted_tokens = 5,
                            .accepted_tokens = 3,
                            .queue_seconds = 0.1,
                            .prefill_seconds = 0.4,
                            .decode_seconds = 1.5,
                            .preemptions = 1,
                            .prefill_work = {.seconds = 0.3, .operations = 100, .bytes = 1000},
                            .decode_work = {.seconds = 0.2, .operations = 20, .bytes = 300},
                            .gap_microseconds = {250, 240}};
  return facts;
}

TEST(TrafficRow, HasWhatIsKnownOfAnAnswer) {
  const store::TrafficRequest row = traffic_row(answered());
  EXPECT_EQ(row.id, "abc");
  EXPECT_EQ(row.trace_id + row.parent_id + row.span_id, "tps");
  EXPECT_EQ(row.route, "/v1/chat/completions");
  EXPECT_EQ(row.key_id + row.tenant + row.user + row.model + row.variant, "key_1redumv");
  EXPECT_EQ(row.started_s, 1e9);
  EXPECT_EQ(row.end, "length");
  EXPECT_EQ(row.status, 200);
  EXPECT_TRUE(row.is_complete);
  EXPECT_EQ(row.tokens.prompt_fresh, 6);
  EXPECT_EQ(row.tokens.prompt_cached, 4);
  EXPECT_EQ(row.tokens.answer_visible, 5);
  EXPECT_EQ(row.tokens.answer_reasoning, 2);
  EXPECT_EQ(row.tokens.drafted, 5);
  EXPECT_EQ(row.tokens.accepted, 3);
  EXPECT_EQ(row.seconds.queue, 0.1);
  EXPECT_EQ(row.seconds.prefill, 0.4);
  EXPECT_EQ(row.seconds.decode, 1.5);
  EXPECT_EQ(row.seconds.first_token, 0.5);
  EXPECT_EQ(row.seconds.total, 2);
  EXPECT_EQ(row.operations, 120);
  EXPECT_EQ(row.bytes_read, 1300);
  EXPECT_EQ(row.preemptions, 1);
  EXPECT_EQ(work_seconds(answered()), 0.5);
  EXPECT_EQ(store::decode_gaps(row.gaps).value(), (std::vector<std::int64_t>{250, 240}));
}

TEST(TrafficRow, AnAnswerThatIsGivenAgainTookNoWork) {
  RequestFacts facts = answered();
  facts.is_given_again = true;
  facts.cache = store::TrafficCache::kExact;
  const store::TrafficRequest row = traffic_row(facts);
  EXPECT_EQ(row.cache, store::TrafficCache::kExact);
  EXPECT_EQ(row.tokens.prompt_fresh, 0);
  EXPECT_EQ(row.tokens.prompt_cached, 10);
  EXPECT_EQ(row.tokens.answer_visible, 5);
  EXPECT_EQ(row.tokens.drafted, 0);
  EXPECT_EQ(row.operations, 0);
  EXPECT_EQ(work_seconds(facts), 0);
  EXPECT_EQ(row.bytes_read, 0);
  EXPECT_FALSE(row.seconds.decode);
  EXPECT_TRUE(row.gaps.empty());
  EXPECT_EQ(row.seconds.total, 2);
}

TEST(TrafficRow, AnErrorEndsWithItsCode) {
  RequestFacts facts;
  facts.is_work = true;
  facts.error_code = "rate_limit_exceeded";
  facts.end = {.status = 429, .is_complete = true};
  store::TrafficRequest row = traffic_row(facts);
  EXPECT_EQ(row.end, "error");
  EXPECT_EQ(row.error_code, "rate_limit_exceeded");
  EXPECT_EQ(row.status, 429);
  EXPECT_EQ(row.tokens.prompt_fresh, 0);
  // Of a stream, which had begun with 200.
  facts = answered();
  facts.error_code = "timeout";
  row = traffic_row(facts);
  EXPECT_EQ(row.end, "error");
  EXPECT_EQ(row.status, 200);
  EXPECT_EQ(row.tokens.answer_visible, 5);
}

TEST(TrafficRow, AKeyInTheWrongPlaceIsNotKept) {
  const std::string key = "sk-" + std::string(40, 'k');
  RequestFacts facts = answered();
  facts.id = key;
  facts.user = "me with " + key;
  const store::TrafficRequest row = traffic_row(facts);
  EXPECT_EQ(row.id.find(key), std::string::npos);
  EXPECT_EQ(row.user.find(key), std::string::npos);
  EXPECT_TRUE(row.user.starts_with("me with ")) << row.user;
}

TEST(TrafficRow, OnlyWorkHasOne) {
  RequestFacts facts = answered();
  EXPECT_TRUE(has_row(facts));
  facts.is_work = false;
  EXPECT_FALSE(has_row(facts));
}

}  // namespace
}  // namespace paring::serve
