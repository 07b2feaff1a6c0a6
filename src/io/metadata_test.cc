// SPDX-License-Identifier: Apache-2.0
// Getters: which widths are accepted, what is refused, and what the errors say.
#include "io/metadata.h"

#include <gtest/gtest.h>

#include <limits>

namespace paring::io {
namespace {

using Type = GgufValueType;

Metadata sample() {
  Metadata metadata;
  metadata.set_source("model.gguf");
  metadata.set("u8", {Type::kU8, std::uint64_t{7}});
  metadata.set("i64", GgufValue::of_i64(-3));
  metadata.set("u64", GgufValue::of_u64(std::numeric_limits<std::uint64_t>::max()));
  metadata.set("f32", GgufValue::of_f32(0.25F));
  metadata.set("bool", GgufValue::of_bool(true));
  metadata.set("text", GgufValue::of_string("abc"));
  metadata.set("strings", GgufValue::of_strings({"a", "b"}));
  const std::vector<std::int32_t> integers = {1, -2};
  metadata.set("integers", GgufValue::of_i32_array(integers));
  return metadata;
}

TEST(Metadata, IntegersOfAnyWidthFitWhereTheirValueFits) {
  const Metadata metadata = sample();
  EXPECT_EQ(metadata.get_u64("u8").value(), 7U);
  EXPECT_EQ(metadata.get_i64("u8").value(), 7);
  EXPECT_EQ(metadata.get_i64("i64").value(), -3);
  EXPECT_EQ(metadata.get_f64("i64").value(), -3.0);
  EXPECT_EQ(metadata.get_f64("f32").value(), 0.25);
  EXPECT_EQ(metadata.get_u64("u64").value(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_FALSE(metadata.get_i64("u64")) << "needs 64 bits without a sign";
  EXPECT_FALSE(metadata.get_u64("i64")) << "negative";
  EXPECT_FALSE(metadata.get_u64("f32"));
  EXPECT_FALSE(metadata.get_u64("bool"));
  EXPECT_FALSE(metadata.get_f64("bool"));
  EXPECT_FALSE(metadata.get_bool("u8"));
  EXPECT_TRUE(metadata.get_bool("bool").value());
  EXPECT_EQ(metadata.get_string("text").value(), "abc");
}

TEST(Metadata, DefaultsStandInForAbsentKeysOnly) {
  const Metadata metadata = sample();
  EXPECT_EQ(metadata.u64_or("absent", 5).value(), 5U);
  EXPECT_EQ(metadata.u64_or("u8", 5).value(), 7U);
  EXPECT_EQ(metadata.i64_or("absent", -5).value(), -5);
  EXPECT_EQ(metadata.f64_or("absent", 1.5).value(), 1.5);
  EXPECT_EQ(metadata.bool_or("absent", true).value(), true);
  EXPECT_EQ(metadata.string_or("absent", "x").value(), "x");
  const auto wrong = metadata.u64_or("text", 5);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
}

TEST(Metadata, ErrorsNameFileKeyFoundAndNeeded) {
  const Metadata metadata = sample();
  const auto missing = metadata.get_u64("llama.block_count");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(missing.error().message, "model.gguf: metadata key 'llama.block_count' is missing");
  const auto wrong = metadata.get_u64("i64");
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(
      wrong.error().message,
      "model.gguf: metadata key 'i64' holds i64 -3, needed is an integer that is not negative");
  EXPECT_NE(metadata.get_string("strings").error().message.find("an array of 2 string"),
            std::string::npos);
}

TEST(Metadata, ArraysAreConvertedWhenEveryItemFits) {
  Metadata metadata = sample();
  EXPECT_EQ(metadata.strings("strings").value()[1], "b");
  EXPECT_FALSE(metadata.strings("integers"));
  EXPECT_FALSE(metadata.strings("text"));
  EXPECT_EQ(metadata.i32_array("integers").value(), (std::vector<std::int32_t>{1, -2}));
  metadata.set("wide",
               {Type::kArray, GgufArray{Type::kU64, std::vector<std::uint64_t>{1, 1U << 31}}});
  EXPECT_FALSE(metadata.i32_array("wide"));
  metadata.set("bools", {Type::kArray, GgufArray{Type::kBool, std::vector<std::uint64_t>{1, 0}}});
  EXPECT_FALSE(metadata.i32_array("bools"));
  const std::vector<float> floats = {1.0F, 0.5F};
  metadata.set("floats", GgufValue::of_f32_array(floats));
  EXPECT_EQ(metadata.f32_array("floats").value(), floats);
  EXPECT_FALSE(metadata.f32_array("integers"));
}

TEST(Metadata, SetReplacesInPlaceAndEraseKeepsTheOrder) {
  Metadata metadata = sample();
  metadata.set("u8", GgufValue::of_u32(9));
  EXPECT_EQ(metadata.entries()[0].first, "u8");
  EXPECT_EQ(metadata.get_u64("u8").value(), 9U);
  EXPECT_TRUE(metadata.erase("i64"));
  EXPECT_FALSE(metadata.erase("i64"));
  EXPECT_EQ(metadata.entries()[1].first, "u64");
  for (const auto& [key, value] : metadata.entries()) {
    EXPECT_EQ(metadata.find(key), &value) << "the index follows the entries";
  }
}

}  // namespace
}  // namespace paring::io
