// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/replay.h"

#include <gtest/gtest.h>

#include <numeric>

#include "advise/replay/prefix_pages.h"
#include "base/random.h"

namespace paring::advise {
namespace {

constexpr ReplayEngine kPlain{.has_prefix_cache = false};

double one_second(const engine::StepShape&) { return 1; }
double by_token(const engine::StepShape& shape) { return 0.001 * shape.tokens; }

std::vector<std::uint32_t> blocks_from(std::uint32_t first, std::size_t count) {
  std::vector<std::uint32_t> blocks(count);
  std::iota(blocks.begin(), blocks.end(), first);
  return blocks;
}

TEST(Replay, OneRequestIsItsPromptAndATokenAStep) {
  const std::vector<ReplayRequest> requests{{.prompt_tokens = 100, .answer_tokens = 5}};
  const ReplayOutcome outcome = replay(requests, kPlain, one_second, {.clients = 1});
  EXPECT_EQ(outcome.steps, 5U) << "the prompt's step gives the first token";
  EXPECT_EQ(outcome.wall_s, 5);
  EXPECT_EQ(outcome.first_token_s, 1);
  EXPECT_EQ(outcome.gap_s, 1);
  EXPECT_EQ(outcome.answer_tokens_per_second(), 1);
}

TEST(Replay, LongPromptsTakeSeveralSteps) {
  const std::vector<ReplayRequest> requests{{.prompt_tokens = 1300, .answer_tokens = 1}};
  EXPECT_EQ(replay(requests, kPlain, one_second, {.clients = 1}).steps, 3U);
}

TEST(Replay, ClientsShareSteps) {
  const std::vector<ReplayRequest> requests(8, {.prompt_tokens = 10, .answer_tokens = 11});
  const ReplayOutcome alone = replay(requests, kPlain, one_second, {.clients = 1});
  const ReplayOutcome together = replay(requests, kPlain, one_second, {.clients = 4});
  EXPECT_EQ(alone.wall_s, 88);
  EXPECT_EQ(together.wall_s, 22);
  EXPECT_EQ(together.running, 4);
  ReplayEngine narrow = kPlain;
  narrow.sequences_max = 2;
  EXPECT_EQ(replay(requests, narrow, one_second, {.clients = 4}).wall_s, 44);
}

TEST(Replay, RequestsComeAtTheirTimes) {
  const std::vector<ReplayRequest> requests{
      {.arrival_s = 0, .prompt_tokens = 1, .answer_tokens = 2},
      {.arrival_s = 100, .prompt_tokens = 1, .answer_tokens = 2}};
  const ReplayOutcome outcome = replay(requests, kPlain, one_second, {});
  EXPECT_EQ(outcome.wall_s, 102);
  EXPECT_EQ(outcome.busy_s, 4);
}

TEST(Replay, EqualRequestsAreGivenAgainOrJoined) {
  ReplayRequest request{.prompt_tokens = 10, .answer_tokens = 10, .key = 7, .is_repeatable = true};
  const std::vector<ReplayRequest> requests(6, request);
  ReplayEngine cached = kPlain;
  cached.response_cache_bytes = 1e6;
  EXPECT_EQ(replay(requests, kPlain, one_second, {.clients = 1}).wall_s, 60);
  const ReplayOutcome again = replay(requests, cached, one_second, {.clients = 1});
  EXPECT_EQ(again.given_again, 5U);
  EXPECT_EQ(again.wall_s, 10);
  EXPECT_EQ(again.answer_tokens, 60);
  const ReplayOutcome joined = replay(requests, cached, one_second, {.clients = 6});
  EXPECT_EQ(joined.given_again, 5U);
  EXPECT_EQ(joined.wall_s, 10);

  request.is_repeatable = false;
  const std::vector<ReplayRequest> sampled(6, request);
  EXPECT_EQ(replay(sampled, cached, one_second, {.clients = 1}).given_again, 0U);
  cached.repeats_all = true;
  EXPECT_EQ(replay(sampled, cached, one_second, {.clients = 1}).given_again, 5U);
}

TEST(Replay, AnswersGrowOldAndLargeOnesAreForgotten) {
  const ReplayRequest request{
      .prompt_tokens = 10, .answer_tokens = 10, .key = 7, .is_repeatable = true};
  std::vector<ReplayRequest> requests(3, request);
  requests[1].arrival_s = 50;
  requests[2].arrival_s = 500;
  ReplayEngine cached = kPlain;
  cached.response_cache_bytes = 1e6;
  cached.response_cache_s = 100;
  EXPECT_EQ(replay(requests, cached, one_second, {}).given_again, 1U);
  cached.response_cache_bytes = 10;
  EXPECT_EQ(replay(requests, cached, one_second, {}).given_again, 0U);
}

TEST(Replay, PrefixesAreComputedOnce) {
  ReplayEngine engine;
  engine.cache_tokens = 4096;
  std::vector<ReplayRequest> requests(
      4, {.prompt_tokens = 330, .answer_tokens = 1, .blocks = blocks_from(1, 10)});
  const ReplayOutcome outcome = replay(requests, engine, by_token, {.clients = 1});
  EXPECT_EQ(outcome.cached_tokens, 3 * 320);
  EXPECT_NEAR(outcome.busy_s, 0.33 + 3 * 0.01, 1e-9);
  // At the same time: all wait for the first.
  EXPECT_EQ(replay(requests, engine, by_token, {.clients = 4}).cached_tokens, 3 * 320);
  // All of a prompt is never taken from the cache.
  for (ReplayRequest& request : requests) request.prompt_tokens = 320;
  EXPECT_EQ(replay(requests, engine, by_token, {.clients = 1}).cached_tokens, 3 * 288);
  EXPECT_EQ(replay(requests, kPlain, by_token, {.clients = 1}).cached_tokens, 0);
}

TEST(Replay, ASmallCacheForgets) {
  std::vector<ReplayRequest> requests;
  for (int round = 0; round < 5; ++round) {
    for (std::uint32_t which = 0; which < 4; ++which) {
      requests.push_back(
          {.prompt_tokens = 330, .answer_tokens = 2, .blocks = blocks_from(100 * which + 1, 10)});
    }
  }
  ReplayEngine engine;
  engine.cache_tokens = 32 * 100;
  EXPECT_EQ(replay(requests, engine, by_token, {.clients = 1}).cached_tokens, 16 * 320);
  engine.cache_tokens = 32 * 25;
  EXPECT_LT(replay(requests, engine, by_token, {.clients = 1}).cached_tokens, 4 * 320);
}

TEST(Replay, SpeculationGivesMoreThanATokenAStep) {
  const std::vector<ReplayRequest> requests{
      {.prompt_tokens = 1, .answer_tokens = 21, .drafted = 20, .accepted = 10}};
  EXPECT_EQ(replay(requests, kPlain, one_second, {.clients = 1}).steps, 11U);
}

// Whatever comes, everything is answered, once, and no page is lost.
TEST(Replay, AnyTrafficEnds) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    RandomStream random({.seed = seed});
    std::vector<ReplayRequest> requests;
    double time = 0;
    double tokens = 0;
    for (int i = 0; i < 80; ++i) {
      time += random.uniform() * 3;
      const std::size_t prompt = 1 + random.below(600);
      requests.push_back({.arrival_s = time,
                          .prompt_tokens = prompt,
                          .answer_tokens = 1 + random.below(40),
                          .key = random.below(60),
                          .is_repeatable = random.below(2) == 0,
                          .blocks = blocks_from(1000 * random.below(4), prompt / 32)});
      tokens += static_cast<double>(requests.back().answer_tokens);
    }
    ReplayEngine engine;
    engine.cache_tokens = 32 * (1 + random.below(64));
    engine.sequences_max = 1 + random.below(8);
    engine.has_prefix_cache = random.below(4) != 0;
    engine.response_cache_bytes = random.below(2) == 0 ? 0 : 1e4;
    const ReplayOutcome outcome =
        replay(requests, engine, by_token, {.clients = random.below(2) * (1 + random.below(9))});
    EXPECT_EQ(outcome.answer_tokens, tokens) << seed;
    EXPECT_LE(outcome.pages_peak, engine.cache_tokens / 32) << seed;
    EXPECT_LE(outcome.busy_s, outcome.wall_s + 1e-9) << seed;
    EXPECT_LE(outcome.cached_tokens, outcome.prompt_tokens) << seed;
  }
}

TEST(PrefixPages, TheLeastRecentlyUsedEndGoesFirst) {
  PrefixPages pages(4);
  const std::vector<std::uint32_t> one = blocks_from(1, 2);
  const std::vector<std::uint32_t> two = blocks_from(11, 2);
  ASSERT_TRUE(pages.take(2));
  pages.keep(one, 0);
  ASSERT_TRUE(pages.take(2));
  pages.keep(two, 0);
  EXPECT_FALSE(pages.take(1)) << "all are somebody's";
  pages.unpin(one, 2);
  pages.unpin(two, 2);
  EXPECT_EQ(pages.free(), 0U);
  pages.pin(one, 2);
  pages.unpin(one, 2);
  ASSERT_TRUE(pages.take(1));
  EXPECT_EQ(pages.match(one), 2U);
  EXPECT_EQ(pages.match(two), 1U);
  pages.give_back(1);
  EXPECT_EQ(pages.free(), 1U);
}

}  // namespace
}  // namespace paring::advise
