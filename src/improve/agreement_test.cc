// SPDX-License-Identifier: Apache-2.0
#include "improve/agreement.h"

#include <gtest/gtest.h>

#include <optional>

#include "io/folder_for_test.h"

namespace paring::improve {
namespace {

std::vector<RatingPair> pairs_of(const std::vector<double>& ratings,
                                 const std::vector<std::vector<int>>& table) {
  std::vector<RatingPair> pairs;
  for (std::size_t h = 0; h < table.size(); ++h) {
    for (std::size_t j = 0; j < table[h].size(); ++j) {
      pairs.insert(pairs.end(), static_cast<std::size_t>(table[h][j]), {ratings[h], ratings[j]});
    }
  }
  return pairs;
}

// Kappas by cohen_kappa_score() of scikit-learn, plain and with quadratic weights.
TEST(AgreementOf, IsCohensKappa) {
  const auto binary = agreement_of(pairs_of({0, 1}, {{20, 5}, {10, 15}}));
  ASSERT_TRUE(binary);
  EXPECT_EQ(binary->count, 50U);
  EXPECT_DOUBLE_EQ(binary->equal, 0.7);
  EXPECT_NEAR(*binary->kappa, 0.4, 1e-12);
  EXPECT_FALSE(binary->weighted_kappa) << "the same as kappa";
  EXPECT_DOUBLE_EQ(*binary->true_good, 0.6);
  EXPECT_DOUBLE_EQ(*binary->true_bad, 0.8);
  EXPECT_EQ(binary->table, (std::vector<std::vector<std::size_t>>{{20, 5}, {10, 15}}));
  const auto ordinal = agreement_of(pairs_of(
      {1, 2, 3, 4, 5},
      {{10, 2, 0, 0, 0}, {3, 12, 4, 0, 0}, {0, 5, 14, 3, 1}, {0, 0, 2, 16, 6}, {0, 0, 1, 4, 17}}));
  ASSERT_TRUE(ordinal);
  EXPECT_NEAR(*ordinal->kappa, 0.6085858585858586, 1e-12);
  EXPECT_NEAR(*ordinal->weighted_kappa, 0.8960674157303371, 1e-12);
  EXPECT_FALSE(ordinal->true_good);
  const auto three = agreement_of(pairs_of({1, 2, 3}, {{9, 1, 0}, {2, 8, 3}, {0, 4, 6}}));
  EXPECT_NEAR(*three->kappa, 0.5416666666666666, 1e-12);
  EXPECT_NEAR(*three->weighted_kappa, 0.75, 1e-12);
}

TEST(AgreementOf, IntervalsAreThoseOfTheBootstrap) {
  // The large-sample standard error of kappa (Fleiss, Cohen and Everitt 1969) for this table is
  // 0.0894, so that 95 % are about 0.36 wide; Cohen's example scaled to 100.
  const auto agreement = agreement_of(pairs_of({0, 1}, {{40, 10}, {20, 30}}));
  ASSERT_TRUE(agreement && agreement->low && agreement->high);
  EXPECT_LT(*agreement->low, 0.4);
  EXPECT_GT(*agreement->high, 0.4);
  EXPECT_NEAR(*agreement->high - *agreement->low, 2 * 1.96 * 0.0894, 0.03);
  const auto again = agreement_of(pairs_of({0, 1}, {{40, 10}, {20, 30}}));
  EXPECT_EQ(again->low, agreement->low) << "the same each time";
}

TEST(AgreementOf, SaysWhenItCannotTell) {
  const auto none = agreement_of({});
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->is_enough());
  EXPECT_FALSE(none->kappa);
  const auto same = agreement_of(pairs_of({1}, {{40}}));
  ASSERT_TRUE(same);
  EXPECT_TRUE(same->is_enough());
  EXPECT_EQ(same->equal, 1);
  EXPECT_FALSE(same->kappa) << "chance explains everything";
  EXPECT_FALSE(same->low);
  EXPECT_EQ(same->true_good, 1);
  EXPECT_FALSE(same->true_bad);
  EXPECT_FALSE(agreement_of(pairs_of({0, 1}, {{10, 0}, {0, 19}}))->is_enough());
  std::vector<RatingPair> many;
  for (int i = 0; i < 21; ++i) many.push_back({i / 7.0, i / 7.0});
  EXPECT_EQ(agreement_of(many).error().code, ErrorCode::kInvalidArgument);
}

class RatingPairing : public io::FolderTest {
 protected:
  void SetUp() override {
    io::FolderTest::SetUp();
    control_.emplace(store::ControlDb::open({.folder = folder_.string()}).value());
    scores_.emplace(*control_);
    traffic_.emplace(store::TrafficDb::open({.data = folder_.string()}).value());
    for (int i = 0; i < 6; ++i) {
      store::TrafficRequest row;
      row.id = row.span_id = "r" + std::to_string(i);
      row.started_s = 1'795'392'000 + i;
      row.tenant = "default";
      ASSERT_EQ(traffic_->append({&row, 1}, {}).written, 1);
    }
    filter_.tenant = "default";
  }
  void rate(int answer, const std::string& name, double value, const std::string& source) {
    store::ScoreRow row;
    row.tenant = "default";
    row.id = "s" + std::to_string(++given_);
    row.subject_kind = "response";
    row.subject_id = "r" + std::to_string(answer);
    row.name = name;
    row.type = "numeric";
    row.number = value;
    row.source = source;
    row.created_s = row.updated_s = given_;
    ASSERT_TRUE(scores_->put(row, 100));
  }
  RatingPairs pairs(const char* judge, std::optional<const char*> human) {
    std::optional<Rating> rating;
    if (human) rating = *parse_rating(*human);
    auto found = rating_pairs(*traffic_, *scores_, filter_, *parse_rating(judge), rating);
    EXPECT_TRUE(found) << (found ? "" : found.error().text());
    return found ? std::move(found).value() : RatingPairs();
  }
  std::optional<store::ControlDb> control_;
  std::optional<store::Scores> scores_;
  std::optional<store::TrafficDb> traffic_;
  store::TrafficFilter filter_;
  int given_ = 0;
};

TEST_F(RatingPairing, TakesTheNewestOfBoth) {
  rate(0, "quality", 5, "judge");
  rate(0, "thumb", 1, "user");
  rate(1, "quality", 2, "judge");
  rate(1, "thumb", 1, "user");
  rate(1, "other", 0, "annotator");
  rate(2, "quality", 4, "judge");
  rate(2, "quality", 2, "judge");
  rate(2, "thumb", 0, "user");
  rate(3, "quality", 4, "judge");
  rate(4, "thumb", 1, "user");
  const RatingPairs found = pairs("quality>=4", std::nullopt);
  EXPECT_EQ(found.judged, 4);
  EXPECT_EQ(found.judged_good, 2);
  EXPECT_EQ(found.mixed, 1);
  ASSERT_EQ(found.pairs.size(), 2U);
  for (const RatingPair& pair : found.pairs) EXPECT_EQ(pair.human, pair.judge);
  EXPECT_FALSE(rating_pairs(*traffic_, *scores_, filter_, *parse_rating("quality"), std::nullopt))
      << "a scale against good and bad";
}

TEST_F(RatingPairing, ComparesNumbersAndConditions) {
  rate(0, "quality", 5, "judge");
  rate(0, "stars", 4, "user");
  rate(1, "quality", 2, "judge");
  rate(1, "stars", 2, "annotator");
  rate(1, "quality", 3, "user");
  const RatingPairs plain = pairs("quality", "stars");
  ASSERT_EQ(plain.pairs.size(), 2U);
  EXPECT_EQ(plain.pairs[1].human, 4) << "newest first";
  EXPECT_EQ(plain.pairs[1].judge, 5);
  const RatingPairs same_name = pairs("quality", "quality");
  ASSERT_EQ(same_name.pairs.size(), 1U);
  EXPECT_EQ(same_name.pairs[0].human, 3) << "who said it decides, not the name";
  EXPECT_EQ(pairs("quality>=4", "stars>=4").pairs[1].human, 1);
  EXPECT_FALSE(rating_pairs(*traffic_, *scores_, filter_, *parse_rating("quality"),
                            *parse_rating("stars>=4")));
}

TEST_F(RatingPairing, NeedsNoTrafficWhenSubjectsAreTheSame) {
  for (int i = 0; i < 6; ++i) {
    rate(i, "quality", i, "judge");
    if (i != 3) rate(i, "thumb", i % 2, "user");
  }
  rate(5, "quality", 0, "judge");
  const auto found =
      rating_pairs_of_subjects(*scores_, "default", *parse_rating("quality>=2"), std::nullopt, 100);
  ASSERT_TRUE(found) << found.error().text();
  EXPECT_EQ(found->judged, 6);
  EXPECT_EQ(found->judged_good, 3) << "2, 3 and 4; the newest of 5 is 0";
  EXPECT_EQ(found->pairs.size(), 5U);
  const auto few =
      rating_pairs_of_subjects(*scores_, "default", *parse_rating("quality>=2"), std::nullopt, 2);
  EXPECT_EQ(few->judged, 2);
  EXPECT_EQ(
      rating_pairs_of_subjects(*scores_, "other", *parse_rating("quality>=2"), std::nullopt, 9)
          ->judged,
      0);
}

TEST(CorrectedShare, TakesTheJudgesMistakesOut) {
  // 60 of 100 called good; of good ones 0.9, of bad ones 0.8 are seen: (0.6 + 0.8 - 1) / 0.7.
  Agreement agreement;
  agreement.true_good = 0.9;
  agreement.true_bad = 0.8;
  RatingPairs pairs;
  pairs.judged = 100;
  pairs.judged_good = 60;
  EXPECT_NEAR(*corrected_share(pairs, agreement), 0.4 / 0.7, 1e-12);
  agreement.true_bad = 0.1;
  EXPECT_FALSE(corrected_share(pairs, agreement)) << "no better than a coin";
  agreement.true_bad.reset();
  EXPECT_FALSE(corrected_share(pairs, agreement));
}

TEST(ParseRating, IsANameOrACondition) {
  EXPECT_FALSE(parse_rating("quality")->condition);
  EXPECT_EQ(parse_rating("quality>=4")->name, "quality");
  EXPECT_FALSE(parse_rating(""));
  EXPECT_FALSE(parse_rating("quality>="));
}

}  // namespace
}  // namespace paring::improve
