// SPDX-License-Identifier: Apache-2.0
// A deterministic simulation drives the engine through random arrivals, cancels and shortages of
// pages; every sequence's tokens must be those of its run alone.
#include "engine/batch_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "engine/model_drafter.h"
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

// Collects samples; ends them after `stop_after` tokens when that is not 0.
class Collector : public SequenceListener {
 public:
  explicit Collector(std::size_t stop_after = 0) : stop_after_(stop_after) {}
  bool on_token(std::size_t sample, std::int32_t token) override {
    EXPECT_FALSE(results.contains(sample)) << "a token after the end";
    tokens[sample].push_back(token);
    return stop_after_ == 0 || tokens[sample].size() < stop_after_;
  }
  void on_logprobs(std::size_t sample, const api::TokenLogprobs& told) override {
    EXPECT_EQ(logprobs[sample].size(), tokens[sample].size()) << "in front of its token";
    logprobs[sample].push_back(told);
  }
  void on_scores(std::size_t first, std::span<const api::TokenLogprobs> told) override {
    for (const api::TokenLogprobs& score : told) {
      EXPECT_TRUE(scores.emplace(first++, score).second) << "told twice";
    }
  }
  void on_end(std::size_t sample, const SequenceResult& result) override {
    EXPECT_FALSE(results.contains(sample)) << "ended twice";
    results.emplace(sample, result);
  }
  std::map<std::size_t, std::vector<std::int32_t>> tokens;
  std::map<std::size_t, std::vector<api::TokenLogprobs>> logprobs;
  std::map<std::size_t, api::TokenLogprobs> scores;
  std::map<std::size_t, SequenceResult> results;

 private:
  std::size_t stop_after_;
};

std::vector<std::int32_t> random_tokens(RandomStream& random, std::size_t count,
                                        std::size_t vocabulary) {
  std::vector<std::int32_t> tokens(count);
  for (auto& token : tokens) {
    token = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(vocabulary)));
  }
  return tokens;
}

// The tokens of a sample when nothing else runs: long chunks, no cache of prefixes.
class Alone {
 public:
  Alone(const model::Model& model, Executor& executor)
      : engine_(BatchEngine::create(
                    model, executor,
                    {.context_tokens = 512, .cache_tokens = 512, .has_prefix_cache = false})
                    .value()) {}
  std::vector<std::int32_t> tokens(const SequenceRequest& request, std::size_t sample) {
    SequenceRequest single = request;
    single.id = stream_of(request.id, sample);
    single.samples = 1;
    single.cancelled = nullptr;
    Collector collector;
    EXPECT_TRUE(engine_->submit(single, collector).has_value());
    while (engine_->step()) {
    }
    return collector.tokens[0];
  }

 private:
  std::unique_ptr<BatchEngine> engine_;
};

void expect_no_page_lost(BatchEngine& engine) {
  engine.clear_prefixes();
  for (std::size_t c = 0; c < engine.pool().class_count(); ++c) {
    EXPECT_EQ(engine.pool().pages_free(c), engine.pool().page_count(c)) << "class " << c;
  }
}

TEST(BatchEngine, RefusesWhatCanNeverRun) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  EXPECT_FALSE(
      BatchEngine::create(*random.model, *executor, {.context_tokens = 64, .cache_tokens = 32}));
  EXPECT_FALSE(
      BatchEngine::create(*random.model, *executor, {.step_tokens = 8, .sequences_max = 9}));
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 64, .cache_tokens = 64, .waiting_max = 2})
                    .value();
  Collector collector;
  const auto code = [&](SequenceRequest request) {
    const auto result = engine->submit(std::move(request), collector);
    return result ? ErrorCode::kInternal : result.error().code;
  };
  EXPECT_EQ(code({}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.prompt = std::vector<std::int32_t>(64, 1)}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.prompt = {83}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.prompt = {-1}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.prompt = {1}, .max_tokens = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.prompt = {1}, .samples = 3}), ErrorCode::kExhausted);
  EXPECT_FALSE(engine->step());
}

