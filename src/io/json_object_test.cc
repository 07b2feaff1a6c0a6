// SPDX-License-Identifier: Apache-2.0
#include "io/json_object.h"

#include <gtest/gtest.h>

#include <string>

namespace paring::io {
namespace {

Metadata parsed(std::string_view text) {
  auto metadata = parse_json_object(text, "config.json");
  EXPECT_TRUE(metadata.has_value()) << metadata.error().text();
  return metadata ? std::move(metadata).value() : Metadata();
}

// The message of the error, empty when there is none.
std::string refused(std::string_view text) {
  const auto metadata = parse_json_object(text, "config.json");
  return metadata ? "" : metadata.error().message;
}

TEST(JsonObject, NestedKeysAreJoinedByDots) {
  const Metadata metadata =
      parsed(R"({"a": {"b": {"c": 8.5}, "d": "text"}, "e": true, "f": -3, "g": 7})");
  EXPECT_EQ(*metadata.get_f64("a.b.c"), 8.5);
  EXPECT_EQ(*metadata.get_string("a.d"), "text");
  EXPECT_TRUE(*metadata.get_bool("e"));
  EXPECT_EQ(*metadata.get_i64("f"), -3);
  EXPECT_EQ(*metadata.get_u64("g"), 7U);
}

TEST(JsonObject, ArraysOfOneKindAreArraysOthersAreIndexed) {
  const Metadata metadata = parsed(
      R"({"ids": [1, 2], "mixed": [1, 2.5], "names": ["x", "y"], "list": [{"k": 1}, 5, null]})");
  EXPECT_EQ(*metadata.i32_array("ids"), (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ(*metadata.f64_array("mixed"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(metadata.strings("names")->size(), 2U);
  EXPECT_EQ(*metadata.get_u64("list.0.k"), 1U);
  EXPECT_EQ(*metadata.get_u64("list.1"), 5U);
}

TEST(JsonObject, NullCountsAsAbsent) {
  const Metadata metadata = parsed(R"({"rope_scaling": null, "x": 1})");
  EXPECT_FALSE(metadata.has("rope_scaling"));
  EXPECT_EQ(*metadata.u64_or("rope_scaling", 5), 5U);
  EXPECT_TRUE(metadata.is_null("rope_scaling"));
  EXPECT_FALSE(metadata.is_null("x"));
}

TEST(JsonObject, ErrorsOfGettersNameFileKeyValueAndNeed) {
  const Metadata metadata = parsed(R"({"hidden_size": "576", "eps": 1.5})");
  EXPECT_EQ(metadata.get_u64("hidden_size").error().message,
            "config.json: 'hidden_size' holds a string of 3 bytes, needed is an integer that is "
            "not negative");
  EXPECT_EQ(metadata.get_u64("eps").error().message,
            "config.json: 'eps' holds f64 1.5, needed is an integer that is not negative");
  EXPECT_EQ(metadata.get_u64("none").error().message, "config.json: 'none' is missing");
}

TEST(JsonObject, WhatIsNoJsonObjectIsRefused) {
  EXPECT_NE(refused("").find("unexpected end"), std::string::npos);
  EXPECT_NE(refused("{\"a\": 1").find("unexpected end"), std::string::npos);
  EXPECT_NE(refused("{\"a\": NaN}").find("unexpected '"), std::string::npos);
  EXPECT_NE(refused("{\"a\": 1e999}").find("config.json is no JSON"), std::string::npos);
  EXPECT_NE(refused("{\"a\": Infinity}").find("config.json is no JSON"), std::string::npos);
  EXPECT_EQ(refused("[1]"), "config.json is no JSON object");
  EXPECT_EQ(refused("7"), "config.json is no JSON object");
  EXPECT_EQ(refused("null"), "config.json is no JSON object");
  EXPECT_NE(refused("{\"a\": \"\xff\"}").find("is no JSON"), std::string::npos);
}

TEST(JsonObject, AKeyTwiceIsRefused) {
  EXPECT_EQ(refused(R"({"a": 1, "a": 2})"), "config.json: 'a' appears twice");
  EXPECT_EQ(refused(R"({"a": {"b": 1}, "a": {"c": 1}})"), "config.json: 'a' appears twice");
  EXPECT_EQ(refused(R"({"a.b": 1, "a": {"b": 2}})"), "config.json: 'a.b' appears twice");
}

TEST(JsonObject, DepthIsLimited) {
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  EXPECT_EQ(refused(deep), "config.json nests more than 64 levels deep");
}

TEST(JsonObject, LongPathsAreLimited) {
  const std::string name(3000, 'k');
  EXPECT_NE(refused("{\"" + name + "\": {\"" + name + "\": 1}}").find("the limit is 4096"),
            std::string::npos);
}

TEST(JsonObject, TheNumberOfValuesIsLimited) {
  std::string many = "{\"a\":[";
  for (std::size_t i = 0; i <= kJsonObjectValuesMax; ++i) many += "0,";
  many += "0]}";
  EXPECT_NE(refused(many).find("holds more than 1048576 values"), std::string::npos);
}

}  // namespace
}  // namespace paring::io
