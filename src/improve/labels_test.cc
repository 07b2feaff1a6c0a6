// SPDX-License-Identifier: Apache-2.0
#include "improve/labels.h"

#include <gtest/gtest.h>

namespace paring::improve {
namespace {

store::ScoreRow score(const std::string& name, const std::string& type) {
  store::ScoreRow row;
  row.name = name;
  row.type = type;
  row.source = "user";
  return row;
}

store::ScoreRow number(const std::string& name, double value, const std::string& source = "user") {
  store::ScoreRow row = score(name, "numeric");
  row.number = value;
  row.source = source;
  return row;
}

store::ScoreRow text(const std::string& type, const std::string& value) {
  store::ScoreRow row = score("rating", type);
  row.text = value;
  return row;
}

TEST(ParseCondition, ReadsEachComparison) {
  for (const char* written : {"a>=0.5", "a<=-1", "a>0", "a<1e-3", "a.b-c=2"}) {
    const auto condition = parse_condition(written);
    ASSERT_TRUE(condition) << written;
    EXPECT_EQ(parse_condition(condition_text(*condition))->bound, condition->bound);
  }
  EXPECT_EQ(parse_condition("a<=1")->comparison, Comparison::kAtMost);
  EXPECT_EQ(parse_condition("a<1")->comparison, Comparison::kBelow);
  for (const char* wrong : {"", "a", ">=1", "a>=", "a>=x", "a>=1 ", "a==1", "a>=nan", "a>=inf"}) {
    const auto condition = parse_condition(wrong);
    ASSERT_FALSE(condition) << wrong;
    EXPECT_EQ(condition.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(IsGood, TakesThumbsAndWords) {
  EXPECT_TRUE(is_good(number("thumb", 1)));
  EXPECT_TRUE(is_good(number("thumb", 0.6)));
  EXPECT_FALSE(is_good(number("thumb", 0.5)));
  EXPECT_FALSE(is_good(number("stars", 4))) << "who knows how many there are";
  EXPECT_TRUE(is_good(text("categorical", "Good")));
  EXPECT_FALSE(is_good(text("categorical", "bad")));
  EXPECT_FALSE(is_good(text("correction", "good")));
}

TEST(LabelsOf, TakesPeopleForPeopleAndTheNewestFirst) {
  const std::vector<store::ScoreRow> rows = {text("correction", "newer"),
                                             text("correction", "older"),
                                             number("thumb", 1),
                                             number("grounded", 0.1, "rule"),
                                             number("judge", 0.2, "judge"),
                                             number("grounded", 0.9, "rule"),
                                             text("preference", "loser")};
  const Labels labels = labels_of(rows, {});
  EXPECT_EQ(labels.good, 1U);
  EXPECT_EQ(labels.bad, 0U) << "judges and rules are not feedback";
  EXPECT_EQ(labels.correction, "newer");
  EXPECT_EQ(labels.better_than, std::vector<std::string>{"loser"});
  EXPECT_DOUBLE_EQ(labels.numbers.find("grounded")->second, 0.1);
  EXPECT_TRUE(meets(labels, *parse_condition("grounded<0.5")));
  EXPECT_FALSE(meets(labels, *parse_condition("absent<0.5")));
}

TEST(LabelsOf, ConditionsSayWhatLongerScalesMean) {
  Scales scales;
  scales.good = {*parse_condition("stars>=4"), *parse_condition("judge>0.9")};
  scales.bad = {*parse_condition("stars<=2")};
  EXPECT_EQ(labels_of(std::vector{number("stars", 5)}, scales).good, 1U);
  EXPECT_EQ(labels_of(std::vector{number("stars", 1)}, scales).bad, 1U);
  EXPECT_TRUE(labels_of(std::vector{number("stars", 3)}, scales).is_empty());
  EXPECT_EQ(labels_of(std::vector{number("judge", 0.95, "judge")}, scales).good, 1U);
  EXPECT_EQ(labels_of(std::vector{number("stars", 0)}, scales).bad, 1U) << "and not twice";
  EXPECT_TRUE(labels_of(std::vector{number("stars", 5), number("thumb", 0)}, scales).is_mixed());
}

TEST(LabelsOf, OneStarOfFiveIsNotGood) {
  EXPECT_EQ(labels_of(std::vector{number("stars", 1)}, {}).good, 1U);
  Scales scales;
  scales.unknown = {"stars"};
  EXPECT_TRUE(labels_of(std::vector{number("stars", 1), number("stars", 0)}, scales).is_empty());
  EXPECT_EQ(labels_of(std::vector{number("thumb", 1)}, scales).good, 1U);
}

TEST(SingleTraces, AreThoseOfOneRequest) {
  SingleTraces traces;
  store::TrafficRequest row;
  traces.add(row);
  EXPECT_FALSE(traces.is_single(row)) << "no trace at all";
  row.trace_id = "t";
  EXPECT_FALSE(traces.is_single(row));
  traces.add(row);
  EXPECT_TRUE(traces.is_single(row));
  traces.add(row);
  EXPECT_FALSE(traces.is_single(row));
}

}  // namespace
}  // namespace paring::improve