TEST(BatchEngine, SharesPrefixesAndSaysSo) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 256, .cache_tokens = 1024})
          .value();
  RandomStream stream({5, 0, 0});
  const auto prompt = random_tokens(stream, 100, 83);
  SequenceRequest request{.id = 1, .prompt = prompt, .max_tokens = 4};
  Collector first;
  Collector second;
  Collector stranger;
  ASSERT_TRUE(engine->submit(request, first));
  request.id = 2;
  ASSERT_TRUE(engine->submit(request, second));  // waits for the first one's prompt
  request.prefix_scope = 9;
  ASSERT_TRUE(engine->submit(request, stranger));
  while (engine->step()) {
  }
  EXPECT_EQ(first.results.at(0).usage.cached_tokens, 0U);
  EXPECT_EQ(second.results.at(0).usage.cached_tokens, 96U);
  EXPECT_EQ(stranger.results.at(0).usage.cached_tokens, 0U) << "scopes must not share";
  EXPECT_EQ(first.tokens[0], second.tokens[0]);
  expect_no_page_lost(*engine);
}

// An adapter of all attention and feed-forward matrices.
std::shared_ptr<const model::Lora> random_adapter(const model::Model& model, std::uint64_t seed) {
  constexpr std::size_t kRank = 3;
  const auto matrix = [&](std::size_t rows, std::size_t cols) {
    const std::vector<float> values = model::testing::random_values(rows * cols, ++seed, 0.3);
    return kernels::pack(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), rows, cols)
        .value();
  };
  std::vector<std::unique_ptr<model::LoraPair>> pairs(model.matrix_count());
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    const model::MatrixSlot& slot = model.slot(i);
    pairs[i] = std::make_unique<model::LoraPair>(
        model::LoraPair{matrix(kRank, slot.cols), matrix(slot.rows, kRank)});
  }
  return model::Lora::from_parts(std::move(pairs));
}

// One prompt, read by the model as it is and with two adapters: nobody takes another's keys.
TEST(BatchEngine, AdaptersDoNotShareThePrefixesOfOthers) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  const BatchOptions options{.context_tokens = 256, .cache_tokens = 2048, .lora_rank = 3};
  const auto create = [&] {
    return BatchEngine::create(*random.model, *executor, options).value();
  };
  RandomStream stream({7, 0, 0});
  SequenceRequest request{.prompt = random_tokens(stream, 100, 83), .max_tokens = 8};
  const std::shared_ptr<const model::Lora> adapters[] = {
      nullptr, random_adapter(*random.model, 900), random_adapter(*random.model, 950)};
  std::vector<std::vector<std::int32_t>> want;
  for (const auto& adapter : adapters) {
    request.adapter = adapter;
    Collector alone;
    const auto engine = create();
    ASSERT_TRUE(engine->submit(request, alone));
    while (engine->step()) {
    }
    want.push_back(alone.tokens[0]);
  }
  EXPECT_NE(want[0], want[1]);
  EXPECT_NE(want[1], want[2]);
  const auto engine = create();
  std::vector<Collector> together(6);
  for (std::size_t i = 0; i < together.size(); ++i) {
    request.adapter = adapters[i % 3];
    ASSERT_TRUE(engine->submit(request, together[i]));
  }
  while (engine->step()) {
  }
  for (std::size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(together[i].tokens[0], want[i % 3]) << "request " << i;
    EXPECT_EQ(together[i].results.at(0).usage.cached_tokens, i < 3 ? 0U : 96U) << "request " << i;
  }
  const auto narrow =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 256, .cache_tokens = 256})
          .value();
  Collector refused;
  request.adapter = adapters[1];
  EXPECT_EQ(narrow->submit(request, refused).error().code, ErrorCode::kInvalidArgument);
  expect_no_page_lost(*engine);
}

TEST(BatchEngine, SamplesOfARequestComputeThePromptOnce) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 256, .cache_tokens = 1024})
          .value();
  RandomStream stream({6, 0, 0});
  SequenceRequest request{
      .id = 3, .prompt = random_tokens(stream, 70, 83), .max_tokens = 9, .samples = 4};
  request.sampling.temperature = 1.5;
  Collector collector;
  ASSERT_TRUE(engine->submit(request, collector));
  std::size_t prompt_tokens = 0;
  while (engine->step()) prompt_tokens += engine->last_step().prefill_tokens;
  EXPECT_EQ(prompt_tokens, 70U);
  Alone alone(*random.model, *executor);
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_EQ(collector.tokens[k], alone.tokens(request, k)) << k;
    EXPECT_EQ(collector.results.at(k).usage.generated_tokens, 9U);
  }
  EXPECT_NE(collector.tokens[0], collector.tokens[1]);
  expect_no_page_lost(*engine);
}

