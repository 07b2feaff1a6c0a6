// SPDX-License-Identifier: Apache-2.0
// Needs the model, which ./test and ./quickstart fetch into models/; without it the tests are
// skipped, and say so. tests/test_eval_tasks.py does the same through the program.
#include "measure/score.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/metrics.h"

namespace paring::measure {
namespace {

constexpr const char* kModel = PARING_SOURCE_DIR "/models/SmolLM2-135M-Instruct.Q4_1.gguf";

class Score : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kModel)) GTEST_SKIP() << kModel << " is not there";
    auto executor = Executor::create({.threads = 2});
    ASSERT_TRUE(executor) << executor.error().text();
    executor_ = std::move(*executor);
    auto loaded = engine::LoadedModel::load(kModel, *executor_, {});
    ASSERT_TRUE(loaded) << loaded.error().text();
    loaded_ = std::make_unique<engine::LoadedModel>(std::move(*loaded));
  }

  std::unique_ptr<Scorer> scorer(std::size_t context_tokens) {
    auto scorer = Scorer::create(*loaded_, *executor_, {}, context_tokens);
    EXPECT_TRUE(scorer) << scorer.error().text();
    return std::move(*scorer);
  }
  ScoreItem encode(const Scorer& scorer, const std::string& context,
                   const std::vector<std::string>& continuations) {
    auto item = scorer.encode(context, continuations);
    EXPECT_TRUE(item) << item.error().text();
    return *item;
  }
  std::vector<std::int32_t> tokens(const std::string& text) {
    return *loaded_->tokenizer->encode(text, {});
  }

  std::unique_ptr<Executor> executor_;
  std::unique_ptr<engine::LoadedModel> loaded_;
};

TEST_F(Score, ManyAtOnceGiveTheSameBitsAsOneAtATime) {
  const auto many = scorer(512);
  std::vector<ScoreItem> items;
  items.push_back(
      encode(*many, "Question: Why is the sky blue?\nAnswer:",
             {" because of the sea", " scattering", " no", " nobody knows it, really"}));
  items.push_back(encode(*many, "One", {" two"}));
  items.push_back(encode(*many, "The cat sat on the", {" mat", " moon and the other things"}));
  const std::uint64_t before = metrics().prompt_tokens.value();
  const auto together = many->score(items);
  ASSERT_TRUE(together) << together.error().text();
  const std::uint64_t shared = metrics().prompt_tokens.value() - before;

  std::uint64_t apart = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (std::size_t c = 0; c < items[i].continuations.size(); ++c) {
      const ScoreItem one{items[i].context, {items[i].continuations[c]}};
      const auto alone = scorer(512)->score({&one, 1});
      ASSERT_TRUE(alone) << alone.error().text();
      EXPECT_EQ((*alone)[0][0], (*together)[i][c]) << i << " " << c;
      EXPECT_LT((*alone)[0][0].log_probability, 0);
      apart += one.context.size() + one.continuations[0].size() - 1;
    }
  }
  EXPECT_LT(shared, apart);  // a context is computed once
}

TEST_F(Score, SequencesLongerThanAStepAndThanTheContext) {
  std::string text;
  for (int i = 0; i < 700; ++i) text += " word" + std::to_string(i % 10);
  const auto wide = scorer(4096);
  const ScoreItem item = encode(*wide, text, {" word0 word1", " tree"});
  ASSERT_GT(item.context.size(), kScoreTokensMax);
  EXPECT_FALSE(wide->is_cut(item));
  const auto whole = wide->score({&item, 1});
  ASSERT_TRUE(whole) << whole.error().text();
  // The other way round: another continuation brings the context along.
  const ScoreItem turned{item.context, {item.continuations[1], item.continuations[0]}};
  const auto again = wide->score({&turned, 1});
  ASSERT_TRUE(again);
  EXPECT_EQ((*whole)[0][0], (*again)[0][1]);
  EXPECT_EQ((*whole)[0][1], (*again)[0][0]);

  const auto narrow = scorer(64);
  EXPECT_TRUE(narrow->is_cut(item));
  const auto cut = narrow->score({&item, 1});
  ASSERT_TRUE(cut) << cut.error().text();
  for (std::size_t c = 0; c < 2; ++c) {  // by hand: 64 tokens are read, the last is not
    const std::size_t kept = 65 - item.continuations[c].size();
    const ScoreItem rest{
        {item.context.end() - static_cast<std::ptrdiff_t>(kept), item.context.end()},
        {item.continuations[c]}};
    const auto expected = narrow->score({&rest, 1});
    ASSERT_TRUE(expected);
    EXPECT_EQ((*cut)[0][c], (*expected)[0][0]);
  }
}

TEST_F(Score, EncodesContextAndContinuationTogether) {
  const auto any = scorer(512);
  const ScoreItem plain = encode(*any, "The capital of France is", {" Paris"});
  EXPECT_EQ(plain.context, tokens("The capital of France is"));
  EXPECT_EQ(plain.continuations[0], tokens(" Paris"));
  // Blanks at the end of the context belong to the continuation.
  const ScoreItem blank = encode(*any, "The capital of France is ", {"Paris"});
  EXPECT_EQ(blank.context, plain.context);
  EXPECT_EQ(blank.continuations, plain.continuations);
  // No context: BOS stands for it.
  const ScoreItem empty = encode(*any, "", {"Paris"});
  EXPECT_EQ(empty.context, (std::vector<std::int32_t>{*loaded_->tokenizer->bos()}));
  EXPECT_EQ(empty.continuations[0], tokens("Paris"));
  const std::vector<std::string> nothing{""};
  EXPECT_FALSE(any->encode("Paris", nothing));
}

}  // namespace
}  // namespace paring::measure
