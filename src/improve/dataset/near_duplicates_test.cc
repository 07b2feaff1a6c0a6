// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/near_duplicates.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace paring::improve {
namespace {

// `count` words out of many, as a function of the number.
std::vector<std::string> words(std::uint64_t number, std::size_t count) {
  RandomStream random({.seed = 5, .sequence = number});
  std::vector<std::string> made;
  for (std::size_t i = 0; i < count; ++i) made.push_back("w" + std::to_string(random.below(5000)));
  return made;
}

std::string text_of(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += part + " ";
  return text;
}

TEST(WordRuns, CasePunctuationAndBlanksAreNothing) {
  EXPECT_EQ(word_runs("How do I  reset my router?"), word_runs("how do I reset, my ROUTER"));
  EXPECT_NE(word_runs("How do I reset my router?"), word_runs("How do I reset my modem?"));
  EXPECT_EQ(word_runs("Yes.").size(), 1U);
  EXPECT_EQ(word_runs("one two three four five six").size(), 2U);
  EXPECT_NE(word_runs("?"), word_runs("!"));
  EXPECT_EQ(word_runs("").size(), 1U);
}

TEST(WordRuns, CharactersAreWordsWhereNoBlanksAreWritten) {
  EXPECT_EQ(word_runs("日本の首都は東京").size(), 4U);  // eight characters, runs of five
  EXPECT_GT(jaccard(word_runs("日本の首都はどこですか教えてください"),
                    word_runs("日本の首都はどこですか教えてね")),
            0.5);
  EXPECT_EQ(word_runs("한국의 수도").size(), 1U) << "Hangul writes blanks";
}

TEST(Jaccard, IsSharedByAll) {
  EXPECT_DOUBLE_EQ(jaccard({1, 2, 3}, {2, 3, 4}), 0.5);
  EXPECT_DOUBLE_EQ(jaccard({1}, {2}), 0);
  EXPECT_DOUBLE_EQ(jaccard({}, {}), 1);
  EXPECT_DOUBLE_EQ(jaccard({1, 2}, {1, 2}), 1);
}

TEST(NearDuplicates, FindsPairsAboveTheThresholdAndNoOthers) {
  // Of 200 texts each comes again with some words changed: the exact likeness says which must be
  // found, and 0.9996 of those are.
  std::size_t wanted = 0, found = 0, wrong = 0;
  for (std::uint64_t number = 0; number < 200; ++number) {
    NearDuplicates near;
    auto parts = words(number, 120);
    const std::string first = text_of(parts);
    ASSERT_FALSE(near.add(first, "the same answer to all of them"));
    for (std::uint64_t k = 0; k < number % 8; ++k) parts[10 + 13 * k] = "changed";
    const std::string second = text_of(parts);
    const bool is_near = jaccard(word_runs(first), word_runs(second)) >= kNearJaccard;
    const bool is_found = near.add(second, "the same answer to all of them").has_value();
    wanted += is_near ? 1 : 0;
    found += is_near && is_found ? 1 : 0;
    wrong += !is_near && is_found ? 1 : 0;
  }
  EXPECT_GT(wanted, 60U);
  EXPECT_LT(wanted, 180U);
  EXPECT_EQ(found, wanted);
  EXPECT_EQ(wrong, 0U);
}

TEST(NearDuplicates, AnotherAnswerIsAnotherExample) {
  NearDuplicates near;
  const std::string prompt = text_of(words(1, 60));
  EXPECT_FALSE(near.add(prompt, text_of(words(2, 40))));
  EXPECT_FALSE(near.add(prompt, text_of(words(3, 40))));
  EXPECT_EQ(near.add(prompt, text_of(words(2, 40))), 0U);
  EXPECT_EQ(near.add(prompt, text_of(words(3, 40))), 1U);
  EXPECT_EQ(near.given_up(), 0U);
}

TEST(NearDuplicates, ComparesABoundedNumberAndSaysSo) {
  NearDuplicates near;
  const std::string prompt = text_of(words(1, 60));
  for (std::uint64_t number = 0; number <= kComparisonsMax; ++number) {
    ASSERT_FALSE(near.add(prompt, text_of(words(10 + number, 12))));
  }
  EXPECT_EQ(near.given_up(), 0U);
  EXPECT_EQ(near.add(prompt, text_of(words(11, 12))), 1U) << "the second is within the bound";
  EXPECT_FALSE(near.add(prompt, text_of(words(10, 12)))) << "the first is not";
  EXPECT_EQ(near.given_up(), 1U);
}

}  // namespace
}  // namespace paring::improve