TEST(BatchEngine, GeneratorsDoNotWaitForALongPrompt) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor,
                          {.context_tokens = 2048, .cache_tokens = 4096, .mixed_prompt_tokens = 64})
          .value();
  Collector quick;
  Collector slow;
  ASSERT_TRUE(engine->submit({.id = 1, .prompt = {1, 2}, .max_tokens = 100}, quick));
  ASSERT_TRUE(engine->step());
  RandomStream stream({6, 0, 0});
  ASSERT_TRUE(
      engine->submit({.id = 2, .prompt = random_tokens(stream, 640, 83), .max_tokens = 1}, slow));
  for (int i = 0; i < 10; ++i) {
    const std::size_t before = quick.tokens[0].size();
    ASSERT_TRUE(engine->step());
    EXPECT_EQ(quick.tokens[0].size(), before + 1);
    EXPECT_LE(engine->last_step().prefill_tokens, 64U);
  }
  EXPECT_EQ(slow.tokens[0].size(), 1U);
}

TEST(BatchEngine, UrgentRequestsGoFirst) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 64, .cache_tokens = 64, .sequences_max = 1})
                    .value();
  std::vector<Collector> collectors(3);
  ASSERT_TRUE(engine->submit({.id = 1, .prompt = {1}, .max_tokens = 3}, collectors[0]));
  ASSERT_TRUE(engine->submit({.id = 2, .prompt = {1}, .max_tokens = 3}, collectors[1]));
  ASSERT_TRUE(
      engine->submit({.id = 3, .prompt = {1}, .max_tokens = 3, .priority = 5}, collectors[2]));
  while (collectors[2].results.empty()) ASSERT_TRUE(engine->step());
  EXPECT_TRUE(collectors[0].tokens.empty());
  while (collectors[0].results.empty()) ASSERT_TRUE(engine->step());
  EXPECT_TRUE(collectors[1].tokens.empty());
}

struct Simulation {
  const char* name;
  model::BlockSpec spec;
  std::size_t arrivals;
  bool guesses = false;
};

// Says what another drafter says, with every fourth token altered.
class Misquoting : public Drafter {
 public:
  explicit Misquoting(std::unique_ptr<Drafter> source) : source_(std::move(source)) {}
  const char* name() const noexcept override { return "misquoting"; }
  void propose(std::span<Draft* const> drafts) override {
    source_->propose(drafts);
    for (Draft* draft : drafts) {
      for (DraftToken& token : draft->proposed) {
        if (random_.below(4) == 0) token.token = static_cast<std::int32_t>(random_.below(90));
      }
    }
  }
  void forget(std::uint64_t sequence) override { source_->forget(sequence); }
  Cost cost(std::span<Draft* const> drafts, const Speeds& model) const override {
    return source_->cost(drafts, model);
  }
  bool is_free() const noexcept override { return source_->is_free(); }

 private:
  std::unique_ptr<Drafter> source_;
  RandomStream random_{{9, 9, 9}};
};

// Who guesses in a simulation: what was said before, and the model itself in too small a cache,
// misquoted. Every guess is checked.
std::unique_ptr<Speculator> guessing(const model::Model& model, Executor& executor) {
  std::vector<std::unique_ptr<Drafter>> drafters;
  drafters.push_back(std::make_unique<NgramDrafter>());
  drafters.push_back(std::make_unique<Misquoting>(
      ModelDrafter::create(
          model, model, executor,
          {.context_tokens = 160, .cache_tokens = 32 * 12, .sequences_max = 8, .tokens_max = 3})
          .value()));
  return std::make_unique<Speculator>(std::move(drafters),
                                      SpeculatorOptions{.tokens_max = 3, .is_forced = true});
}

