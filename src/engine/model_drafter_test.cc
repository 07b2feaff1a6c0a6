// SPDX-License-Identifier: Apache-2.0
#include "engine/model_drafter.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/batch_engine.h"
#include "model/testing/random_model.h"

namespace paring::engine {
namespace {

using model::testing::random_model;
using model::testing::RandomModel;
using model::testing::rich_spec;
using model::testing::tiny_spec;

using Tokens = std::vector<std::int32_t>;

class Collector : public SequenceListener {
 public:
  bool on_token(std::size_t, std::int32_t token) override {
    tokens.push_back(token);
    return true;
  }
  void on_end(std::size_t, const SequenceResult& end) override { result = end; }
  Tokens tokens;
  SequenceResult result;
};

api::Sampling warm() {
  api::Sampling sampling;
  sampling.temperature = 1.2;
  sampling.repetition_penalty = 1.1;
  return sampling;
}

class ModelDrafterTest : public ::testing::Test {
 protected:
  Collector run(const model::Model& model, const SequenceRequest& request,
                const model::Model* draft, ModelDrafterOptions options = {}) {
    std::unique_ptr<Speculator> speculator;
    if (draft != nullptr) {
      options.tokens_max = 5;
      std::vector<std::unique_ptr<Drafter>> drafters;
      drafters.push_back(ModelDrafter::create(*draft, model, *executor_, options).value());
      drafter_ = static_cast<ModelDrafter*>(drafters.back().get());
      speculator = std::make_unique<Speculator>(
          std::move(drafters), SpeculatorOptions{.tokens_max = 5, .is_forced = true});
    }
    engine_ = BatchEngine::create(model, *executor_, {.context_tokens = 224, .cache_tokens = 448},
                                  std::move(speculator))
                  .value();
    Collector collector;
    EXPECT_TRUE(engine_->submit(request, collector));
    while (engine_->step()) {
    }
    return collector;
  }

  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 2, .pin = false}).value();
  std::unique_ptr<BatchEngine> engine_;
  ModelDrafter* drafter_ = nullptr;
};

// The model as its own draft model is always right, greedy and drawn: each step gives all guesses
// and one more.
TEST_F(ModelDrafterTest, TheModelItselfIsAlwaysRight) {
  for (const model::BlockSpec& spec : {tiny_spec(), rich_spec()}) {
    const RandomModel random = random_model(spec, DType::kQ8_0, 3);
    for (const api::Sampling& sampling : {api::Sampling(), warm()}) {
      const SequenceRequest request{
          .id = 4, .prompt = Tokens(45, 7), .max_tokens = 121, .sampling = sampling};
      const Tokens plain = run(*random.model, request, nullptr).tokens;
      const Collector guessed = run(*random.model, request, random.model.get());
      EXPECT_EQ(guessed.tokens, plain);
      EXPECT_EQ(guessed.result.usage.speculation.steps, 20U);
      EXPECT_EQ(guessed.result.usage.speculation.accepted_tokens, 100U);
    }
  }
}

// Another model is mostly wrong, so its cache is cut back all the time, across windows and pages.
TEST_F(ModelDrafterTest, AWrongModelDoesNotChangeTheText) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  const RandomModel other = random_model(rich_spec(), DType::kQ8_0, 30);
  for (std::uint64_t id = 0; id < 4; ++id) {
    SequenceRequest request{.id = id, .prompt = Tokens(1 + 30 * id, 7), .max_tokens = 100};
    if (id % 2 == 1) request.sampling = warm();
    const Tokens plain = run(*random.model, request, nullptr).tokens;
    const Collector guessed = run(*random.model, request, other.model.get());
    EXPECT_EQ(guessed.tokens, plain);
    EXPECT_GT(guessed.result.usage.speculation.drafted_tokens, 100U);
  }
}

