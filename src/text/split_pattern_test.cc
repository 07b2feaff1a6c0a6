// SPDX-License-Identifier: Apache-2.0
#include "text/split_pattern.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "text/pre_tokenizer.h"

namespace paring::text {
namespace {

std::size_t end_of(const std::string& regex, std::string_view text, std::size_t at = 0) {
  const auto pattern = SplitPattern::compile(regex);
  EXPECT_TRUE(pattern) << pattern.error().text();
  return pattern ? pattern->match_end(text, at) : std::string::npos;
}

TEST(SplitPattern, TheFirstAlternativeThatFitsCounts) {
  EXPECT_EQ(end_of("a|ab", "ab"), 1U);
  EXPECT_EQ(end_of("ab|a", "ab"), 2U);
  EXPECT_EQ(end_of("(?:a|ab)(?:c|bcd)", "abcd"), 4U);
  EXPECT_EQ(end_of("(?:a|ab)(?:bc|c)?", "abc"), 3U);
  EXPECT_EQ(end_of("x|", "a"), 0U);
}

TEST(SplitPattern, RepetitionsTakeWhatTheyCanAndGiveBack) {
  EXPECT_EQ(end_of("a*", "aaab"), 3U);
  EXPECT_EQ(end_of("a*ab", "aaab"), 4U);
  EXPECT_EQ(end_of("a{2}", "aaa"), 2U);
  EXPECT_EQ(end_of("a{2,}", "aaaa"), 4U);
  EXPECT_EQ(end_of("a{1,3}", "aaaa"), 3U);
  EXPECT_EQ(end_of("a{1,3}ab", "aaab"), 4U);
  EXPECT_EQ(end_of("a{2}", "ab"), 0U);
  EXPECT_EQ(end_of("(?:ab){1,2}a?", "ababab"), 5U);
  EXPECT_EQ(end_of("\\s+(?!\\S)|\\s+", "   x"), 2U);
  EXPECT_EQ(end_of("\\s+(?!\\S)|\\s+", "   "), 3U);
  EXPECT_EQ(end_of("\\s+(?!\\S)|\\s+", " x"), 1U);
  EXPECT_EQ(end_of("\\s+(?=x)", "  x"), 2U);
  EXPECT_EQ(end_of("\\s+(?=x)", "  "), 0U);
  EXPECT_EQ(end_of("[^b]?+b+", "abb"), 3U);
}

TEST(SplitPattern, ClassesOfCharacters) {
  EXPECT_EQ(end_of("\\p{L}+",
                   "a\u00E9\u4E16\u0391"
                   "1"),
            8U);
  EXPECT_EQ(end_of("\\p{Lu}+", "A\u0391a"), 3U);
  EXPECT_EQ(end_of("\\pN+", "1\u00B2\u2167a"), 6U);
  EXPECT_EQ(end_of("\\P{L}+", "1!a"), 2U);
  EXPECT_EQ(end_of("[^\\s\\p{L}]+", "1\u3000"), 1U);
  EXPECT_EQ(end_of("\\s+", "\u0085\u3000 \n"), 7U);
  EXPECT_EQ(end_of("[a-c\\-x]+", "ab-xcd"), 5U);
  EXPECT_EQ(end_of("[]a]+", "]a"), 2U);
  EXPECT_EQ(end_of("[\\p{L}&&[^a-z]]+", "A\u00E9a"), 3U);
  EXPECT_EQ(end_of("[a[bc]]+", "abcd"), 3U);
  EXPECT_EQ(end_of("[\u4E00-\u9FA5]+", "\u4E16\u3042"), 3U);
  EXPECT_EQ(end_of("(?i:'s)", "'S"), 2U);
  EXPECT_EQ(end_of("(?i:'s)", "'\u017F"), 3U);
  EXPECT_EQ(end_of("'s", "'S"), 0U);
}

TEST(SplitPattern, WhatItDoesNotKnowIsNamed) {
  for (const char* regex :
       {"a*?",  "(?<!a)b",    "(?<=a)b",    "^a",        "a$",      ".",   "\\b",
        "\\w",  "(?>a)",      "a**",        "(a*)*",     "(a",      "a)",  "[a",
        "\\",   "\\p{Greek}", "[b-a]",      "a{2,1}",    "a{1001}", "a{}", "(?!ab)",
        "a*+a", "{",          "[[:alpha:]", "(?i:[a-z])"}) {
    const auto pattern = SplitPattern::compile(regex);
    ASSERT_FALSE(pattern) << regex;
    EXPECT_EQ(pattern.error().code, ErrorCode::kUnsupported) << regex;
    EXPECT_NE(pattern.error().message.find("pattern"), std::string::npos) << regex;
  }
}

TEST(SplitPattern, SizesAreBounded) {
  std::string groups(100, '(');
  EXPECT_FALSE(SplitPattern::compile(groups + "a" + std::string(100, ')')));
  std::string brackets;
  for (int i = 0; i < 100; ++i) brackets += "[a";
  EXPECT_FALSE(SplitPattern::compile(brackets));
  EXPECT_FALSE(SplitPattern::compile(std::string(SplitPattern::kPatternBytesMax + 1, 'a')));
  EXPECT_FALSE(SplitPattern::compile("(?:(?:a{1000}){1000}){1000}"));
  // Each state tells which of the last 20 characters were an a: 2^20 states.
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(SplitPattern::compile("[ab]*a[ab]{20}"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

std::string cut(std::string_view pre_tokenizer, std::string_view text) {
  const auto splitter = Splitter::create(pre_tokenizer);
  EXPECT_TRUE(splitter) << splitter.error().text();
  std::string out;
  std::size_t begin = 0;
  for (const std::size_t end : splitter->split(text)) {
    out += (out.empty() ? "" : "|") + std::string(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

TEST(Splitter, CutsAsTheModelsDo) {
  EXPECT_EQ(cut("gpt-2", "It's  12345 <b>"), "It|'s| | 12345| <|b|>");
  EXPECT_EQ(cut("llama-bpe", "It's  12345 <b>"), "It|'s| | |123|45| <|b|>");
  EXPECT_EQ(cut("qwen2", "x 12"), "x| |1|2");
  EXPECT_EQ(cut("superbpe", "a1234567b"), "a|1|234|567|b");
  EXPECT_EQ(cut("afmoe", "1234"), "1|234");
  EXPECT_EQ(cut("deepseek-llm", "a b  "), "a| b|  ");
  EXPECT_EQ(cut("gpt-2", ""), "");
}

TEST(Splitter, UnknownNamesAreListed) {
  const auto splitter = Splitter::create("gemma4");
  ASSERT_FALSE(splitter);
  EXPECT_EQ(splitter.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(splitter.error().text().find("\"gemma4\""), std::string::npos);
  EXPECT_NE(splitter.error().text().find("deepseek-v3"), std::string::npos);
}

// Megabytes that invite quadratic work, for every name; seconds are generous.
TEST(Splitter, NothingIsQuadratic) {
  std::string spaces(1 << 17, ' ');
  const std::vector<std::string> texts = {std::string(1 << 17, 'a'),
                                          spaces,
                                          spaces + "x",
                                          std::string(1 << 17, '1'),
                                          std::string(1 << 17, '\n'),
                                          std::string(1 << 17, '!')};
  std::vector<std::string_view> families;
  for (const std::string_view name : pre_tokenizer_names()) {
    const PreTokenizer known = find_pre_tokenizer(name).value();
    if (std::find(families.begin(), families.end(), known.family) != families.end()) continue;
    families.push_back(known.family);
    const auto begin = std::chrono::steady_clock::now();
    const Splitter splitter = Splitter::create(name).value();
    for (const std::string& text : texts) EXPECT_EQ(splitter.split(text).back(), text.size());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(took.count(), 20.0) << name;
  }
  EXPECT_GE(families.size(), 29U);
}

}  // namespace
}  // namespace paring::text
