// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/semantic_index.h"

#include <gtest/gtest.h>

#include "serve/cache/false_hit_meter.h"

namespace paring::serve {
namespace {

std::shared_ptr<SharedAnswer> answer(const std::string& text) {
  auto shared = std::make_shared<SharedAnswer>(1 << 20, [](SharedAnswer&) {}, [] {});
  shared->receive({{0, {.content = text}, {}, 1}}, AnswerUsage());
  return shared;
}

SemanticEntry entry(const std::string& key, std::vector<float> vector, const std::string& text,
                    const std::string& question = "why", const std::string& tenant = "t") {
  return {.key = key,
          .group = "group of " + tenant,
          .tenant = tenant,
          .marks = marks_of(question),
          .vector = std::move(vector),
          .answer = answer(text)};
}

TEST(SemanticIndex, GivesTheMostSimilarOfTheGroup) {
  SemanticIndex index({.similarity_min = 0.7});
  index.add(entry("a", {1, 0}, "first"));
  index.add(entry("b", {0.8F, 0.6F}, "second"));
  const auto hit = index.find("group of t", {0.96F, 0.28F}, marks_of("why"));
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->key, "a");
  EXPECT_NEAR(hit->similarity, 0.96, 1e-6);
  EXPECT_EQ(hit->answer->text(), "first");
  EXPECT_FALSE(index.find("group of t", {0, -1}, marks_of("why")));
  EXPECT_FALSE(index.find("group of t", {0.6F, -0.8F}, marks_of("why")));  // below the least
  EXPECT_FALSE(index.find("group of others", {1, 0}, marks_of("why")));
  EXPECT_FALSE(index.find("group of t", {1, 0}, marks_of("why not")));
  EXPECT_FALSE(index.find("group of t", {1, 0, 0}, marks_of("why")));  // of another encoder
}

TEST(SemanticIndex, UsesDoNotProlongAnAnswersLife) {
  FakeClock clock;
  SemanticIndex index({.seconds_max = 10, .similarity_min = 0.7}, clock);
  index.add(entry("a", {1, 0}, "first"));
  clock.advance(6);
  EXPECT_NEAR(index.find("group of t", {1, 0}, marks_of("why"))->age_seconds, 6, 1e-9);
  clock.advance(5);
  EXPECT_FALSE(index.find("group of t", {1, 0}, marks_of("why")));
  EXPECT_EQ(index.size(), 0);
  EXPECT_EQ(index.bytes(), 0);
}

TEST(SemanticIndex, TheSameRequestIsThereOnce) {
  SemanticIndex index({.similarity_min = 0.7});
  index.add(entry("a", {1, 0}, "first"));
  index.add(entry("a", {1, 0}, "second"));
  EXPECT_EQ(index.size(), 1);
  EXPECT_EQ(index.find("group of t", {1, 0}, marks_of("why"))->answer->text(), "second");
  index.erase("a");
  index.erase("a");
  EXPECT_FALSE(index.find("group of t", {1, 0}, marks_of("why")));
  EXPECT_EQ(index.bytes(), 0);
}

TEST(SemanticIndex, WhoHoldsMostMakesRoomWithWhatWasNotUsedForLongest) {
  SemanticIndex one({.similarity_min = 0.7});
  one.add(entry("a", {1, 0}, "text"));
  SemanticIndex index({.bytes_max = one.bytes() * 4, .similarity_min = 0.7});
  index.add(entry("x", {1, 0}, "text", "why", "u"));
  index.add(entry("a", {1, 0}, "text"));
  index.add(entry("b", {0, 1}, "text"));
  ASSERT_TRUE(index.find("group of t", {1, 0}, marks_of("why")));  // "a" was used
  for (const char* key : {"c", "d", "e"}) index.add(entry(key, {-1, 0}, "text"));
  EXPECT_LE(index.bytes(), one.bytes() * 4);
  EXPECT_EQ(index.size(), 4);
  EXPECT_TRUE(index.find("group of u", {1, 0}, marks_of("why")));
  EXPECT_FALSE(index.find("group of t", {0, 1}, marks_of("why")));
  SemanticIndex none({.bytes_max = 10, .similarity_min = 0.7});
  none.add(entry("a", {1, 0}, "text"));
  EXPECT_EQ(none.size(), 0);
}

TEST(SemanticIndex, AGroupIsBounded) {
  SemanticIndex index({.group_entries_max = 2, .similarity_min = 0.7});
  index.add(entry("a", {1, 0}, "1"));
  index.add(entry("b", {0, 1}, "2"));
  index.add(entry("c", {-1, 0}, "3"));
  EXPECT_EQ(index.size(), 2);
  EXPECT_FALSE(index.find("group of t", {1, 0}, marks_of("why")));
}

TEST(SemanticIndex, VectorsWithoutDirectionAreNone) {
  std::vector<float> vector = {3, 4};
  ASSERT_TRUE(normalize(vector));
  EXPECT_FLOAT_EQ(vector[0], 0.6F);
  std::vector<float> zero(5, 0.0F);
  EXPECT_FALSE(normalize(zero));
  std::vector<float> bad = {std::numeric_limits<float>::quiet_NaN()};
  EXPECT_FALSE(normalize(bad));
  EXPECT_NEAR(cosine(std::vector<float>(19, 1.0F), std::vector<float>(19, 2.0F)), 38, 1e-5);
}

// Values of R's prop.test(..., correct = FALSE) and of Wilson's formula by hand.
TEST(FalseHitMeter, BoundsAreWilsons) {
  EXPECT_NEAR(wilson_bounds(0, 10).upper, 0.2775328, 1e-6);
  EXPECT_NEAR(wilson_bounds(5, 100).lower, 0.0215437, 1e-6);
  EXPECT_NEAR(wilson_bounds(5, 100).upper, 0.1117505, 1e-6);
  EXPECT_EQ(wilson_bounds(0, 0).upper, 1);
  EXPECT_NEAR(wilson_bounds(10, 10).upper, 1, 1e-12);
}

TEST(FalseHitMeter, GivesNothingBeforeItIsShown) {
  FalseHitMeter meter(0.05);
  EXPECT_EQ(FalseHitMeter::cases_needed(0.05), 73);
  for (int i = 0; i < 72; ++i) meter.note(false);
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kTrial);
  meter.note(false);
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kServing);
  meter.note(true);  // the bound is passed: on trial again
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kTrial);
  for (int i = 0; i < 60; ++i) meter.note(false);
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kServing);
}

TEST(FalseHitMeter, WhatIsShownToBeBadStaysOff) {
  FalseHitMeter meter(0.05);
  for (int i = 0; i < 20; ++i) meter.note(i % 2 == 0);
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kOff);
  for (int i = 0; i < 5000; ++i) meter.note(false);
  EXPECT_EQ(meter.state(), FalseHitMeter::State::kOff);
}

TEST(FalseHitMeter, WhatChangesShowsHoweverLongItWasRight) {
  FalseHitMeter meter(0.05);
  for (int i = 0; i < 1000000; ++i) meter.note(false);
  int until = 0;
  while (meter.state() == FalseHitMeter::State::kServing) {
    meter.note(true);
    ASSERT_LT(++until, 100);
  }
}

TEST(FalseHitMeter, ALimitOfAllNeedsNoProof) {
  EXPECT_EQ(FalseHitMeter(1).state(), FalseHitMeter::State::kServing);
}

}  // namespace
}  // namespace paring::serve