TEST(BatchEngine, UrgentRequestsSetBackOthers) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 64, .cache_tokens = 64, .sequences_max = 1})
                    .value();
  Alone alone(*random.model, *executor);
  std::vector<Collector> collectors(2);
  const SequenceRequest batch{.id = 1, .prompt = {1, 2, 3}, .max_tokens = 9, .priority = -1};
  ASSERT_TRUE(engine->submit(batch, collectors[0]));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine->step());
  ASSERT_TRUE(engine->submit({.id = 2, .prompt = {4}, .max_tokens = 3}, collectors[1]));
  while (collectors[1].results.empty()) ASSERT_TRUE(engine->step());
  EXPECT_TRUE(collectors[0].results.empty());
  while (engine->step()) {
  }
  EXPECT_EQ(collectors[0].tokens[0], alone.tokens(batch, 0));
  EXPECT_EQ(collectors[0].results.at(0).preemptions, 1U);
  expect_no_page_lost(*engine);
}

// One tenant floods the queue; another's few requests get their turns all the same.
TEST(BatchEngine, TenantsTakeTurns) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 64, .cache_tokens = 256, .sequences_max = 2})
                    .value();
  std::vector<Collector> flood(40);
  std::vector<Collector> few(4);
  for (std::size_t i = 0; i < flood.size(); ++i) {
    ASSERT_TRUE(
        engine->submit({.id = i, .prompt = {1, 2}, .max_tokens = 4, .tenant = 1}, flood[i]));
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(engine->step());
  for (std::size_t i = 0; i < few.size(); ++i) {
    ASSERT_TRUE(engine->submit({.id = i, .prompt = {1, 2}, .max_tokens = 4, .tenant = 2}, few[i]));
  }
  while (few.back().results.empty()) ASSERT_TRUE(engine->step());
  const auto ended = std::count_if(flood.begin(), flood.end(),
                                   [](const Collector& one) { return !one.results.empty(); });
  EXPECT_LE(ended, 8) << "about as many as of the other, and those that ran before";
  EXPECT_GE(ended, 3) << "half of the room stays theirs";
}

TEST(BatchEngine, ShortPromptsDoNotWaitForALongOne) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 2048,
                                     .cache_tokens = 4096,
                                     .step_tokens = 64,
                                     .mixed_prompt_tokens = 64,
                                     .sequences_max = 32})
                    .value();
  RandomStream stream({6, 0, 0});
  Collector long_one;
  ASSERT_TRUE(engine->submit({.id = 1, .prompt = random_tokens(stream, 1900, 83), .max_tokens = 1},
                             long_one));
  ASSERT_TRUE(engine->step());
  Collector quick;
  ASSERT_TRUE(
      engine->submit({.id = 2, .prompt = random_tokens(stream, 60, 83), .max_tokens = 1}, quick));
  ASSERT_TRUE(engine->step());
  EXPECT_EQ(quick.results.size(), 1U);
  // However many short ones come, the long one goes on.
  std::vector<std::unique_ptr<Collector>> more;
  for (std::uint64_t id = 3; long_one.results.empty() && id < 400; ++id) {
    more.push_back(std::make_unique<Collector>());
    ASSERT_TRUE(engine->submit({.id = id, .prompt = random_tokens(stream, 64, 83), .max_tokens = 1},
                               *more.back()));
    ASSERT_TRUE(engine->step());
  }
  EXPECT_FALSE(long_one.results.empty());
}

TEST(BatchEngine, ADeadlineEndsWhatWaitsAndWhatRuns) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine = BatchEngine::create(*random.model, *executor,
                                    {.context_tokens = 64, .cache_tokens = 64, .sequences_max = 1})
                    .value();
  Collector runs;
  Collector waits;
  ASSERT_TRUE(engine->submit({.id = 1, .prompt = {1}, .max_tokens = 60}, runs));
  ASSERT_TRUE(engine->submit({.id = 2, .prompt = {1}, .deadline = 1e-9}, waits));
  ASSERT_TRUE(engine->step());
  EXPECT_EQ(waits.results.at(0).end, SequenceEnd::kDeadline);
  EXPECT_TRUE(runs.results.empty());
  while (engine->step()) {
  }
  expect_no_page_lost(*engine);
}

