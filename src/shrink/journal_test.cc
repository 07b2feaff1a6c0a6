// SPDX-License-Identifier: Apache-2.0
#include "shrink/journal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "shrink/statistics_file.h"

namespace paring::shrink {
namespace {

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "journal_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(path_);
  }
  void TearDown() override { std::filesystem::remove_all(path_); }
  std::string file() const { return path_ + "/measurements.jsonl"; }
  std::string path_;
};

Result<double> not_asked() {
  ADD_FAILURE() << "a recorded value was measured again";
  return 0.0;
}

TEST_F(JournalTest, RecallsExactlyWhatWasRecorded) {
  const double value = 0.1 + 1e-17;
  {
    auto journal = Journal::open(path_, "key");
    ASSERT_TRUE(journal.has_value());
    EXPECT_EQ(*(*journal)->recall_or("a", [&]() -> Result<double> { return value; }), value);
  }
  auto journal = Journal::open(path_, "key");
  ASSERT_TRUE(journal.has_value());
  EXPECT_EQ((*journal)->recalled(), 1U);
  EXPECT_EQ(*(*journal)->recall_or("a", not_asked), value);
  (*journal)->remove();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(JournalTest, AnotherKeyStartsAnew) {
  {
    ASSERT_TRUE(
        (*Journal::open(path_, "key"))->recall_or("a", []() -> Result<double> { return 1.0; }));
  }
  std::ofstream(path_ + "/statistics.bin") << "old";
  std::ofstream(path_ + "/winner.gguf.tmp-1-2") << "cut";
  std::ofstream(path_ + "/mine.txt") << "not ours";
  auto journal = Journal::open(path_, "other");
  ASSERT_TRUE(journal.has_value());
  EXPECT_EQ((*journal)->find("a"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(path_ + "/statistics.bin"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "/winner.gguf.tmp-1-2"));
  (*journal)->remove();
  EXPECT_TRUE(std::filesystem::exists(path_ + "/mine.txt"));
  EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_F(JournalTest, ALineThatWasCutOffIsDropped) {
  {
    auto journal = Journal::open(path_, "key");
    for (const char* name : {"a", "b"}) {
      ASSERT_TRUE((*journal)->recall_or(name, []() -> Result<double> { return 2.0; }));
    }
  }
  std::filesystem::resize_file(file(), std::filesystem::file_size(file()) - 5);
  {
    auto journal = Journal::open(path_, "key");
    EXPECT_NE((*journal)->find("a"), nullptr);
    EXPECT_EQ((*journal)->find("b"), nullptr);
    ASSERT_TRUE((*journal)->recall_or("b", []() -> Result<double> { return 3.0; }));
  }
  auto journal = Journal::open(path_, "key");
  EXPECT_EQ((*journal)->find("b")->front(), 3.0);
}

TEST_F(JournalTest, WhatIsForgottenIsGoneAndTheRestStays) {
  {
    auto journal = Journal::open(path_, "key");
    for (const char* name : {"candidate a", "probe b"}) {
      ASSERT_TRUE((*journal)->recall_or(name, []() -> Result<double> { return 2.5; }));
    }
  }
  std::ofstream(path_ + "/statistics.bin") << "large";
  {
    auto journal = Journal::open(path_, "key");
    ASSERT_TRUE(
        (*journal)->forget([](const std::string& name) { return name.starts_with("candidate"); }));
    EXPECT_EQ((*journal)->recalled(), 1U);
    (*journal)->keep_measurements();
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + "/statistics.bin"));
  auto journal = Journal::open(path_, "key");
  EXPECT_EQ((*journal)->find("candidate a"), nullptr);
  EXPECT_EQ(*(*journal)->recall_or("probe b", not_asked), 2.5);
}

TEST_F(JournalTest, ASecondProcessIsRefused) {
  auto first = Journal::open(path_, "key");
  ASSERT_TRUE(first.has_value());
  const auto second = Journal::open(path_, "key");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST_F(JournalTest, StatisticsComeBackWholeOrNotAtAll) {
  std::filesystem::create_directory(path_);
  const std::string path = path_ + "/statistics.bin";
  Statistics statistics;
  statistics.text_name = "text";
  statistics.text_sha256 = std::string(64, 'a');
  statistics.tokens = 512;
  statistics.mean_squares = {{1, 2}, {}};
  statistics.expert_tokens = {{5, 0}, {}};
  statistics.factor_of = {0, 0};
  statistics.factors.resize(2);
  statistics.factors[0].blocks.push_back({0, 2, {1, 0}, {1, 0, 0.5F, 2}});
  ASSERT_TRUE(save_statistics(path, statistics).has_value());
  const auto loaded = load_statistics(path);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(loaded->tokens, 512U);
  EXPECT_EQ(loaded->mean_squares, statistics.mean_squares);
  EXPECT_EQ(loaded->expert_tokens, statistics.expert_tokens);
  EXPECT_EQ(loaded->factors[0].blocks[0].rows, statistics.factors[0].blocks[0].rows);
  EXPECT_EQ(loaded->factors[0].blocks[0].order, statistics.factors[0].blocks[0].order);
  std::fstream edit(path, std::ios::in | std::ios::out | std::ios::binary);
  edit.seekp(100);
  edit.put('\x7f');
  edit.close();
  EXPECT_FALSE(load_statistics(path).has_value());
  std::filesystem::resize_file(path, 40);
  EXPECT_FALSE(load_statistics(path).has_value());
  EXPECT_FALSE(load_statistics(path + "x").has_value());
}

}  // namespace
}  // namespace paring::shrink
