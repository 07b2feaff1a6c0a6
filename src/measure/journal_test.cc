// SPDX-License-Identifier: Apache-2.0
#include "measure/journal.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace paring::measure {
namespace {

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    path_ = testing::TempDir() + "journal-" + info->name();
    std::filesystem::remove(path_);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Journal open() {
    auto journal = Journal::open(path_);
    EXPECT_TRUE(journal) << journal.error().text();
    return std::move(*journal);
  }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& text) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << text;
  }

  std::string path_;
};

TEST_F(JournalTest, KeepsResultsByRunAndItem) {
  {
    Journal journal = open();
    ASSERT_TRUE(journal.append("a", 0, R"({"x": 1})"));
    ASSERT_TRUE(journal.append("b", 0, "{}"));
    ASSERT_TRUE(journal.append("a", 7, "with  blanks "));
    EXPECT_EQ(*journal.find("b", 0), "{}");
  }
  const Journal again = open();
  ASSERT_NE(again.find("a", 0), nullptr);
  EXPECT_EQ(*again.find("a", 0), R"({"x": 1})");
  EXPECT_EQ(*again.find("a", 7), "with  blanks ");
  EXPECT_EQ(again.find("a", 1), nullptr);
  EXPECT_EQ(again.find("c", 0), nullptr);
}

TEST_F(JournalTest, ACutLineIsDroppedWhereverItIsCut) {
  {
    Journal journal = open();
    ASSERT_TRUE(journal.append("run", 0, "first"));
    ASSERT_TRUE(journal.append("run", 1, "second"));
  }
  const std::string whole = bytes();
  const std::size_t second = whole.rfind("run 1");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write(whole.substr(0, length));
    {
      Journal journal = open();
      EXPECT_EQ(journal.find("run", 0) != nullptr, length >= second) << length;
      EXPECT_EQ(journal.find("run", 1), nullptr) << length;
      if (length < second) {
        ASSERT_TRUE(journal.append("run", 0, "first"));
      }
      ASSERT_TRUE(journal.append("run", 1, "second"));
    }
    EXPECT_EQ(bytes(), whole) << length;
  }
}

TEST_F(JournalTest, AnotherFileIsLeftAlone) {
  write("my precious notes\n");
  const auto journal = Journal::open(path_);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(bytes(), "my precious notes\n");
}

TEST_F(JournalTest, OneProcessAtATime) {
  const Journal first = open();
  const auto second = Journal::open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
}

TEST_F(JournalTest, WithoutAFileNothingIsKept) {
  Journal journal;
  ASSERT_TRUE(journal.append("a", 0, "x"));
  EXPECT_EQ(journal.find("a", 0), nullptr);
}

}  // namespace
}  // namespace paring::measure
