// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/change.h"

#include <gtest/gtest.h>

#include "serve/canary/canaries.h"
#include "serve/canary/trial_request.h"

namespace paring::serve {
namespace {

using Words = std::vector<std::string>;

TEST(CanaryChange, ChangesWhatItNamesAndNothingElse) {
  ModelSource now;
  now.name = "m";
  now.path = "a.gguf";
  now.options.cache_tokens = 8192;
  EXPECT_EQ(changed(now, {}), now);
  CanaryChange change;
  change.path = "b.gguf";
  change.kv_type = kernels::KvType::kQ4;
  change.has_prefix_cache = false;
  const ModelSource next = changed(now, change);
  EXPECT_EQ(next.path, "b.gguf");
  EXPECT_EQ(next.options.kv_type, kernels::KvType::kQ4);
  EXPECT_FALSE(next.options.has_prefix_cache);
  EXPECT_EQ(next.options.cache_tokens, 8192U);
  EXPECT_EQ(next.options.sequences_max, now.options.sequences_max);
  EXPECT_EQ(permanent_words("m", change), (Words{"m=b.gguf", "--kv-type q4", "--no-prefix-cache"}));
  EXPECT_EQ(action_of(change), "several");
}

TEST(CanaryChange, EachHasItsNameAndWords) {
  const auto told = [](const CanaryChange& change) {
    return std::pair(action_of(change), permanent_words("m", change));
  };
  EXPECT_EQ(told({.sequences_max = 4}),
            std::pair(std::string("sequences_max"), Words{"--sequences-max 4"}));
  EXPECT_EQ(told({.cache_bytes = 5}),
            std::pair(std::string("response_cache"), Words{"--cache-bytes 5"}));
  EXPECT_EQ(told({.guesses_ngrams = true}),
            std::pair(std::string("speculation"), Words{"without --no-speculation"}));
  EXPECT_EQ(told({.path = "x"}), std::pair(std::string("weight_type"), Words{"m=x"}));
}

TEST(CanaryWindows, AreSharedOutEvenly) {
  std::string sides;
  for (int i = 0; i < 8; ++i) sides += is_changed_window(i, 0.5) ? 'c' : '-';
  EXPECT_EQ(sides, "-c-c-c-c");
  for (const double share : {0.01, 0.1, 0.3, 0.99}) {
    int changed = 0;
    for (int i = 0; i < 1000; ++i) changed += is_changed_window(i, share) ? 1 : 0;
    EXPECT_NEAR(changed, 1000 * share, 1) << share;
  }
}

RequestFacts facts_of(const char* ending, int status = 200) {
  RequestFacts facts;
  facts.ending = ending;
  facts.end = {.status = status, .is_complete = true};
  facts.usage.emplace();
  facts.usage->completion_tokens = 3;
  facts.usage->gap_microseconds = {20000, 40000};
  facts.usage->prefill_work.seconds = 0.5;
  facts.usage->decode_work.seconds = 0.25;
  facts.first_token_seconds = 0.7;
  facts.seconds = 2;
  return facts;
}

TEST(TrialRequests, SayWhatARequestTook) {
  store::TrafficRequest row;
  row.joules = 4;
  row.money = {.hardware = 1, .energy = 2, .tokens = 3, .currency = "EUR"};
  const auto request = trial_request(facts_of("stop"), row);
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->has_failed);
  EXPECT_DOUBLE_EQ(*request->first_token_seconds, 0.7);
  EXPECT_DOUBLE_EQ(*request->gap_seconds, 0.03);
  EXPECT_DOUBLE_EQ(request->total_seconds, 2);
  EXPECT_DOUBLE_EQ(request->work_seconds, 0.75);
  EXPECT_DOUBLE_EQ(request->answer_tokens, 3);
  EXPECT_DOUBLE_EQ(request->joules, 4);
  EXPECT_DOUBLE_EQ(request->money, 6);
}

TEST(TrialRequests, CountFailuresThatAreNotTheClients) {
  EXPECT_FALSE(trial_request(facts_of("cancelled"), {}));
  EXPECT_FALSE(trial_request(facts_of("", 429), {})) << "its key's limits";
  EXPECT_TRUE(trial_request(facts_of("", 503), {})->has_failed);
  EXPECT_TRUE(trial_request(facts_of("", 400), {})->has_failed) << "a context that is too short";
  RequestFacts streamed = facts_of("");
  streamed.error_code = "internal_error";
  EXPECT_TRUE(trial_request(streamed, {})->has_failed);
}

TEST(TrialRequests, AnswersThatAreGivenAgainCountWhereThatIsTried) {
  RequestFacts again = facts_of("stop");
  again.is_given_again = true;
  EXPECT_FALSE(trial_request(again, {}));
  again.trial.reads_cache = true;
  const auto request = trial_request(again, {});
  ASSERT_TRUE(request);
  EXPECT_DOUBLE_EQ(request->work_seconds, 0);
  EXPECT_FALSE(request->gap_seconds);
}

}  // namespace
}  // namespace paring::serve
