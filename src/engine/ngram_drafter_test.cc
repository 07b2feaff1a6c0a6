// SPDX-License-Identifier: Apache-2.0
#include "engine/ngram_drafter.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace paring::engine {
namespace {

using Tokens = std::vector<std::int32_t>;

Tokens guess(NgramDrafter& drafter, const Tokens& tokens, std::size_t wanted) {
  Draft draft{.sequence = 1, .tokens = tokens, .wanted = wanted};
  Draft* asked[] = {&draft};
  drafter.propose(asked);
  Tokens guesses;
  for (const DraftToken& token : draft.proposed) {
    EXPECT_LT(token.certainty, kCertaintiesMax);
    guesses.push_back(token.token);
  }
  return guesses;
}

TEST(NgramDrafter, ProposesWhatFollowedTheLongestMatch) {
  NgramDrafter drafter;
  //                                     longer match      more recent, shorter one
  EXPECT_EQ(guess(drafter, {7, 1, 2, 3, 40, 41, 42, 9, 2, 3, 50, 51, 7, 1, 2, 3}, 3),
            (Tokens{40, 41, 42}));
}

TEST(NgramDrafter, AmongEqualsTheMostRecentGoesFirst) {
  NgramDrafter drafter;
  EXPECT_EQ(guess(drafter, {4, 1, 2, 40, 5, 1, 2, 50, 6, 1, 2}, 1), Tokens{50});
}

TEST(NgramDrafter, SaysNothingWhereNothingRepeats) {
  NgramDrafter drafter;
  EXPECT_TRUE(guess(drafter, {1}, 4).empty());
  EXPECT_TRUE(guess(drafter, {1, 2, 3, 4, 5}, 4).empty());
}

TEST(NgramDrafter, ContinuesALoop) {
  NgramDrafter drafter;
  EXPECT_EQ(guess(drafter, {9, 1, 2, 3, 1, 2, 3}, 7), (Tokens{1, 2, 3, 1, 2, 3, 1}));
}

// The text is copied with one token replaced: the copy goes on right behind it.
TEST(NgramDrafter, FindsBackAfterAReplacement) {
  NgramDrafter drafter;
  Tokens tokens = {10, 11, 12, 13, 14, 15, 16, 17, 18, 90, 10, 11, 12};
  EXPECT_EQ(guess(drafter, tokens, 2), (Tokens{13, 14}));
  tokens.insert(tokens.end(), {70, 71, 14});  // instead of 13
  EXPECT_EQ(guess(drafter, tokens, 3), (Tokens{15, 16, 17}));
}

// The same as a search without an index, over random texts of few different tokens.
TEST(NgramIndex, FindsTheLongestMatch) {
  RandomStream random({4, 0, 0});
  Tokens tokens;
  NgramIndex index;
  std::size_t found = 0;
  for (int i = 0; i < 400; ++i) {
    tokens.push_back(static_cast<std::int32_t>(random.below(6)));
    index.extend(tokens);
    std::size_t longest = 0;
    for (std::size_t at = 0; at + 1 < tokens.size(); ++at) {
      std::size_t length = 0;
      while (length <= at && tokens[at - length] == tokens[tokens.size() - 1 - length]) ++length;
      longest = std::max(longest, length);
    }
    const auto match = index.find(tokens);
    ASSERT_EQ(match ? match->length : 0, longest < 2 ? 0 : longest) << i;
    found += match ? 1U : 0U;
  }
  EXPECT_GT(found, 300U);
}

}  // namespace
}  // namespace paring::engine
