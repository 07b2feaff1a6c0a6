// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/traffic_cases.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "io/folder_for_test.h"

namespace paring::advise {
namespace {

constexpr double kNow = 1'795'392'000;

store::ScoreRow score(const std::string& subject, const std::string& type) {
  store::ScoreRow row;
  row.tenant = "default";
  row.id = subject + "-" + type;
  row.subject_kind = "response";
  row.subject_id = subject;
  row.name = "rating";
  row.type = type;
  row.source = "user";
  row.created_s = row.updated_s = static_cast<std::int64_t>(kNow);
  return row;
}

store::ScoreRow with_number(store::ScoreRow row, double number) {
  row.number = number;
  return row;
}

store::ScoreRow with_text(store::ScoreRow row, const std::string& text) {
  row.text = text;
  return row;
}

store::TrafficRequest request(const std::string& id, bool has_text) {
  store::TrafficRequest row;
  row.id = id;
  row.span_id = id;
  row.started_s = kNow;
  row.tenant = "default";
  row.model = "small";
  if (has_text) {
    row.content = {R"([{"role":"user","content":"When was it built?"}])",
                   R"({"role":"assistant","content":"In 1400."})"};
  }
  return row;
}

class TrafficCases : public io::FolderTest {
 protected:
  void SetUp() override {
    io::FolderTest::SetUp();
    auto control = store::ControlDb::open({.folder = folder_.string()});
    ASSERT_TRUE(control) << control.error().text();
    control_.emplace(std::move(control).value());
    scores_.emplace(*control_);
    auto traffic = store::TrafficDb::open({.data = folder_.string()});
    ASSERT_TRUE(traffic) << traffic.error().text();
    traffic_.emplace(std::move(traffic).value());
  }
  void put(const store::ScoreRow& row) {
    const auto done = scores_->put(row, 100);
    ASSERT_TRUE(done) << done.error().text();
  }
  void serve(const store::TrafficRequest& row) {
    const auto done = traffic_->append({&row, 1}, {});
    ASSERT_EQ(done.written, 1);
  }
  std::optional<store::ControlDb> control_;
  std::optional<store::Scores> scores_;
  std::optional<store::TrafficDb> traffic_;
};

TEST(IsBad, TakesLowNumbersBadWordsAndCorrections) {
  EXPECT_TRUE(is_bad(with_number(score("r", "boolean"), 0)));
  EXPECT_FALSE(is_bad(with_number(score("r", "boolean"), 1)));
  EXPECT_TRUE(is_bad(with_number(score("r", "numeric"), 0.49)));
  EXPECT_FALSE(is_bad(with_number(score("r", "numeric"), 0.5)));
  EXPECT_TRUE(is_bad(with_text(score("r", "categorical"), "Bad")));
  EXPECT_FALSE(is_bad(with_text(score("r", "categorical"), "good")));
  EXPECT_FALSE(is_bad(with_text(score("r", "text"), "bad")));
  EXPECT_TRUE(is_bad(with_text(score("r", "correction"), "1349")));
}

TEST_F(TrafficCases, ARequestComesWithItsCorrection) {
  serve(request("r1", true));
  put(with_text(score("r1", "correction"), "1349"));
  const auto c = case_of_request(*traffic_, *scores_, "r1");
  ASSERT_TRUE(c) << c.error().text();
  EXPECT_EQ(c->id, "r1");
  EXPECT_EQ(c->question, "When was it built?");
  EXPECT_EQ(c->answer, "In 1400.");
  EXPECT_EQ(c->reference, "1349");
}

TEST_F(TrafficCases, ARequestWithoutTextIsNotFound) {
  serve(request("r1", false));
  EXPECT_EQ(case_of_request(*traffic_, *scores_, "r1").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(case_of_request(*traffic_, *scores_, "r2").error().code, ErrorCode::kNotFound);
}

TEST_F(TrafficCases, BadlyRatedOnesAreFoundOnce) {
  for (const char* id : {"bad", "twice", "good", "textless", "other"}) {
    store::TrafficRequest row = request(id, std::string(id) != "textless");
    if (std::string(id) == "other") row.model = "large";
    serve(row);
  }
  put(with_number(score("bad", "boolean"), 0));
  put(with_number(score("twice", "boolean"), 0));
  put(with_text(score("twice", "correction"), "1349"));
  put(with_number(score("good", "boolean"), 1));
  put(with_number(score("textless", "boolean"), 0));
  put(with_number(score("other", "boolean"), 0));
  const auto found = badly_rated_cases(*traffic_, *scores_, "default", "small", 10);
  ASSERT_TRUE(found) << found.error().text();
  std::map<std::string, std::string> references;
  for (const Case& c : found->cases) references[c.id] = c.reference;
  EXPECT_EQ(references, (std::map<std::string, std::string>{{"bad", ""}, {"twice", "1349"}}));
  EXPECT_EQ(found->cases.size(), 2U);
  EXPECT_EQ(found->without_text, 2U);
  EXPECT_EQ(badly_rated_cases(*traffic_, *scores_, "default", "", 1)->cases.size(), 1U);
  EXPECT_TRUE(badly_rated_cases(*traffic_, *scores_, "nobody", "", 9)->cases.empty());
}

}  // namespace
}  // namespace paring::advise
