// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/words.h"

#include <gtest/gtest.h>

namespace paring::advise {
namespace {

using Words = std::vector<std::string>;

TEST(Words, AreInOneCaseWithoutPunctuationAndArticles) {
  EXPECT_EQ(words_of("The 1,000 cats, an Owl -- and a don't!"),
            (Words{"1000", "cats", "owl", "and", "dont"}));
  EXPECT_EQ(words_of("565 °C"), (Words{"565", "°c"}));
  EXPECT_TRUE(words_of(" ,.the ").empty());
}

TEST(Words, HoldsWantsTheWordsSideBySide) {
  EXPECT_TRUE(holds("It was built in 1349, by monks.", "in 1349 by"));
  EXPECT_FALSE(holds("It was built by monks in 1349.", "1349 by"));
  EXPECT_FALSE(holds("It was built in 13490.", "1349"));
  EXPECT_FALSE(holds("anything", " . "));
}

TEST(Words, F1IsOneForTheSameWordsAndZeroForNone) {
  EXPECT_DOUBLE_EQ(word_f1("a red car", "Car, red"), 1);
  EXPECT_DOUBLE_EQ(word_f1("red car", "blue boat"), 0);
  // One of one word, one of three: 2 * 1 / (1 + 3).
  EXPECT_DOUBLE_EQ(word_f1("car", "red fast car"), 0.5);
  // A word counts as often as both have it.
  EXPECT_DOUBLE_EQ(word_f1("no no no", "no"), 0.5);
}

TEST(Words, OverlapIsTheShareOfRunsOfThreeWords) {
  const std::string text = "one two three four five";
  EXPECT_DOUBLE_EQ(word_overlap(text, text), 1);
  EXPECT_DOUBLE_EQ(word_overlap("one two three six", text), 1.0 / 3);
  EXPECT_DOUBLE_EQ(word_overlap("five four three two one", text), 0);
  EXPECT_DOUBLE_EQ(word_overlap("a cat sat", "sat"), 1);
  EXPECT_DOUBLE_EQ(word_overlap(text, ""), 0);
}

TEST(Words, TheSameAnswerHoldsTheReferenceOrNearlyItsWords) {
  EXPECT_TRUE(is_same_answer("The answer is World War II.", "World War II"));
  EXPECT_TRUE(is_same_answer("six to nine", "six to nine percent"));
  EXPECT_FALSE(is_same_answer("nine", "six to nine percent"));
}

}  // namespace
}  // namespace paring::advise
