// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

#include <limits>

namespace paring {
namespace {

TEST(Bytes, AreWrittenInDecimalUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "1.0 kB");
  EXPECT_EQ(format_bytes(105'400'000), "105.4 MB");
  EXPECT_EQ(format_bytes(999'949), "999.9 kB");
  EXPECT_EQ(format_bytes(999'950), "1.0 MB");
  EXPECT_EQ(format_bytes(700'000'000'000), "700.0 GB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "18.4 EB");
}

TEST(Bytes, AreReadInBothKindsOfUnits) {
  const std::pair<const char*, std::uint64_t> cases[] = {
      {"105.4MB", 105'400'000},
      {"90MiB", 90u << 20},
      {"2GB", 2'000'000'000},
      {"0", 0},
      {"4096", 4096},
      {" 1.5 kib ", 1536},
      {"7b", 7},
      {"1tib", 1ull << 40},
      {"0.1 GB", 100'000'000},
      {"12 bytes", 12},
      {"3tb", 3'000'000'000'000},
  };
  for (const auto& [text, bytes] : cases) {
    const auto parsed = parse_bytes(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(Bytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MB", "-1MB", "1 MBit", "1e3", "nan", "inf", "0x10", "5 M B",
                           "1,5GB", "10000000TB", "12 parsecs", "+3"}) {
    const auto parsed = parse_bytes(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(parsed.error().text().find("105.4MB"), std::string::npos) << "a hint is missing";
  }
}

TEST(Bytes, WhatIsWrittenCanBeReadBack) {
  for (std::uint64_t bytes : {0ull, 999ull, 105'400'000ull, 2'000'000'000ull}) {
    EXPECT_EQ(parse_bytes(format_bytes(bytes)).value(), bytes);
  }
}

TEST(Bytes, AFractionNeedsAUnit) {
  const auto parsed = parse_bytes("105.4");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().text().find("did you mean 105.4MB or 105.4GB"), std::string::npos);
  for (const char* text : {"1.5MB", "1.5MiB", "1.5GB", "1.5GiB", "1.5 gib", "2.0"}) {
    EXPECT_TRUE(parse_bytes(text).has_value()) << text;
  }
}

TEST(Counts, AreReadAsPeopleWriteThem) {
  const std::pair<const char*, double> cases[] = {
      {"7B", 7e9},  {"1.5b", 1.5e9},  {"175e9", 175e9}, {"350M", 350e6},
      {"1T", 1e12}, {"32000", 32000}, {" 0.5 B ", 5e8}, {"8k", 8000}};
  for (const auto& [text, value] : cases) {
    const auto parsed = parse_count(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_DOUBLE_EQ(*parsed, value) << text;
  }
  for (const char* text : {"", "B", "7Q", "-7B", "seven", "nan", "inf", "1e99", "7 B B"}) {
    EXPECT_FALSE(parse_count(text).has_value()) << text;
  }
}

TEST(Counts, OneHasNoPlural) {
  EXPECT_EQ(counted(1, "thread"), "1 thread");
  EXPECT_EQ(counted(2, "thread"), "2 threads");
  EXPECT_EQ(counted(0, "thread"), "0 threads");
}

TEST(NearestName, FindsWhatWasMeant) {
  const std::vector<std::string> names = {"quantize", "optimize", "inspect", "run", "--threads"};
  for (const auto& [word, name] :
       std::vector<std::pair<std::string, std::string>>{{"quantise", "quantize"},
                                                        {"qunatize", "quantize"},
                                                        {"quant", "quantize"},
                                                        {"inspct", "inspect"},
                                                        {"rnu", "run"},
                                                        {"--thread", "--threads"},
                                                        {"Optimize", "optimize"},
                                                        {"model.gguf", ""},
                                                        {"", ""},
                                                        {"xyz", ""}}) {
    EXPECT_EQ(nearest_name(word, names), name) << word;
  }
}

TEST(Duration, IsWrittenForPeople) {
  EXPECT_EQ(format_duration(0.35), "350 ms");
  EXPECT_EQ(format_duration(0.9999), "1.0 s");
  EXPECT_EQ(format_duration(12.34), "12.3 s");
  EXPECT_EQ(format_duration(59.99), "1 min 0 s");
  EXPECT_EQ(format_duration(245), "4 min 5 s");
  EXPECT_EQ(format_duration(7380), "2 h 3 min");
}

TEST(Duration, IsReadWithUnits) {
  EXPECT_DOUBLE_EQ(parse_duration("250ms").value(), 0.25);
  EXPECT_DOUBLE_EQ(parse_duration("90").value(), 90);
  EXPECT_DOUBLE_EQ(parse_duration("15 min").value(), 900);
  EXPECT_DOUBLE_EQ(parse_duration("1.5h").value(), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("2D").value(), 172800);
  for (const char* text : {"", "soon", "-3s", "5 weeks", "nan"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(EscapeControl, LeavesTextAndStopsTerminalCodes) {
  EXPECT_EQ(escape_control("Grüße 日本"), "Grüße 日本");
  EXPECT_EQ(escape_control("a\nb\tc\x1b[2J\x7f\r"), "a\\nb\\tc\\x1b[2J\\x7f\\x0d");
  EXPECT_EQ(escape_control(std::string_view("\0", 1)), "\\x00");
}

TEST(Text, CaseFoldingTouchesAsciiLettersAlone) {
  EXPECT_EQ(ascii_lower("Q4_K_M \xc3\x84@[`{"), "q4_k_m \xc3\x84@[`{");
  EXPECT_EQ(ascii_upper("q4_k_m \xc3\xa4@[`{"), "Q4_K_M \xc3\xa4@[`{");
}

}  // namespace
}  // namespace paring
