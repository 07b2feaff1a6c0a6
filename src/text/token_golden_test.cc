// SPDX-License-Identifier: Apache-2.0
// Token ids against those of llama.cpp on the fixed list of lines (tools/make_token_list.py,
// tools/make_token_golden.py). Prints how many lines of each class were compared.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/fixture_for_test.h"
#include "text/tokenizer.h"

namespace paring::text {
namespace {

struct Line {
  std::string name;  // of the class; the scripts are one class
  std::string text;
};

std::vector<Line> read_lines() {
  std::vector<Line> lines;
  std::istringstream in(read_test_file("tokens/lines.jsonl"));
  for (std::string row; std::getline(in, row);) {
    const auto json = nlohmann::json::parse(row);
    const std::string name = json.at("class");
    lines.push_back({name.starts_with("script") ? "ten scripts" : name, json.at("text")});
  }
  return lines;
}

std::vector<Line> special_lines() {
  std::vector<Line> lines = read_lines();
  std::erase_if(lines, [](const Line& line) { return line.name != "special"; });
  return lines;
}

// Lists of ids: each a u16 count and that many u16.
std::vector<std::vector<std::int32_t>> read_ids(const std::string& path) {
  const std::string data = read_test_file(path);
  std::vector<std::uint16_t> words(data.size() / 2);
  std::memcpy(words.data(), data.data(), words.size() * 2);
  std::vector<std::vector<std::int32_t>> lists;
  for (std::size_t at = 0; at < words.size(); at += 1U + words[at]) {
    const auto begin = words.begin() + static_cast<std::ptrdiff_t>(at) + 1;
    lists.emplace_back(begin, begin + words[at]);
  }
  return lists;
}

std::vector<std::uint64_t> read_hashes(const std::string& path) {
  const std::string data = read_test_file(path);
  std::vector<std::uint64_t> hashes(data.size() / 8);
  std::memcpy(hashes.data(), data.data(), hashes.size() * 8);
  return hashes;
}

// FNV-1a over the ids as little-endian u32.
std::uint64_t hash_of(const std::vector<std::int32_t>& ids) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const std::int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash ^= (static_cast<std::uint32_t>(id) >> shift) & 0xFFU;
      hash *= 0x100000001B3U;
    }
  }
  return hash;
}

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void print_counts(const std::string& what, const std::map<std::string, int>& counts) {
  for (const auto& [name, count] : counts) {
    std::printf("  %-24s %-12s %4d lines equal\n", what.c_str(), name.c_str(), count);
  }
}

void expect_ids(bool parse_special, const std::vector<Line>& lines, const std::string& path) {
  const auto tokenizer = Tokenizer::create(smollm2_spec());
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
  const auto golden = read_ids(path);
  ASSERT_EQ(golden.size(), lines.size());
  std::map<std::string, int> counts;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto ids = (*tokenizer)->encode(lines[i].text, {.parse_special = parse_special});
    ASSERT_TRUE(ids.has_value()) << ids.error().text();
    EXPECT_EQ(*ids, golden[i]) << lines[i].name << " " << quoted(lines[i].text);
    counts[lines[i].name] += *ids == golden[i] ? 1 : 0;
  }
  print_counts(parse_special ? "smollm, parsed" : "smollm", counts);
}

TEST(TokenGolden, TheListHasFiveHundredLinesOfEachClass) {
  std::map<std::string, int> counts;
  for (const Line& line : read_lines()) ++counts[line.name];
  EXPECT_EQ(counts.size(), 7U);
  for (const auto& [name, count] : counts) EXPECT_GE(count, 500) << name;
}

TEST(TokenGolden, AllLinesWithSpecialTokensAsText) {
  expect_ids(false, read_lines(), "tokens/smollm.plain.ids");
}

TEST(TokenGolden, SpecialLinesWithSpecialTokensParsed) {
  expect_ids(true, special_lines(), "tokens/smollm.special.ids");
}

class OtherPreTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(OtherPreTokenizer, GivesTheIdsOfLlamaCpp) {
  const std::string pre = GetParam();
  const auto tokenizer = Tokenizer::create(extended_spec(pre));
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
  for (const bool parse_special : {false, true}) {
    const std::vector<Line> lines = parse_special ? special_lines() : read_lines();
    const auto golden =
        read_hashes("tokens/" + pre + (parse_special ? ".special.fnv" : ".plain.fnv"));
    ASSERT_EQ(golden.size(), lines.size());
    std::map<std::string, int> counts;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto ids = (*tokenizer)->encode(lines[i].text, {.parse_special = parse_special});
      ASSERT_TRUE(ids.has_value()) << ids.error().text();
      EXPECT_EQ(hash_of(*ids), golden[i]) << lines[i].name << " " << quoted(lines[i].text);
      counts[lines[i].name] += hash_of(*ids) == golden[i] ? 1 : 0;
    }
    print_counts(pre + (parse_special ? ", parsed" : ""), counts);
  }
}

INSTANTIATE_TEST_SUITE_P(TokenGolden, OtherPreTokenizer,
                         ::testing::Values("default", "gpt-2", "llama-bpe", "qwen2"));

TEST(TokenGolden, TheSameTokensEndAGeneration) {
  const auto golden = nlohmann::json::parse(read_test_file("tokens/golden.json"));
  for (const bool is_extended : {false, true}) {
    const auto tokenizer = Tokenizer::create(is_extended ? extended_spec("qwen2") : smollm2_spec());
    ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().text();
    std::vector<std::int32_t> ends;
    for (std::size_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
      if ((*tokenizer)->is_end(static_cast<std::int32_t>(id))) {
        ends.push_back(static_cast<std::int32_t>(id));
      }
    }
    const auto expected = golden.at(is_extended ? "extended_ends" : "ends");
    EXPECT_EQ(ends, expected.get<std::vector<std::int32_t>>());
  }
}

}  // namespace
}  // namespace paring::text