TEST(BatchEngine, WaitingPromptsAreBounded) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(
          *random.model, *executor,
          {.context_tokens = 64, .cache_tokens = 64, .sequences_max = 1, .waiting_tokens_max = 10})
          .value();
  Collector collector;
  const SequenceRequest request{.id = 1, .prompt = {1, 2, 3, 4}, .max_tokens = 1};
  ASSERT_TRUE(engine->submit(request, collector));
  Collector second;
  ASSERT_TRUE(engine->submit(request, second));
  EXPECT_EQ(engine->waiting_tokens(), 8U);
  Collector third;
  EXPECT_EQ(engine->submit(request, third).error().code, ErrorCode::kExhausted);
  while (engine->step()) {
  }
  EXPECT_EQ(engine->waiting_tokens(), 0U);
  ASSERT_TRUE(engine->submit(request, third));
}

// The logits behind each position, from runs of one token each.
TEST(BatchEngine, TellsLogprobsOfAnswersAndScoresOfPrompts) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(1);
  auto engine =
      BatchEngine::create(*random.model, *executor,
                          {.context_tokens = 256, .cache_tokens = 1024, .step_tokens = 64})
          .value();
  RandomStream stream({5, 0, 0});
  SequenceRequest request{.id = 1, .prompt = random_tokens(stream, 150, 83), .max_tokens = 5};
  request.logprobs = 4;
  request.sampling.logit_bias = {{7, 3.0F}};
  Collector answer;
  ASSERT_TRUE(engine->submit(request, answer));
  while (engine->step()) {
  }
  ASSERT_EQ(answer.logprobs[0].size(), 5U);
  for (const api::TokenLogprobs& told : answer.logprobs[0]) {
    ASSERT_EQ(told.top.size(), 4U);
    EXPECT_GE(told.top[0].logprob, told.top[1].logprob);
    EXPECT_LE(told.token.logprob, told.top[0].logprob);
    EXPECT_LT(told.top[0].logprob, 0);
  }
  // The answer, read as a prompt, has the same log-probabilities, cached prefixes or not.
  SequenceRequest scored{.id = 2, .prompt = request.prompt, .max_tokens = 0, .logprobs = 4};
  scored.prompt.insert(scored.prompt.end(), answer.tokens[0].begin(), answer.tokens[0].end());
  scored.scored_from = 0;
  Collector all;
  ASSERT_TRUE(engine->submit(scored, all));
  scored.scored_from = 150;
  Collector end;
  ASSERT_TRUE(engine->submit(scored, end));
  while (engine->step()) {
  }
  EXPECT_EQ(all.scores.size(), 154U);
  EXPECT_EQ(all.scores.begin()->first, 1U);
  EXPECT_EQ(end.scores.size(), 5U);
  EXPECT_EQ(all.results.at(0).usage.cached_tokens, 0U);
  EXPECT_EQ(end.results.at(0).usage.cached_tokens, 128U);
  EXPECT_EQ(all.results.at(0).usage.generated_tokens, 0U);
  for (std::size_t i = 0; i < 5; ++i) {
    const api::TokenLogprobs& told = answer.logprobs[0][i];
    EXPECT_EQ(all.scores.at(150 + i).token.token, told.token.token);
    EXPECT_EQ(all.scores.at(150 + i).token.logprob, told.token.logprob);
    EXPECT_EQ(end.scores.at(150 + i).token.logprob, told.token.logprob);
    EXPECT_EQ(end.scores.at(150 + i).top[3].token, told.top[3].token);
  }
  expect_no_page_lost(*engine);
}

// Lets a sequence say multiples of a number only, and the number itself at last.
class Multiples : public TokenConstraint {
 public:
  Multiples(std::uint32_t of, std::size_t fails_at = 1000) : of_(of), fails_at_(fails_at) {}
  Result<TokenSet> allowed() override {
    bits_.assign(3, 0);
    if (said_ == fails_at_) return TokenSet(bits_);
    for (std::uint32_t t = 0; t < 83; t += of_) bits_[t / 32] |= 1U << (t % 32);
    return TokenSet(bits_);
  }
  Result<void> accept(std::int32_t token) override {
    EXPECT_EQ(static_cast<std::uint32_t>(token) % of_, 0U);
    ++said_;
    return {};
  }

