// SPDX-License-Identifier: Apache-2.0
#include "measure/windows.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace paring::measure {
namespace {

// A vocabulary of the 256 bytes and a BOS: a text of n bytes has n tokens.
std::shared_ptr<const text::Tokenizer> byte_tokenizer(bool add_bos) {
  text::TokenizerSpec spec;
  spec.pre_tokenizer = "gpt-2";
  // GPT-2's byte alphabet: printable bytes are themselves, the others lie from U+0100 on.
  int moved = 0;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_kept = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int point = is_kept ? byte : 256 + moved++;
    std::string token;
    if (point < 0x80) {
      token += static_cast<char>(point);
    } else {
      token += static_cast<char>(0xC0 | (point >> 6));
      token += static_cast<char>(0x80 | (point & 0x3F));
    }
    spec.tokens.push_back(token);
  }
  spec.tokens.push_back("<bos>");
  spec.token_types.assign(256, 1);
  spec.token_types.push_back(3);
  spec.bos = 256;
  spec.add_bos = add_bos;
  auto tokenizer = text::Tokenizer::create(spec);
  EXPECT_TRUE(tokenizer) << tokenizer.error().text();
  return *tokenizer;
}

TEST(Windows, RowsAreJoinedAsDatasetsDoes) {
  // "\n\n".join(line if line.strip() else "" for line in file)
  EXPECT_EQ(join_rows(" \n = A = \n \n text\nmore\n"), "\n\n = A = \n\n\n\n\n text\n\n\nmore\n");
  EXPECT_EQ(join_rows("no newline"), "no newline");
  EXPECT_EQ(join_rows("a\n\t\n"), "a\n\n\n");
  EXPECT_EQ(join_rows(""), "");
}

TEST(Windows, LlamaCppScoresTheSecondHalfAndPutsBosFirst) {
  const auto windows =
      cut_windows(*byte_tokenizer(true), true, "t", "abcdefghijklmnopqrstu", {.context = 8});
  ASSERT_TRUE(windows) << windows.error().text();
  ASSERT_EQ(windows->windows.size(), 2u);  // 22 tokens, the rest dropped
  EXPECT_EQ(windows->scored_rows(), 3u);
  EXPECT_EQ(windows->windows[0],
            (std::vector<std::int32_t>{256, 'a', 'b', 'c', 'd', 'e', 'f', 'g'}));
  EXPECT_EQ(windows->windows[1][0], 256);  // instead of 'h'
  EXPECT_EQ(windows->windows[1][1], 'i');
  EXPECT_EQ(windows->next_token(0, 0), 'e');  // row 4 predicts token 5
  EXPECT_EQ(windows->next_token(0, 2), 'g');
}

TEST(Windows, PapersScoreAllAndPutBosOnce) {
  const auto windows = cut_windows(*byte_tokenizer(true), true, "t", "abcdefghijklmnopqrstu",
                                   {.protocol = Protocol::kPapers, .context = 7});
  ASSERT_TRUE(windows) << windows.error().text();
  ASSERT_EQ(windows->windows.size(), 3u);
  EXPECT_EQ(windows->scored_rows(), 6u);
  EXPECT_EQ(windows->windows[0][0], 256);
  EXPECT_EQ(windows->windows[1], (std::vector<std::int32_t>{'g', 'h', 'i', 'j', 'k', 'l', 'm'}));
  EXPECT_EQ(windows->next_token(1, 0), 'h');
  EXPECT_EQ(windows->next_token(1, 5), 'm');
  const Windows part = windows->part(1, 2);
  EXPECT_EQ(part.protocol, Protocol::kPapers);
  EXPECT_EQ(part.windows.size(), 2u);
  EXPECT_EQ(part.next_token(0, 0), 'h');
}

TEST(Windows, OddWindowsAreForPapersOnly) {
  const auto odd = cut_windows(*byte_tokenizer(false), false, "t", "abcdefghij", {.context = 7});
  ASSERT_FALSE(odd);
  EXPECT_NE(odd.error().text().find("7"), std::string::npos);
  const auto empty = cut_windows(*byte_tokenizer(false), false, "t", "", {.context = 8});
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace paring::measure
