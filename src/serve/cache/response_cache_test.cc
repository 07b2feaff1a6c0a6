// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/response_cache.h"

#include <gtest/gtest.h>

#include <set>

namespace paring::serve {
namespace {

class Collector : public AnswerReceiver {
 public:
  void receive(std::vector<AnswerEvent> events, const std::optional<AnswerUsage>& usage) override {
    for (const AnswerEvent& event : events) text += event.delta.content;
    ends += usage ? 1 : 0;
  }
  std::string text;
  int ends = 0;
};

std::vector<AnswerEvent> say(const std::string& text) { return {{0, {.content = text}, {}, 1}}; }

std::shared_ptr<SharedAnswer> answer(ResponseCache& cache, const std::string& key,
                                     std::size_t bytes_max = 1 << 20) {
  auto shared = std::make_shared<SharedAnswer>(
      bytes_max, [&cache, key](SharedAnswer& ended) { cache.end(key, ended); }, [] {});
  cache.begin(key, shared);
  return shared;
}

TEST(ResponseCache, WhoJoinsLateGetsEverything) {
  ResponseCache cache({});
  const auto shared = answer(cache, "k");
  const auto first = std::make_shared<Collector>();
  const auto second = std::make_shared<Collector>();
  shared->join(first);
  shared->receive(say("one "), std::nullopt);
  EXPECT_EQ(cache.find("k").found, ResponseCache::Found::kInFlight);
  shared->join(second);
  shared->receive(say("two"), AnswerUsage());
  EXPECT_EQ(first->text, "one two");
  EXPECT_EQ(second->text, "one two");
  EXPECT_EQ(second->ends, 1);
  const ResponseCache::Hit hit = cache.find("k");
  EXPECT_EQ(hit.found, ResponseCache::Found::kKept);
  const auto third = std::make_shared<Collector>();
  hit.answer->join(third);
  EXPECT_EQ(third->text, "one two");
  EXPECT_EQ(third->ends, 1);
}

TEST(ResponseCache, WhatFailedOrWasBrokenOffIsNotKept) {
  ResponseCache cache({});
  for (const AnswerEnding& ending : {AnswerEnding{.error = ApiError{.status = 500}},
                                     AnswerEnding{.end = AnswerEnd::kCancelled}}) {
    const auto shared = answer(cache, "k");
    shared->receive({{0, {}, ending, 0}}, AnswerUsage());
    EXPECT_EQ(cache.find("k").found, ResponseCache::Found::kNothing);
  }
}

TEST(ResponseCache, AnAnswerNobodyListensToIsGivenUp) {
  ResponseCache cache({});
  bool is_deserted = false;
  const auto shared = std::make_shared<SharedAnswer>(
      1000, [&](SharedAnswer& ended) { cache.end("k", ended); }, [&] { is_deserted = true; });
  cache.begin("k", shared);
  const auto first = std::make_shared<Collector>();
  const auto second = std::make_shared<Collector>();
  shared->join(first);
  shared->join(second);
  shared->leave(*first);
  EXPECT_FALSE(is_deserted);
  shared->leave(*second);
  EXPECT_TRUE(is_deserted);
  EXPECT_EQ(cache.find("k").found, ResponseCache::Found::kNothing);
}

TEST(ResponseCache, WhoPaysIsChargedForWhatOthersHearAfterItLeft) {
  bool is_deserted = false;
  const auto shared =
      std::make_shared<SharedAnswer>(1000, [](SharedAnswer&) {}, [&] { is_deserted = true; });
  const auto payer = std::make_shared<Collector>();
  const auto second = std::make_shared<Collector>();
  const auto third = std::make_shared<Collector>();
  for (const auto& each : {payer, second, third}) shared->join(each);
  shared->leave(*payer);
  shared->leave(*payer);
  shared->leave(*second);
  shared->receive(say("all"), AnswerUsage());
  EXPECT_EQ(payer->ends, 1);
  EXPECT_EQ(second->ends, 0);
  EXPECT_EQ(third->text, "all");
  EXPECT_FALSE(is_deserted);
  EXPECT_EQ(payer.use_count(), 1);
}

TEST(ResponseCache, IsBoundedInBytesAndAge) {
  FakeClock clock;
  ResponseCache cache({.bytes_max = 5000, .seconds_max = 10}, clock);
  for (int i = 0; i < 20; ++i) {
    answer(cache, std::to_string(i))->receive(say(std::string(500, 'x')), AnswerUsage());
    EXPECT_LE(cache.bytes(), 5000U);
  }
  EXPECT_GE(cache.size(), 3U);
  EXPECT_EQ(cache.find("19").found, ResponseCache::Found::kKept);
  EXPECT_EQ(cache.find("0").found, ResponseCache::Found::kNothing);
  clock.advance(11);
  EXPECT_EQ(cache.find("19").found, ResponseCache::Found::kNothing);
  const auto large = answer(cache, "large", 100);
  large->receive(say(std::string(500, 'x')), std::nullopt);
  EXPECT_EQ(cache.find("large").found, ResponseCache::Found::kNothing);
  large->receive({}, AnswerUsage());
  EXPECT_EQ(cache.find("large").found, ResponseCache::Found::kNothing);
}

TEST(ResponseCache, SmallerBoundsHoldAtOnce) {
  ResponseCache cache({.bytes_max = 100000});
  for (int i = 0; i < 20; ++i) {
    answer(cache, std::to_string(i))->receive(say(std::string(500, 'x')), AnswerUsage());
  }
  EXPECT_EQ(cache.size(), 20U);
  cache.set_options({.bytes_max = 3000});
  EXPECT_LE(cache.bytes(), 3000U);
  EXPECT_EQ(cache.find("19").found, ResponseCache::Found::kKept);
  EXPECT_EQ(cache.find("0").found, ResponseCache::Found::kNothing);
  cache.set_options({.bytes_max = 0});
  EXPECT_EQ(cache.size(), 0U);
}

// Whatever changes the text, or whose it is, changes the key.
TEST(ResponseCache, KeysTellAllThatCounts) {
  AnswerPlan plan;
  plan.is_reproducible = true;
  plan.sequences.resize(1);
  plan.sequences[0].prompt = {1, 2, 3};
  std::set<std::string> keys = {response_key("v", "t", plan)};
  const auto is_new = [&](const AnswerPlan& other, const char* variant = "v",
                          const char* tenant = "t") {
    return keys.insert(response_key(variant, tenant, other)).second;
  };
  EXPECT_FALSE(is_new(plan));
  EXPECT_TRUE(is_new(plan, "w"));
  EXPECT_TRUE(is_new(plan, "v", "u"));
  const auto changed = [&](auto change) {
    AnswerPlan other = plan;
    change(other, other.sequences[0]);
    return is_new(other);
  };
  EXPECT_TRUE(changed([](auto&, auto& s) { s.prompt = {1, 2, 4}; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.max_tokens = 3; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.samples = 2; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.logprobs = 0; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.sampling.temperature = 1; }));
  EXPECT_TRUE(changed([](auto&, auto& s) {
    s.sampling.temperature = 1;
    s.sampling.seed = 7;
  }));
  // Any answer will do where no seed was asked for: the server's own is no part of the request.
  EXPECT_TRUE(changed([](auto& p, auto& s) {
    p.is_reproducible = false;
    s.sampling.temperature = 1;
    s.sampling.seed = 7;
  }));
  EXPECT_FALSE(changed([](auto& p, auto& s) {
    p.is_reproducible = false;
    s.sampling.temperature = 1;
    s.sampling.seed = 8;
  }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.sampling.top_p = 0.5; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.sampling.presence_penalty = 0.5; }));
  EXPECT_TRUE(changed([](auto&, auto& s) { s.sampling.logit_bias = {{1, 2}}; }));
  EXPECT_TRUE(changed([](auto& p, auto&) { p.stop = {"a", "b"}; }));
  EXPECT_TRUE(changed([](auto& p, auto&) { p.stop = {"ab"}; }));
  EXPECT_TRUE(changed([](auto& p, auto&) { p.format_key = "2:{}"; }));
  EXPECT_TRUE(changed([](auto& p, auto&) { p.ignores_end = true; }));
  EXPECT_TRUE(changed([](auto& p, auto&) { p.echoes_prompt = true; }));
  EXPECT_FALSE(changed([](auto&, auto& s) { s.sampling.seed = 9; })) << "greedy";
}

}  // namespace
}  // namespace paring::serve