 private:
  std::uint32_t of_;
  std::size_t fails_at_;
  std::size_t said_ = 0;
  std::vector<std::uint32_t> bits_;
};

TEST(BatchEngine, ConstraintsHoldForEachSampleAndFailClosed) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(2);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 256, .cache_tokens = 1024},
                          guessing(*random.model, *executor))
          .value();
  SequenceRequest request{.id = 1, .prompt = {1, 2, 3}, .max_tokens = 40, .samples = 3};
  request.sampling.temperature = 2;
  request.constraint = [](std::size_t sample) {
    return std::make_unique<Multiples>(static_cast<std::uint32_t>(sample) + 5,
                                       sample == 2 ? 7 : 1000);
  };
  Collector collector;
  ASSERT_TRUE(engine->submit(request, collector));
  Collector free;
  const SequenceRequest other{.id = 2, .prompt = {1, 2, 3}, .max_tokens = 40};
  ASSERT_TRUE(engine->submit(other, free));
  while (engine->step()) {
  }
  for (std::size_t sample = 0; sample < 2; ++sample) {
    ASSERT_EQ(collector.tokens[sample].size(), 40U);
    for (const std::int32_t token : collector.tokens[sample]) {
      EXPECT_EQ(token % static_cast<int>(sample + 5), 0);
    }
  }
  EXPECT_EQ(collector.tokens[2].size(), 7U);
  EXPECT_EQ(collector.results.at(2).end, SequenceEnd::kFailed);
  EXPECT_EQ(free.tokens[0], Alone(*random.model, *executor).tokens(other, 0));
  expect_no_page_lost(*engine);
}

// ./test long sets it.
bool is_long() { return std::getenv("PARING_LONG_TESTS") != nullptr; }

class BatchSimulation : public ::testing::TestWithParam<Simulation> {};

// Requests as the clients of a chat server make them: a few common beginnings, own ends.
SequenceRequest random_request(RandomStream& random, std::uint64_t id,
                               const std::vector<std::vector<std::int32_t>>& beginnings) {
  SequenceRequest request;
  request.id = id;
  request.prompt = beginnings[random.below(static_cast<std::uint32_t>(beginnings.size()))];
  request.prompt.resize(1 + random.below(static_cast<std::uint32_t>(request.prompt.size())));
  const auto own = random_tokens(random, random.below(40), 83);
  request.prompt.insert(request.prompt.end(), own.begin(), own.end());
  request.max_tokens = 1 + random.below(24);
  request.samples = random.below(8) == 0 ? 1 + random.below(3) : 1;
  request.sampling.temperature = random.below(2) == 0 ? 0.0 : 1.3;
  request.sampling.repetition_penalty = random.below(4) == 0 ? 1.2 : 1.0;
  request.priority = static_cast<int>(random.below(3));
  request.prefix_scope = random.below(2);
  request.tenant = random.below(3);
  if (random.below(5) == 0) request.scored_from = random.below(60);
  if (random.below(5) == 0) request.logprobs = random.below(4);
  return request;
}

