// SPDX-License-Identifier: Apache-2.0
#include "store/scores.h"

#include <tuple>

#include "store/control_db_for_test.h"

namespace paring::store {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

class ScoresTest : public ControlDbTest {
 protected:
  static ScoreRow score(const std::string& id, const std::string& tenant = "a") {
    ScoreRow row;
    row.tenant = tenant;
    row.id = id;
    row.subject_kind = "response";
    row.subject_id = "r1";
    row.name = "rating";
    row.type = "numeric";
    row.number = 0.5;
    row.source = "user";
    row.created_s = row.updated_s = kNow;
    return row;
  }
};

TEST_F(ScoresTest, ASecondOneOfTheSameIdTakesItsPlace) {
  const ControlDb control = open();
  const Scores scores(control);
  ASSERT_TRUE(scores.put(score("x"), 10));
  ScoreRow again = score("x");
  again.type = "correction";
  again.number.reset();
  again.text = "better";
  again.created_s = again.updated_s = kNow + 5;
  const auto kept = scores.put(again, 10);
  ASSERT_TRUE(kept) << kept.error().text();
  EXPECT_EQ(kept->created_s, kNow);
  const auto found = scores.find("a", "x");
  EXPECT_EQ((*found)->text, "better");
  EXPECT_FALSE((*found)->number.has_value());
  EXPECT_EQ((*found)->created_s, kNow);
  EXPECT_EQ((*found)->updated_s, kNow + 5);
}

TEST_F(ScoresTest, ManyAreKeptTogetherOrNoneIs) {
  const ControlDb control = open();
  const Scores scores(control);
  ASSERT_TRUE(scores.put_all(std::vector{score("x"), score("y"), score("x")}, 2));
  EXPECT_EQ(scores.list("a", {}, {})->rows.size(), 2U);
  EXPECT_EQ(scores.put_all(std::vector{score("z"), score("u")}, 3).error().code,
            ErrorCode::kExhausted);
  EXPECT_FALSE(scores.find("a", "z")->has_value()) << "the one that fitted is taken back";
}

TEST_F(ScoresTest, LongScalesAreNamesWithNumbersBeyondOne) {
  const ControlDb control = open();
  const Scores scores(control);
  ScoreRow row = score("1");
  ASSERT_TRUE(scores.put(row, 10));
  for (const auto& [id, name, number] : std::vector<std::tuple<const char*, const char*, double>>{
           {"2", "stars", 1}, {"3", "stars", 4}, {"4", "delta", -1}, {"5", "rating", 1}}) {
    row = score(id);
    row.name = name;
    row.number = number;
    ASSERT_TRUE(scores.put(row, 10));
  }
  row = score("6", "b");
  row.number = 7;
  ASSERT_TRUE(scores.put(row, 10));
  EXPECT_EQ(*scores.long_scales("a"), (std::vector<std::string>{"delta", "stars"}));
}

TEST_F(ScoresTest, TenantsAreApartAndBounded) {
  const ControlDb control = open();
  const Scores scores(control);
  ASSERT_TRUE(scores.put(score("x"), 2));
  ASSERT_TRUE(scores.put(score("y"), 2));
  EXPECT_EQ(scores.put(score("z"), 2).error().code, ErrorCode::kExhausted);
  EXPECT_TRUE(scores.put(score("y"), 2)) << "what is there may change";
  EXPECT_TRUE(scores.put(score("x", "b"), 2));
  EXPECT_EQ(scores.list("b", {}, {})->rows.size(), 1U);
  EXPECT_FALSE(scores.find("c", "x")->has_value());
  EXPECT_EQ(scores.remove("c", "x").error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(scores.remove("a", "x"));
  EXPECT_TRUE(scores.find("b", "x")->has_value());
}

TEST_F(ScoresTest, AValueIsANumberOrAText) {
  const ControlDb control = open();
  ScoreRow both = score("x");
  both.text = "two";
  EXPECT_FALSE(Scores(control).put(both, 10));
  ScoreRow none = score("x");
  none.number.reset();
  EXPECT_FALSE(Scores(control).put(none, 10));
}

TEST_F(ScoresTest, SumsAreOfNamesAndSources) {
  const ControlDb control = open();
  const Scores scores(control);
  ASSERT_TRUE(scores.put(score("x"), 10));
  ScoreRow other = score("y", "b");
  other.number = 1;
  ASSERT_TRUE(scores.put(other, 10));
  ScoreRow text = score("z");
  text.name = "note";
  text.type = "text";
  text.number.reset();
  text.text = "fine";
  ASSERT_TRUE(scores.put(text, 10));
  const auto all = scores.sums(10);
  ASSERT_TRUE(all) << all.error().text();
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ(all->at(0).name, "rating");
  EXPECT_EQ(all->at(0).count, 2);
  EXPECT_DOUBLE_EQ(all->at(0).mean.value(), 0.75);
  EXPECT_EQ(all->at(1).name, "note");
  EXPECT_FALSE(all->at(1).mean.has_value());
  EXPECT_EQ(scores.sums(1)->size(), 1U);
}

}  // namespace
}  // namespace paring::store
