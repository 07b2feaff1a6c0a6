// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/passages.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/folder_for_test.h"

namespace paring::advise {
namespace {

using PassageFiles = io::FolderTest;

std::string repeated(const std::string& word, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += (i == 0 ? "" : " ") + word;
  return text;
}

TEST(CutPassages, JoinsShortParagraphsAndCutsLongOnes) {
  EXPECT_EQ(cut_passages("one two\n\nthree"), std::vector<std::string>{"one two\n\nthree"});
  EXPECT_TRUE(cut_passages("\n\n \n").empty());
  const auto parts = cut_passages("short\n\n" + repeated("w", 2 * kPassageWordsMax + 1));
  ASSERT_EQ(parts.size(), 4U);
  EXPECT_EQ(parts[0], "short");
  EXPECT_EQ(parts[1], repeated("w", kPassageWordsMax));
  EXPECT_EQ(parts[2], repeated("w", kPassageWordsMax));
  EXPECT_EQ(parts[3], "w");
}

TEST(Passages, FindTheOneThatAnswers) {
  const Passages passages({{"a", "The owl is a bird of the night."},
                           {"b", "Faust is a play by Goethe. Goethe wrote it over sixty years."},
                           {"c", "Night trains run to Weimar, where Goethe lived."}});
  const auto hits = passages.search("Who wrote the play Faust?", 5);
  ASSERT_EQ(hits.size(), 1U);  // the others share no word with it
  EXPECT_EQ(hits[0].passage, 1U);
  const auto goethe = passages.search("Goethe's Goethe", 5);
  ASSERT_EQ(goethe.size(), 2U);
  EXPECT_EQ(goethe[0].passage, 1U);  // says it twice
  EXPECT_GT(goethe[0].score, goethe[1].score);
  EXPECT_EQ(passages.rank("night", 0), 1U);
  EXPECT_EQ(passages.rank("night", 2), 2U);
  EXPECT_EQ(passages.rank("night", 1), 0U);
  EXPECT_EQ(passages.search("night", 1).size(), 1U);
}

// BM25 by hand: two passages of two words, one of which holds the word once.
TEST(Passages, ScoreIsBm25) {
  const Passages passages({{"a", "red car"}, {"b", "blue boat"}});
  const auto hits = passages.search("red", 5);
  ASSERT_EQ(hits.size(), 1U);
  // ln(1 + (2 - 1 + 0.5) / (1 + 0.5)) * 1 * 2.2 / (1 + 1.2)
  EXPECT_NEAR(hits[0].score, 0.6931471805599453, 1e-12);
}

TEST_F(PassageFiles, OfAFolderAreRead) {
  std::filesystem::create_directories(folder_ / "deep");
  write("deep/a.txt", "An owl.");
  write("b.jsonl", "\"A cat.\"\n\n{\"id\": \"dog\", \"text\": \"A dog.\"}\n");
  write("c.bin", "not read");
  const auto passages = Passages::open(folder_.string());
  ASSERT_TRUE(passages) << passages.error().text();
  ASSERT_EQ(passages->size(), 3U);
  EXPECT_EQ(passages->at(0).document, path("b.jsonl") + ":1");
  EXPECT_EQ(passages->at(1).document, "dog");
  EXPECT_EQ(passages->at(2).text, "An owl.");
}

TEST_F(PassageFiles, ErrorsNameFileAndLine) {
  const auto bad = Passages::open(write("docs.jsonl", "\"fine\"\n{\"title\": 3}\n"));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(bad.error().message.find("docs.jsonl:2"), std::string::npos) << bad.error().message;
  EXPECT_FALSE(Passages::open(write("docs.jsonl", "\n")));
  EXPECT_EQ(Passages::open(path("none.txt")).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace paring::advise
