// SPDX-License-Identifier: Apache-2.0
// What needs no second process; the rest is in tests/test_versus.py.
#include "measure/versus/versus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "measure/versus/own_side.h"
#include "model/testing/random_model.h"

namespace paring::measure {
namespace {

using model::testing::random_model;
using model::testing::tiny_spec;

TEST(LogitsDifference, IsTheDivergenceOfBothSoftmaxes) {
  // p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4), each with an offset that no softmax sees.
  const std::vector<float> p{std::log(2.0F) + 5, 5, 5};
  const std::vector<float> q{-3, std::log(2.0F) - 3, -3};
  LogitsDifference difference;
  ASSERT_TRUE(difference.add(p.data(), q.data(), 3));
  EXPECT_NEAR(difference.kl_sum, 0.25 * std::log(2.0), 1e-6);
  EXPECT_EQ(difference.same_top, 0U);
  ASSERT_TRUE(difference.add(p.data(), p.data(), 3));
  EXPECT_NEAR(difference.kl_sum, 0.25 * std::log(2.0), 1e-6);
  EXPECT_NEAR(difference.kl_max, 0.25 * std::log(2.0), 1e-6);
  EXPECT_EQ(difference.same_top, 1U);
  EXPECT_EQ(difference.rows, 2U);
}

TEST(LogitsDifference, WhatIsNotFiniteIsRefused) {
  const std::vector<float> good{1, 2};
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    const std::vector<float> row{1, bad};
    LogitsDifference difference;
    EXPECT_FALSE(difference.add(row.data(), good.data(), 2));
    EXPECT_FALSE(difference.add(good.data(), row.data(), 2));
    EXPECT_EQ(difference.rows, 0U);
  }
}

TEST(Pairs, QuietOnesCountAloneWhenThereAreEnough) {
  const Pair quiet{{1, 0.02}, {2, 0.03}};
  const Pair loud{{1, 0.02}, {2, 0.3}};
  EXPECT_EQ(pairs_that_count({quiet, loud, quiet}, 2).size(), 2U);
  EXPECT_EQ(pairs_that_count({quiet, loud, loud}, 2).size(), 3U);
  EXPECT_EQ(pairs_that_count({}, 2).size(), 0U);
}

std::vector<PeerFlags> tried(const char* text, std::size_t threads, std::size_t processors) {
  std::vector<PeerFlags> all;
  for (const auto& change : flag_changes(parse_case(text).value(), threads, processors)) {
    PeerFlags flags;
    flags.threads = threads;
    change(flags);
    all.push_back(flags);
  }
  return all;
}

bool has(const std::vector<PeerFlags>& all, const std::string& part) {
  return std::any_of(all.begin(), all.end(), [&](const PeerFlags& flags) {
    return flags.text().find(part) != std::string::npos;
  });
}

TEST(FlagChanges, CoverWhatLlamaCppCanBeToldForEachCase) {
  const auto prompt = tried("prefill:4096", 2, 4);
  for (const char* part :
       {"-fa 0", "-ctk q8_0 -ctv q8_0", "--no-repack", "-ub 128", "-ub 2048", "-t 4", "-t 1"}) {
    EXPECT_TRUE(has(prompt, part)) << part;
  }
  EXPECT_FALSE(has(prompt, "-kvu"));
  // A prompt of 512 cannot fill longer batches.
  EXPECT_FALSE(has(tried("prefill:512", 2, 2), "-ub 1024"));
  EXPECT_TRUE(has(tried("prefill:513", 2, 2), "-ub 1024"));
  EXPECT_TRUE(has(tried("together:8x128+128", 2, 2), "-kvu"));
  EXPECT_FALSE(has(tried("decode:128", 2, 2), "-ub 128"));
  // A quantized cache of values works with flash attention only.
  for (const PeerFlags& flags : prompt)
    EXPECT_TRUE(flags.kv_type == "f16" || flags.flash_attention);
  // Nothing that would change nothing.
  for (const PeerFlags& flags : tried("decode:1", 1, 1)) {
    PeerFlags first;
    first.threads = 1;
    EXPECT_NE(flags, first);
  }
}

class OwnSideTest : public ::testing::TestWithParam<const char*> {
 protected:
  model::testing::RandomModel random_ = random_model(tiny_spec(), DType::kQ8_0, 1);
  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 2, .pin = false}).value();
  model::ModelView view_{*random_.model};
};

TEST_P(OwnSideTest, TimesTheCase) {
  const SpeedCase c = parse_case(GetParam()).value();
  const CaseTokens tokens = case_tokens(c, view_.spec().vocabulary);
  EXPECT_EQ(tokens.prompts.size(), c.sequences);
  EXPECT_EQ(tokens.prompts[0].size(), c.prompt);
  EXPECT_EQ(tokens.tail.size(), c.decode);
  const auto side = OwnSide::create(view_, *executor_, {}, c, tokens);
  ASSERT_TRUE(side) << side.error().text();
  const cost::Probes probes{.isa = "test",
                            .threads = 2,
                            .read_bytes_per_second = 1e9,
                            .f32_operations_per_second = 1e9,
                            .int8_operations_per_second = 1e12};
  for (int i = 0; i < 2; ++i) {
    const double seconds = side.value()->run().value();
    EXPECT_GT(seconds, 0);
    const PhaseSpeed speed = side.value()->speed(probes, seconds);
    EXPECT_NEAR(speed.tokens_per_second, static_cast<double>(c.timed_tokens()) / seconds,
                1e-6 * speed.tokens_per_second);
    EXPECT_GT(speed.limit_tokens_per_second, 0);
    EXPECT_NEAR(speed.limit_share, speed.tokens_per_second / speed.limit_tokens_per_second, 1e-9);
  }
}

// Of the last one the prompts take several steps, so that sequences begin and end one after the
// other.
INSTANTIATE_TEST_SUITE_P(Cases, OwnSideTest,
                         ::testing::Values("prefill:40", "decode:6", "decode:3@40",
                                           "together:3x20+5", "together:9x130+20"));

TEST(OwnSide, SequencesThatAreHardlyEverTogetherAreRefused) {
  const auto random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = Executor::create({.threads = 1, .pin = false}).value();
  const model::ModelView view(*random.model);
  const SpeedCase c = parse_case("together:16x200+4").value();
  const auto side = OwnSide::create(view, *executor, {}, c, case_tokens(c, view.spec().vocabulary));
  ASSERT_FALSE(side);
  EXPECT_EQ(side.error().code, ErrorCode::kInvalidArgument);
}

TEST(CaseTokens, AreTheSameForBothSidesAndDifferBetweenSequences) {
  const SpeedCase c = parse_case("together:2x50+10").value();
  const CaseTokens a = case_tokens(c, 1000);
  const CaseTokens b = case_tokens(c, 1000);
  EXPECT_EQ(a.prompts, b.prompts);
  EXPECT_EQ(a.tail, b.tail);
  EXPECT_NE(a.prompts[0], a.prompts[1]);
}

}  // namespace
}  // namespace paring::measure
