// SPDX-License-Identifier: Apache-2.0
// Whatever drafters say, texts are those of plain decoding.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <map>

#include "base/random.h"
#include "engine/batch_engine.h"
#include "engine/ngram_drafter.h"
#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::engine {
namespace {

using model::testing::make_executor;
using model::testing::random_model;
using model::testing::RandomModel;
using model::testing::rich_spec;
using model::testing::tiny_spec;

using Tokens = std::vector<std::int32_t>;

class Collector : public SequenceListener {
 public:
  explicit Collector(std::int32_t end = -1) : end_(end) {}
  bool on_token(std::size_t sample, std::int32_t token) override {
    EXPECT_FALSE(results.contains(sample)) << "a token after the end";
    tokens[sample].push_back(token);
    return token != end_;
  }
  void on_end(std::size_t sample, const SequenceResult& result) override {
    EXPECT_FALSE(results.contains(sample)) << "ended twice";
    results.emplace(sample, result);
  }
  std::map<std::size_t, Tokens> tokens;
  std::map<std::size_t, SequenceResult> results;

 private:
  std::int32_t end_;
};

// What a drafter of the test says about a sequence.
using Say = std::function<Tokens(const Draft&)>;

class SayingDrafter : public Drafter {
 public:
  explicit SayingDrafter(Say say, bool is_free = true) : say_(std::move(say)), is_free_(is_free) {}
  const char* name() const noexcept override { return "saying"; }
  void propose(std::span<Draft* const> drafts) override {
    for (Draft* draft : drafts) {
      EXPECT_FALSE(draft->tokens.empty());
      EXPECT_TRUE(draft->proposed.empty());
      for (const std::int32_t token : say_(*draft)) draft->proposed.push_back({token, 3});
    }
  }
  void forget(std::uint64_t) override {}
  Cost cost(std::span<Draft* const>, const Speeds&) const override { return {}; }
  bool is_free() const noexcept override { return is_free_; }

 private:
  Say say_;
  bool is_free_;
};

std::unique_ptr<Speculator> speculator_of(std::unique_ptr<Drafter> drafter, bool is_forced,
                                          std::size_t tokens_max = 5) {
  std::vector<std::unique_ptr<Drafter>> drafters;
  drafters.push_back(std::move(drafter));
  return std::make_unique<Speculator>(
      std::move(drafters), SpeculatorOptions{.tokens_max = tokens_max, .is_forced = is_forced});
}

Tokens run(BatchEngine& engine, const SequenceRequest& request, Collector& collector) {
  EXPECT_TRUE(engine.submit(request, collector));
  while (engine.step()) {
  }
  EXPECT_NE(collector.results.at(0).end, SequenceEnd::kFailed);
  return collector.tokens[0];
}

Tokens run(const model::Model& model, const SequenceRequest& request,
           std::unique_ptr<Speculator> speculator, std::size_t threads = 1) {
  const auto executor = make_executor(threads);
  auto engine = BatchEngine::create(model, *executor, {.context_tokens = 224, .cache_tokens = 224},
                                    std::move(speculator))
                    .value();
  Collector collector;
  Tokens tokens = run(*engine, request, collector);
  engine->clear_prefixes();
  for (std::size_t c = 0; c < engine->pool().class_count(); ++c) {
    EXPECT_EQ(engine->pool().pages_free(c), engine->pool().page_count(c)) << "class " << c;
  }
  return tokens;
}

Tokens random_tokens(RandomStream& random, std::size_t count) {
  Tokens tokens(count);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random.below(83));
  return tokens;
}

api::Sampling warm() {
  api::Sampling sampling;
  sampling.temperature = 0.9;
  sampling.top_k = 0;
  sampling.top_p = 0.95;
  sampling.min_p = 0.01;
  sampling.repetition_penalty = 1.1;
  sampling.seed = 5;
  return sampling;
}

// --- exactness ---

struct Case {
  const char* name;
  model::BlockSpec spec;
};

class AnyDrafter : public ::testing::TestWithParam<Case> {};