TEST_P(BatchSimulation, EverySequenceIsAsIfAlone) {
  const RandomModel model = random_model(GetParam().spec, DType::kQ8_0, 4);
  const auto executor = make_executor(1);
  const BatchOptions options{.context_tokens = 192,
                             .cache_tokens = 32 * 24,
                             .step_tokens = 64,
                             .mixed_prompt_tokens = 24,
                             .mixed_step_ratio = 1e9,  // what a step holds must not depend on time
                             .sequences_max = 8,
                             .waiting_max = 40};
  auto engine =
      BatchEngine::create(*model.model, *executor, options,
                          GetParam().guesses ? guessing(*model.model, *executor) : nullptr)
          .value();
  RandomStream random({11, 0, 0});
  std::vector<std::vector<std::int32_t>> beginnings;
  for (int i = 0; i < 6; ++i) beginnings.push_back(random_tokens(random, 130, 83));

  struct Job {
    SequenceRequest request;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
    std::unique_ptr<Collector> collector;
    bool was_refused = false;
  };
  std::vector<Job> jobs;
  std::size_t cached = 0;
  std::size_t preemptions = 0;
  std::size_t refused = 0;
  std::size_t cancelled = 0;
  const std::size_t arrivals = GetParam().arrivals;
  while (jobs.size() < arrivals || engine->running() + engine->waiting() > 0) {
    // Guesses are made while no prompt is computed: there must be such times.
    const bool has_burst = random.below(GetParam().guesses ? 150 : 4) == 0;
    const std::uint32_t burst = has_burst ? random.below(GetParam().guesses ? 60 : 5) : 0;
    for (std::uint32_t n = burst; n > 0 && jobs.size() < arrivals; --n) {
      Job job;
      job.request = random_request(random, jobs.size(), beginnings);
      job.request.cancelled = job.cancelled;
      job.collector = std::make_unique<Collector>(random.below(5) == 0 ? 1 + random.below(9) : 0);
      job.was_refused = !engine->submit(job.request, *job.collector);
      refused += job.was_refused ? 1U : 0U;
      jobs.push_back(std::move(job));
    }
    if (random.below(12) == 0 && !jobs.empty()) {
      const std::size_t recent = std::min<std::size_t>(jobs.size(), 40);
      *jobs[jobs.size() - 1 - random.below(static_cast<std::uint32_t>(recent))].cancelled = true;
    }
    if (random.below(200) == 0) engine->clear_prefixes();
    engine->step();
  }
  Alone alone(*model.model, *executor);
  std::size_t compared = 0;
  api::Speculation total;
  for (const Job& job : jobs) {
    if (job.was_refused) {
      EXPECT_TRUE(job.collector->results.empty());
      continue;
    }
    ASSERT_EQ(job.collector->results.size(), job.request.samples);
    for (std::size_t k = 0; k < job.request.samples; ++k) {
      const SequenceResult& result = job.collector->results.at(k);
      const std::vector<std::int32_t>& tokens = job.collector->tokens[k];
      ASSERT_NE(result.end, SequenceEnd::kFailed) << result.error.message;
      EXPECT_EQ(result.usage.generated_tokens, tokens.size());
      cached += result.usage.cached_tokens;
      total.drafted_tokens += result.usage.speculation.drafted_tokens;
      total.accepted_tokens += result.usage.speculation.accepted_tokens;
      preemptions += result.preemptions;
      cancelled += result.end == SequenceEnd::kCancelled ? 1U : 0U;
      if (tokens.empty()) continue;
      std::vector<std::int32_t> want = alone.tokens(job.request, k);
      ASSERT_GE(want.size(), tokens.size());
      want.resize(tokens.size());
      ASSERT_EQ(tokens, want) << "request " << job.request.id << ", sample " << k;
      ++compared;
    }
  }
  expect_no_page_lost(*engine);
  std::printf(
      "  %zu sequences compared, %zu cancelled, %zu refused, %zu preemptions, %zu cached tokens\n",
      compared, cancelled, refused, preemptions, cached);
  EXPECT_GT(compared, arrivals / 2);
  EXPECT_GT(cancelled, 0U);
  EXPECT_GT(refused, 0U);
  EXPECT_GT(preemptions, 0U);
  EXPECT_GT(cached, 0U);
  if (!GetParam().guesses) return;
  std::printf("  %zu of %zu guesses were right\n", total.accepted_tokens, total.drafted_tokens);
  EXPECT_GT(total.accepted_tokens, arrivals / 20);
  EXPECT_GT(total.drafted_tokens, total.accepted_tokens);
}

INSTANTIATE_TEST_SUITE_P(
    Models, BatchSimulation,
    ::testing::Values(Simulation{"tiny", tiny_spec(), is_long() ? 10'000U : 2'000U},
                      Simulation{"windows", rich_spec(), is_long() ? 2'000U : 300U},
                      Simulation{"guesses", tiny_spec(), is_long() ? 5'000U : 500U, true},
                      Simulation{"guesses_windows", rich_spec(), is_long() ? 2'000U : 200U, true}),
    [](const auto& simulation) { return std::string(simulation.param.name); });

}  // namespace
}  // namespace paring::engine
