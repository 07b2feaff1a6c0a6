// SPDX-License-Identifier: Apache-2.0
// With a tiny encoder of random weights (tests/data/encoders): what is tested is who is given what,
// not how well it judges likeness; see ADR 38 for that.
#include "serve/cache/semantic_cache.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "base/executor.h"

namespace paring::serve {
namespace {

class SemanticCacheTest : public testing::Test {
 protected:
  SemanticCacheTest() : executor_(Executor::create({.threads = 1, .pin = false}).value()) {
    encoder_ = open_encoder("encoder", "bert-mean").value();
    loop_.add(encoder_);
  }

  Result<std::shared_ptr<ServedModel>> open_encoder(const std::string& name,
                                                    const std::string& folder) {
    const std::string path = PARING_SOURCE_DIR "/tests/data/encoders/" + folder;
    PARING_TRY(ModelPlan plan, ServedModel::plan(path, {}, executor_->threads(), std::nullopt));
    return ServedModel::open(name, std::move(plan), *executor_, *executor_);
  }

  std::shared_ptr<SemanticCache> make(const SemanticCacheOptions& options) {
    return SemanticCache::create(options, encoder_, loop_, finisher_).value();
  }
  static std::shared_ptr<AskedQuestion> ask(const SemanticCache& cache, const std::string& text,
                                            const std::string& tenant = "t") {
    auto question = std::make_shared<AskedQuestion>();
    EXPECT_TRUE(cache.read(text, *question));
    question->key = tenant + text;
    question->group = tenant;
    question->tenant = tenant;
    question->variant = "variant";
    question->model = "model";
    return question;
  }
  static SemanticCache::Found find(SemanticCache& cache,
                                   const std::shared_ptr<AskedQuestion>& question) {
    std::promise<SemanticCache::Found> found;
    cache.find(question, [&](SemanticCache::Found it) { found.set_value(std::move(it)); });
    return found.get_future().get();
  }
  static std::shared_ptr<SharedAnswer> answer(const std::string& text) {
    auto shared = std::make_shared<SharedAnswer>(1 << 20, [](SharedAnswer&) {}, [] {});
    shared->receive({{0, {.content = text}, {}, 1}}, AnswerUsage());
    return shared;
  }
  static double checked(const SemanticCache& cache) {
    const auto standings = cache.standings();
    return standings.empty() ? 0 : standings.front().checked;
  }
  static void check(SemanticCache& cache, const SemanticCache::Found& found,
                    const std::string& given, const std::string& computed) {
    const double before = checked(cache);
    cache.check(*found.question, *found.hit, given, computed);
    while (checked(cache) == before) std::this_thread::yield();
  }

  std::unique_ptr<Executor> executor_;
  TaskThread finisher_{thread_names::kFinisher};
  EngineLoop loop_{[](std::function<void()> task) { task(); }};
  std::shared_ptr<ServedModel> encoder_;
};

// Nothing that is not equal counts as the same.
constexpr double kOnlyEqual = 2;
constexpr double kAnyQuestions = -1;

TEST_F(SemanticCacheTest, GivesOnlyWhatItHasShownToBeRight) {
  const auto cache = make({.similarity_min = kAnyQuestions,
                           .answers_alike_min = kOnlyEqual,
                           .false_hits_max = 0.5,
                           .sample = 0});
  const auto first = find(*cache, ask(*cache, "How do I learn to swim?"));
  EXPECT_FALSE(first.hit);
  cache->keep(*first.question, answer("in water"));
  const auto like = ask(*cache, "What is the way to learn swimming?");
  for (int i = 0; i < 4; ++i) {
    const auto found = find(*cache, like);
    ASSERT_TRUE(found.hit);
    EXPECT_FALSE(found.is_given);
    check(*cache, found, "in water", "in water");
  }
  const auto given = find(*cache, like);
  ASSERT_TRUE(given.hit);
  EXPECT_TRUE(given.is_given);
  EXPECT_FALSE(given.is_sampled);
  EXPECT_EQ(given.hit->answer->text(), "in water");
  EXPECT_FALSE(find(*cache, ask(*cache, "How do I learn to dive?")).hit);
  EXPECT_FALSE(find(*cache, ask(*cache, "How do I learn to swim?", "another tenant")).hit);
}

TEST_F(SemanticCacheTest, AFalseAnswerIsForgottenAndManySwitchItOff) {
  const auto cache = make({.similarity_min = kAnyQuestions,
                           .answers_alike_min = kOnlyEqual,
                           .false_hits_max = 0.3,
                           .sample = 1});
  for (int i = 0; i < 9; ++i) {
    const auto first = find(*cache, ask(*cache, "How do I learn to swim?"));
    cache->keep(*first.question, answer("in water"));
    const auto found = find(*cache, ask(*cache, "How to learn swimming"));
    ASSERT_TRUE(found.hit);
    check(*cache, found, "in water", "in the air");
    EXPECT_FALSE(find(*cache, found.question).hit);  // forgotten
    if (cache->standings().front().state == FalseHitMeter::State::kOff) break;
  }
  EXPECT_EQ(cache->standings().front().state, FalseHitMeter::State::kOff);
  const auto first = find(*cache, ask(*cache, "How do I learn to swim?"));
  cache->keep(*first.question, answer("in water"));
  EXPECT_FALSE(find(*cache, ask(*cache, "How to learn swimming")).hit);
}

TEST_F(SemanticCacheTest, AnswersThatAreAlikeCountAsTheSame) {
  const auto cache = make({.similarity_min = kAnyQuestions,
                           .answers_alike_min = 0.999,
                           .false_hits_max = 1,
                           .sample = 1});
  const auto first = find(*cache, ask(*cache, "How do I learn to swim?"));
  cache->keep(*first.question, answer("in water"));
  const auto found = find(*cache, ask(*cache, "How to learn swimming"));
  ASSERT_TRUE(found.hit && found.is_given && found.is_sampled);
  check(*cache, found, "in water", "In water");  // the encoder reads small letters only
  EXPECT_TRUE(find(*cache, found.question).hit);
  check(*cache, found, "in water", "");
  EXPECT_FALSE(find(*cache, found.question).hit);
}

TEST_F(SemanticCacheTest, WhatTheEncoderCannotReadWholeIsNotCompared) {
  const auto cache = make({});
  AskedQuestion question;
  EXPECT_FALSE(cache->read("", question));
  EXPECT_FALSE(cache->read(std::string(100000, 'a'), question));
  std::string words;
  for (int i = 0; i < 400; ++i) words += "word ";
  EXPECT_FALSE(cache->read(words, question));
}

TEST_F(SemanticCacheTest, AModelThatGivesNoVectorsIsRefused) {
  const auto rank = open_encoder("rank", "distilbert");
  ASSERT_TRUE(rank) << rank.error().text();
  const auto cache = SemanticCache::create({}, *rank, loop_, finisher_);
  EXPECT_EQ(cache.has_value(), (*rank)->encoder().pooling() != model::Pooling::kNone);
}

}  // namespace
}  // namespace paring::serve