// Of the true text some tokens are told, some altered, with rubbish in between: ends of pages,
// ends of windows, all lengths.
TEST_P(AnyDrafter, DoesNotChangeTheText) {
  const RandomModel random = random_model(GetParam().spec, DType::kQ8_0, 3);
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    RandomStream stream({seed, 1, 0});
    SequenceRequest request{
        .id = seed, .prompt = random_tokens(stream, 1 + stream.below(90)), .max_tokens = 120};
    if (seed % 2 == 1) request.sampling = warm();
    const Tokens plain = run(*random.model, request, nullptr);
    Tokens whole = request.prompt;
    whole.insert(whole.end(), plain.begin(), plain.end());
    std::size_t told = 0;
    const Say say = [&](const Draft& draft) {
      Tokens drafts;
      for (std::size_t i = 0; i < stream.below(9); ++i) {
        const std::size_t at = draft.tokens.size() + i;
        const bool is_true = at < whole.size() && stream.below(6) != 0;
        const std::int32_t rubbish[] = {0, -1, 83, 82, 1 << 30, static_cast<std::int32_t>(at % 83)};
        drafts.push_back(is_true ? whole[at] : rubbish[stream.below(6)]);
        told += is_true ? 1U : 0U;
      }
      return drafts;
    };
    EXPECT_EQ(
        run(*random.model, request, speculator_of(std::make_unique<SayingDrafter>(say), true)),
        plain);
    EXPECT_EQ(
        run(*random.model, request, speculator_of(std::make_unique<SayingDrafter>(say), false), 2),
        plain);
    EXPECT_GT(told, 50U);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AnyDrafter,
                         ::testing::Values(Case{"tiny", tiny_spec()}, Case{"windows", rich_spec()}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(Guessing, RightGuessesSaveSteps) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  const SequenceRequest request{.id = 1, .prompt = {5, 6, 7}, .max_tokens = 61};
  const Tokens plain = run(*random.model, request, nullptr);
  const Say say = [&](const Draft& draft) {
    Tokens rest(plain.begin() + static_cast<std::ptrdiff_t>(draft.tokens.size() - 3), plain.end());
    return rest;
  };
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 96, .cache_tokens = 96},
                          speculator_of(std::make_unique<SayingDrafter>(say), true, 5))
          .value();
  Collector collector;
  EXPECT_EQ(run(*engine, request, collector), plain);
  const api::Speculation& figures = collector.results.at(0).usage.speculation;
  EXPECT_EQ(figures.steps, 10U) << "60 tokens behind the prompt's own, 6 a step";
  EXPECT_EQ(figures.drafts, 10U);
  EXPECT_EQ(figures.drafted_tokens, 50U);
  EXPECT_EQ(figures.accepted_tokens, 50U);
}

// The end of a text among right guesses: nothing behind it is given.
TEST(Guessing, NothingFollowsTheEnd) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  SequenceRequest request{.id = 1, .prompt = {5, 6, 7}, .max_tokens = 40};
  request.sampling = warm();
  const Tokens plain = run(*random.model, request, nullptr);
  const Say say = [&](const Draft& draft) {
    return Tokens(plain.begin() + static_cast<std::ptrdiff_t>(draft.tokens.size() - 3),
                  plain.end());
  };
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 96, .cache_tokens = 96},
                          speculator_of(std::make_unique<SayingDrafter>(say), true, 8))
          .value();
  for (std::size_t i = 0; i < plain.size(); ++i) {
    Collector collector(plain[i]);
    const Tokens got = run(*engine, request, collector);
    const auto end = std::find(plain.begin(), plain.end(), plain[i]) + 1;
    EXPECT_EQ(got, Tokens(plain.begin(), end));
    EXPECT_EQ(collector.results.at(0).usage.generated_tokens, got.size());
  }
}

// Chi-square over the token two places behind the prompt, with guesses that are sometimes right,
// against the exact distribution, which many plain runs of other seeds estimate.
TEST(Guessing, TheDistributionIsThatOfPlainSampling) {
  model::BlockSpec spec = tiny_spec();
  spec.vocabulary = 11;
  const RandomModel random = random_model(spec, DType::kQ8_0, 9);
  const auto executor = make_executor(1);
  const model::Model& model = *random.model;
  const BatchOptions options{.context_tokens = 32, .cache_tokens = 64};
  auto plain = BatchEngine::create(model, *executor, options).value();
  RandomStream stream({77, 0, 0});
  const Say say = [&](const Draft&) {
    Tokens drafts(4);
    for (auto& token : drafts) token = static_cast<std::int32_t>(stream.below(11));
    return drafts;
  };
  auto guessing = BatchEngine::create(model, *executor, options,
                                      speculator_of(std::make_unique<SayingDrafter>(say), true))
                      .value();
  constexpr int kRuns = 4000;
  std::map<std::int32_t, std::array<double, 2>> counts;
  std::size_t accepted = 0;
  for (int i = 0; i < kRuns; ++i) {
    for (const bool guesses : {false, true}) {
      SequenceRequest request{
          .id = static_cast<std::uint64_t>(i), .prompt = {1, 2, 3}, .max_tokens = 4};
      request.sampling = warm();
      request.sampling.temperature = 1.5;
      request.sampling.seed = guesses ? 1 : 2;
      Collector collector;
      const Tokens tokens = run(guesses ? *guessing : *plain, request, collector);
      counts[tokens[2]][guesses ? 1 : 0] += 1;
      accepted += collector.results.at(0).usage.speculation.accepted_tokens;
    }
  }
  EXPECT_GT(accepted, 300U);
  double chi_square = 0;
  double cells = 0;
  for (const auto& [token, count] : counts) {
    const double sum = count[0] + count[1];
    if (sum < 10) continue;
    chi_square += (count[0] - count[1]) * (count[0] - count[1]) / sum;
    ++cells;
  }
  // Wilson and Hilferty: the cube root is nearly normal. 3.7: once in 10,000 seeds.
  const double freedom = cells - 1;
  ASSERT_GE(freedom, 4);
  const double spread = 2 / (9 * freedom);
  const double z = (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
  EXPECT_LT(z, 3.7) << "chi-square " << chi_square << " for " << freedom << " degrees of freedom";
}

}  // namespace
}  // namespace paring::engine
