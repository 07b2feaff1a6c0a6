// SPDX-License-Identifier: Apache-2.0
// Merging against the plainest way to do it, and the tables under it.
#include "text/bpe_merges.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "text/token_ids.h"

namespace paring::text {
namespace {

using Ids = std::vector<std::int32_t>;
using Merge = BpeMerges::Merge;

// Looks at all pairs for each merge.
Ids joined_plainly(const std::vector<Merge>& merges, Ids ids) {
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> ranks;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    ranks.emplace(std::pair(merges[rank].left, merges[rank].right), rank);
  }
  while (true) {
    std::size_t best = merges.size();
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = ranks.find({ids[i], ids[i + 1]});
      if (found == ranks.end() || found->second >= best) continue;
      best = found->second;
      place = i;
    }
    if (best == merges.size()) return ids;
    ids[place] = merges[best].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(BpeMerges, JoinsAsThePlainWayDoes) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const std::int32_t letters = 2 + static_cast<std::int32_t>(random() % 4);
    std::vector<Merge> merges;
    for (std::int32_t i = 0; i < 40; ++i) {  // of tokens that are there, some pairs twice
      const auto known = static_cast<std::uint32_t>(letters + i);
      merges.push_back({static_cast<std::int32_t>(random() % known),
                        static_cast<std::int32_t>(random() % known), letters + i});
    }
    const BpeMerges bpe(merges);
    for (const std::size_t size : {0U, 1U, 2U, 7U, 31U, 32U, 33U, 34U, 200U}) {
      Ids ids(size);
      for (auto& id : ids) {
        id = static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(letters));
      }
      const Ids expected = joined_plainly(merges, ids);
      bpe.join(ids);
      ASSERT_EQ(ids, expected) << "round " << round << ", " << size << " ids";
    }
  }
}

TEST(BpeMerges, TheFirstOfEqualPairsCounts) {
  const BpeMerges bpe(std::vector<Merge>{{0, 1, 2}, {0, 1, 3}});
  Ids ids{0, 1, 0};
  bpe.join(ids);
  EXPECT_EQ(ids, (Ids{2, 0}));
  Ids none{4, 5};
  BpeMerges().join(none);
  EXPECT_EQ(none, (Ids{4, 5}));
}

TEST(BpeMerges, SaysWhichMergeIsBroken) {
  TokenIds ids;
  const std::vector<std::string> tokens = {"a", "b", "ab", "c"};
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    ids.add(tokens[id], static_cast<std::int32_t>(id));
  }
  const auto error_of = [&](std::vector<bool> is_text, const TextMerge& second) {
    const std::vector<TextMerge> merges = {{"a", "b"}, second};
    const auto made = BpeMerges::create({&ids, std::move(is_text)}, merges);
    return made ? "" : made.error().message;
  };
  EXPECT_EQ(error_of({}, {"a", "b"}), "");
  EXPECT_EQ(error_of({}, {"a", "x"}), "merge 1 names \"x\", which is not a token");
  EXPECT_EQ(error_of({}, {"b", "c"}), "merge 1 makes \"bc\", which is not a token");
  EXPECT_EQ(error_of({true, true, false, true}, {"a", "b"}),
            "merge 0 makes \"ab\", which is not a token");
}

TEST(WordMemo, GivesTheIdsOfAWordAgain) {
  WordMemo memo;
  Ids ids{7};
  EXPECT_FALSE(memo.append_known("word", ids));
  ids.insert(ids.end(), {1, 2, 3});
  memo.remember("word", ids, 1);
  EXPECT_TRUE(memo.append_known("word", ids));
  EXPECT_EQ(ids, (Ids{7, 1, 2, 3, 1, 2, 3}));
  const std::string long_word(65, 'x');
  memo.remember(long_word, ids, 0);
  EXPECT_FALSE(memo.append_known(long_word, ids));
}

TEST(TokenIds, KeepsTheFirstIdAndFindsAll) {
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back("token " + std::to_string(i * 7919));
  texts.emplace_back();
  texts.emplace_back("a longer text than eight bytes");
  TokenIds ids;
  EXPECT_EQ(ids.find("token 0"), -1);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(ids.add(texts[i], static_cast<std::int32_t>(i)), static_cast<std::int32_t>(i));
  }
  EXPECT_EQ(ids.size(), texts.size());
  EXPECT_EQ(ids.add("token 0", 9999), 0);
  EXPECT_EQ(ids.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    ASSERT_EQ(ids.find(texts[i]), static_cast<std::int32_t>(i)) << texts[i];
  }
  EXPECT_EQ(ids.find("token 1"), -1);
  EXPECT_EQ(ids.find("a longer text than eight byteS"), -1);
}

}  // namespace
}  // namespace paring::text
