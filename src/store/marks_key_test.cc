// SPDX-License-Identifier: Apache-2.0
#include "store/marks_key.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

namespace paring::store {
namespace {

class MarksKeyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ("marks_key_" +
               std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(MarksKeyTest, StaysAsItWasMade) {
  const Result<SipKey> first = marks_key(folder_);
  ASSERT_TRUE(first.has_value()) << first.error().text();
  const Result<SipKey> second = marks_key(folder_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->low, second->low);
  EXPECT_EQ(first->high, second->high);
  EXPECT_NE(first->low, first->high);
  struct stat facts{};
  ASSERT_EQ(::stat((folder_ / "traffic/marks.key").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
}

TEST_F(MarksKeyTest, WhoComesTogetherGetsOne) {
  std::vector<SipKey> keys(8);
  std::vector<std::thread> threads;
  threads.reserve(keys.size());
  for (SipKey& key : keys) {
    threads.emplace_back([&] { key = marks_key(folder_).value(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const SipKey& key : keys) EXPECT_EQ(key.low, keys.front().low);
}

TEST_F(MarksKeyTest, OfAnotherLengthIsRefused) {
  ASSERT_TRUE(marks_key(folder_).has_value());
  for (const char* text : {"short", "seventeen letters"}) {
    std::ofstream(folder_ / "traffic/marks.key", std::ios::trunc) << text;
    const Result<SipKey> key = marks_key(folder_);
    ASSERT_FALSE(key.has_value()) << text;
    EXPECT_EQ(key.error().code, ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace paring::store
