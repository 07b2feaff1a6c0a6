// SPDX-License-Identifier: Apache-2.0
#include "serve/engine_hours.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace paring::serve {
namespace {

constexpr double kNow = 1'795'392'000 + 1800;  // half past an hour

class EngineHoursTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("engine_hours_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    db_.emplace(store::TrafficDb::open({.data = folder_}).value());
  }
  void TearDown() override {
    db_.reset();
    std::filesystem::remove_all(folder_);
  }
  static std::shared_ptr<StepRecorder> recorder(const char* model) {
    return std::make_shared<StepRecorder>(model, "v", R"({"threads":2})", kNow - 60);
  }
  std::vector<store::TrafficEngine> engines() { return db_->engines({}).value(); }

  std::filesystem::path folder_;
  std::optional<store::TrafficDb> db_;
  FakeClock clock_{kNow};
  std::vector<std::shared_ptr<StepRecorder>> recorders_;
};

TEST_F(EngineHoursTest, HoursAddUpToAllSteps) {
  recorders_ = {recorder("a"), recorder("b")};
  {
    EngineHours hours(*db_, [this] { return recorders_; }, ",\"more\":1", clock_);
    recorders_[0]->add({.tokens = 1}, 0.5);
    hours.write();
    recorders_[0]->add({.tokens = 1}, 0.25);
    recorders_[1]->add({.tokens = 2}, 1);
    hours.write();
    ASSERT_EQ(engines().size(), 2U);
    EXPECT_EQ(engine::StepSums::from_json(engines()[0].steps)->seconds(), 0.75);
    clock_.advance(3600);
    recorders_[0]->add({.tokens = 1}, 2);
  }
  const std::vector<store::TrafficEngine> all = engines();
  ASSERT_EQ(all.size(), 3U) << "the end writes what is left";
  EXPECT_EQ(all[0].hour_s, 1'795'392'000);
  EXPECT_EQ(all[0].model, "a");
  EXPECT_EQ(all[0].facts.find(R"({"threads":2,"more":1,"resident_bytes":)"), 0U);
  EXPECT_EQ(all[0].facts.back(), '}');
  EXPECT_EQ(all[1].model, "b");
  EXPECT_EQ(all[2].hour_s, 1'795'395'600);
  EXPECT_EQ(engine::StepSums::from_json(all[2].steps)->seconds(), 2);
}

TEST_F(EngineHoursTest, AModelThatGoesIsNotForgottenBeforeItIsWritten) {
  recorders_ = {recorder("a")};
  EngineHours hours(*db_, [this] { return recorders_; }, "", clock_);
  hours.write();
  EXPECT_TRUE(engines().empty()) << "no steps, nothing to tell";
  recorders_[0]->add({.tokens = 1}, 0.5);
  recorders_.clear();
  hours.write();
  ASSERT_EQ(engines().size(), 1U);
  EXPECT_EQ(engine::StepSums::from_json(engines()[0].steps)->steps(), 1);
}

}  // namespace
}  // namespace paring::serve
