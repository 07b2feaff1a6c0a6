// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/json_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "serve/wire/detail/json_read.h"

namespace paring::serve::wire {
namespace {

TEST(JsonText, EscapesWhatJsonAndReadersOfLinesNeed) {
  EXPECT_EQ(json_string("a\"b\\c/\n\t\r\x01\x1f"), "\"a\\\"b\\\\c/\\n\\t\\r\\u0001\\u001f\"");
  EXPECT_EQ(json_string("\xc2\x85\xe2\x80\xa8\xe2\x80\xa9"), "\"\\u0085\\u2028\\u2029\"");
  EXPECT_EQ(json_string("w\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80"),
            "\"w\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80\"");
  EXPECT_EQ(json_string(std::string_view("\0x", 2)), "\"\\u0000x\"");
}

TEST(JsonText, BytesThatAreNoUtf8BecomeReplacements) {
  // One for each longest piece that begins a character (Unicode, chapter 3.9).
  EXPECT_EQ(valid_utf8("a\xf0\x9f\x98"), "a\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xc3("), "\xef\xbf\xbd(");
  EXPECT_EQ(valid_utf8("\x80\xbf"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(valid_utf8("\xf4\x90\x80\x80").size(), 12U);
  EXPECT_EQ(valid_utf8("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
}

// Against the parser, for every pair of bytes in a text.
TEST(JsonText, IsJsonWhateverTheBytes) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {'x', static_cast<char>(first), static_cast<char>(second), 'y'};
      const auto parsed = nlohmann::json::parse(json_string(text), nullptr, false);
      ASSERT_TRUE(parsed.is_string()) << first << ' ' << second;
      ASSERT_EQ(parsed.get<std::string>(), valid_utf8(text)) << first << ' ' << second;
    }
  }
}

TEST(JsonText, NumbersComeBackAsTheyWere) {
  for (const double value : {0.0, -0.5, 0.1, 1e-7, 1e300, 123456789.123, -3.4028234663852886e38}) {
    std::string text;
    append_number(text, value);
    EXPECT_EQ(nlohmann::json::parse(text).get<double>(), value) << text;
  }
  std::string text;
  append_number(text, std::nan(""));
  append(text, ' ', std::numeric_limits<double>::infinity(), ' ', std::int64_t{-5}, ' ', true);
  EXPECT_EQ(text, "0 1.7976931348623157e+308 -5 true");
}

TEST(JsonRead, NamesThePlace) {
  const auto place = [](const char* text) { return read_json(text).error().param; };
  EXPECT_EQ(place(R"({"a":[1,{"b":"\ud800"}]})"), "a[1].b");
  EXPECT_EQ(place(R"({"a":{"b":1,"b":2}})"), "a.b");
  EXPECT_EQ(place(R"({"a":[[1e999]]})"), "a[0][0]");
  EXPECT_EQ(place("[1,2,nul]"), "[2]");
}

TEST(JsonRead, ManyFieldsAreReadInTimeAndNotTwice) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) text += "\"f" + std::to_string(i) + "\":1,";
  EXPECT_TRUE(read_json(text + "\"g\":1}"));
  EXPECT_EQ(read_json(text + "\"f7\":1}").error().code, "duplicate_parameter");
  std::string many = "{";
  for (int i = 0; i < 1100; ++i) many += "\"f" + std::to_string(i) + "\":1,";
  EXPECT_EQ(read_json(many + "\"g\":1}").error().code, "object_above_max_properties");
  EXPECT_EQ(read_json("[" + std::string(3 << 20, '0') + "]").error().code, "invalid_json");
  std::string values = "[";
  for (int i = 0; i < (1 << 20); ++i) values += "1,";
  EXPECT_EQ(read_json(values + "1]").error().code, "too_many_values");
}

}  // namespace
}  // namespace paring::serve::wire
