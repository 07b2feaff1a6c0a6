// SPDX-License-Identifier: Apache-2.0
#include "improve/score_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/folder_for_test.h"

namespace paring::improve {
namespace {

constexpr double kNow = 1'795'392'000;

// Says how long answers are; fails for "?".
class LengthForTest final : public Scorer {
 public:
  Result<std::optional<Mark>> score(const Judged& judged) override {
    ++asked;
    if (judged.exchange.answer == "?") return Error{ErrorCode::kUnavailable, "nobody is there"};
    if (judged.exchange.answer == "-") return std::optional<Mark>();
    return std::optional(Mark{static_cast<double>(judged.exchange.answer.size()), false, "long"});
  }
  int asked = 0;
};

class ScoreRuns : public io::FolderTest {
 protected:
  void SetUp() override {
    io::FolderTest::SetUp();
    control_.emplace(store::ControlDb::open({.folder = folder_.string()}).value());
    scores_.emplace(*control_);
    traffic_.emplace(store::TrafficDb::open({.data = folder_.string()}).value());
    options_.filter.tenant = "default";
  }
  void serve(int number, const std::string& answer) {
    store::TrafficRequest row;
    row.id = row.span_id = fmt::format("r{}", number);
    row.started_s = kNow + number;
    row.tenant = "default";
    row.status = 200;
    row.content = {R"([{"role":"user","content":"Hi"}])",
                   nlohmann::json({{"role", "assistant"}, {"content", answer}}).dump()};
    ASSERT_EQ(traffic_->append({&row, 1}, {}).written, 1);
  }
  ScoreReport run(const std::vector<std::unique_ptr<Scorer>>& scorers) {
    auto report = run_scorers(*traffic_, *scores_, scorers, options_, 5);
    EXPECT_TRUE(report) << (report ? "" : report.error().text());
    return report ? std::move(report).value() : ScoreReport();
  }
  std::vector<std::unique_ptr<Scorer>> brief(const char* most) {
    std::vector<std::unique_ptr<Scorer>> scorers;
    scorers.push_back(make_scorer({"brief", "length", {{"max", most}}}).value());
    return scorers;
  }
  ScoreRunOptions options_;
  std::optional<store::ControlDb> control_;
  std::optional<store::Scores> scores_;
  std::optional<store::TrafficDb> traffic_;
};

TEST_F(ScoreRuns, KeepsWhatScorersSayAndDoesNotSayItTwice) {
  for (int i = 0; i < 40; ++i) serve(i, i % 4 == 0 ? "long answer" : "short");
  ScoreReport report = run(brief("6"));
  EXPECT_EQ(report.tallies[0].scored, 40);
  EXPECT_DOUBLE_EQ(report.tallies[0].mean, 0.75);
  EXPECT_NEAR(report.tallies[0].low, 0.5981, 1e-4);  // Wilson of 30 in 40
  EXPECT_NEAR(report.tallies[0].high, 0.8581, 1e-4);
  const auto kept = scores_->list("default", {"response", "r4", ""}, {});
  ASSERT_EQ(kept->rows.size(), 1U);
  EXPECT_EQ(kept->rows[0].name, "brief");
  EXPECT_EQ(kept->rows[0].source, "rule");
  EXPECT_EQ(kept->rows[0].type, "boolean");
  EXPECT_EQ(kept->rows[0].number, 0);
  EXPECT_EQ(kept->rows[0].comment, "11 characters");
  serve(40, "short");
  report = run(brief("6"));
  EXPECT_EQ(report.tallies[0].scored, 1);
  EXPECT_EQ(report.tallies[0].there, 40);
  EXPECT_DOUBLE_EQ(report.tallies[0].mean, 31.0 / 41);
  // A changed scorer marks anew, in the place of what it said.
  report = run(brief("20"));
  EXPECT_EQ(report.tallies[0].scored, 41);
  EXPECT_DOUBLE_EQ(report.tallies[0].mean, 1);
  EXPECT_EQ(scores_->sums(10)->at(0).count, 41);
}

TEST_F(ScoreRuns, CountsWhatFailsAndTriesItAgain) {
  serve(1, "four");
  serve(2, "?");
  serve(3, "-");
  serve(4, "sixsix");
  std::vector<std::unique_ptr<Scorer>> scorers;
  scorers.push_back(std::make_unique<LengthForTest>());
  ScoreReport report = run(scorers);
  const ScorerTally& tally = report.tallies[0];
  EXPECT_EQ(tally.scored, 2);
  EXPECT_EQ(tally.failed, 1);
  EXPECT_EQ(tally.not_about, 1);
  EXPECT_EQ(tally.first_error, "nobody is there");
  EXPECT_DOUBLE_EQ(tally.mean, 5);
  EXPECT_NEAR(tally.high - tally.mean, 12.7062, 1e-3) << "Student's t of two values, s = sqrt 2";
  report = run(scorers);
  EXPECT_EQ(report.tallies[0].failed, 1);
  EXPECT_EQ(report.tallies[0].there, 2);
  EXPECT_EQ(static_cast<LengthForTest&>(*scorers[0]).asked, 6) << "4, then what failed and said "
                                                                  "nothing";
}

TEST_F(ScoreRuns, LimitsAndWhatCannotBeScored) {
  for (int i = 0; i < 30; ++i) serve(i, "short");
  serve(30, "cut [... 5 bytes cut ...] here");
  store::TrafficRequest row;
  row.id = row.span_id = "bare";
  row.started_s = kNow;
  row.tenant = "default";
  row.status = 200;
  ASSERT_EQ(traffic_->append({&row, 1}, {}).written, 1);
  options_.limit = 20;
  ScoreReport report = run(brief("6"));
  EXPECT_EQ(report.answers, 20);
  EXPECT_EQ(report.tallies[0].scored, 20);
  options_.limit = 0;
  report = run(brief("6"));
  EXPECT_EQ(report.answers, 30);
  EXPECT_EQ(report.tallies[0].scored, 10);
  EXPECT_EQ(report.left_out.size(), 2U);
  EXPECT_EQ(report.requests, 32);
  options_.filter.tenant.reset();
  EXPECT_FALSE(run_scorers(*traffic_, *scores_, {}, options_, 5));
}

TEST(WilsonInterval, IsThatOfTheTextbook) {
  EXPECT_NEAR(wilson_interval(0, 10).high, 0.2775, 1e-4);
  EXPECT_EQ(wilson_interval(0, 10).low, 0);
  EXPECT_NEAR(wilson_interval(10, 10).low, 0.7225, 1e-4);
  EXPECT_NEAR(wilson_interval(81, 263).low, 0.2553, 1e-4);  // Newcombe 1998, table I
  EXPECT_NEAR(wilson_interval(81, 263).high, 0.3662, 1e-4);
}

}  // namespace
}  // namespace paring::improve