// A draft model that agrees often but not always has read just what it would have read alone: what
// it says does not depend on the guesses that were wrong.
TEST_F(ModelDrafterTest, ItsCacheKeepsStepWithTheText) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  const auto make = [&] {
    return ModelDrafter::create(*random.model, *random.model, *executor_, {.tokens_max = 4})
        .value();
  };
  const auto drafter = make();
  const Sampler sampler({}, 0);
  RandomStream stream({8, 0, 0});
  Tokens tokens = {1, 2, 3};
  const auto guess = [&](ModelDrafter& asked) {
    Draft draft{.sequence = 1, .tokens = tokens, .sampler = &sampler, .wanted = 4};
    Draft* drafts[] = {&draft};
    asked.propose(drafts);
    Tokens guesses;
    for (const DraftToken& token : draft.proposed) guesses.push_back(token.token);
    return guesses;
  };
  for (int i = 0; i < 60; ++i) {
    const Tokens guesses = guess(*drafter);
    ASSERT_EQ(guesses.size(), 4U);
    ASSERT_EQ(guesses, guess(*make())) << i;
    const auto right = static_cast<std::ptrdiff_t>(stream.below(5));
    tokens.insert(tokens.end(), guesses.begin(), guesses.begin() + right);
    tokens.push_back(static_cast<std::int32_t>(stream.below(83)));
  }
  // What was read of it helps the next one, within its scope.
  drafter->forget(1);
  Draft again{.sequence = 2, .tokens = tokens};
  Draft stranger{.sequence = 3, .prefix_scope = 1, .tokens = tokens};
  const auto seconds = [&](Draft& draft) {
    Draft* drafts[] = {&draft};
    return drafter->cost(drafts, {.prompt_token_seconds = 1}).catch_up_seconds;
  };
  EXPECT_EQ(seconds(again), 0);
  EXPECT_GT(seconds(stranger), 0);
}

TEST_F(ModelDrafterTest, SaysNothingOfTokensThatItDoesNotHave) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  model::BlockSpec small = tiny_spec();
  small.vocabulary = 40;
  const RandomModel other = random_model(small, DType::kQ8_0, 5);
  const SequenceRequest request{.id = 1, .prompt = {1, 2, 60}, .max_tokens = 30};
  const Tokens plain = run(*random.model, request, nullptr).tokens;
  const Collector guessed = run(*random.model, request, other.model.get());
  EXPECT_EQ(guessed.tokens, plain);
  EXPECT_EQ(guessed.result.usage.speculation.drafted_tokens, 0U);
}

// Sequences that nobody asks about give way, and without room nothing is said.
TEST_F(ModelDrafterTest, ASmallCacheIsNoError) {
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 3);
  const auto drafter = ModelDrafter::create(*random.model, *random.model, *executor_,
                                            {.cache_tokens = 64, .tokens_max = 4})
                           .value();
  const Sampler sampler({}, 0);
  const auto guess = [&](std::uint64_t sequence, std::size_t length) {
    const Tokens tokens(length, static_cast<std::int32_t>(sequence));
    Draft draft{.sequence = sequence, .tokens = tokens, .sampler = &sampler, .wanted = 4};
    Draft* drafts[] = {&draft};
    drafter->propose(drafts);
    return draft.proposed.size();
  };
  EXPECT_EQ(guess(1, 50), 4U);
  EXPECT_EQ(guess(2, 50), 4U);
  EXPECT_EQ(guess(3, 65), 0U);
  EXPECT_EQ(guess(1, 50), 4U);
  for (const std::uint64_t sequence : {1U, 2U, 3U}) drafter->forget(sequence);
}

text::TokenizerSpec spec_of(const std::vector<std::string>& tokens) {
  text::TokenizerSpec spec = text::default_spec(text::TokenizerModel::kBpe, "default");
  spec.tokens = tokens;
  text::drop_missing_ids(spec);
  return spec;
}

TEST(Vocabulary, DiffersBeyondPaddingOnly) {
  const auto error = [](const std::vector<std::string>& model,
                        const std::vector<std::string>& draft) {
    const auto ours = text::Tokenizer::create(spec_of(model)).value();
    const auto theirs = text::Tokenizer::create(spec_of(draft)).value();
    const auto result = check_same_vocabulary(*ours, *theirs);
    return result ? std::string() : result.error().message;
  };
  EXPECT_EQ(error({"a", "b"}, {"a", "b"}), "");
  EXPECT_EQ(error({"a", "b", "[PAD2]"}, {"a", "b"}), "");
  EXPECT_EQ(error({"a", "b"}, {"a", "b", "[PAD2]", "[PAD3]"}), "");
  EXPECT_EQ(error({"a", "b", "[PAD2]"}, {"a", "b", "c"}), "");
  EXPECT_NE(error({"a", "b"}, {"a", "c"}).find("token 1 is 'c' there and 'b' in the model"),
            std::string::npos);
  EXPECT_NE(error({"a", "b"}, {"a", "b", "c"}), "");
  EXPECT_NE(error({"a", "b", "c"}, {"a", "b"}), "");
}

}  // namespace
}  // namespace paring::engine
