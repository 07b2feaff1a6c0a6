// SPDX-License-Identifier: Apache-2.0
// Decoders bit for bit against golden files of the gguf package, f16 and bf16 conversions against a
// definition, and properties that every format must have.
#include "quant/format.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "quant/super_block.h"

namespace paring::quant {
namespace {

std::vector<std::byte> read_golden(const std::string& name) {
  std::ifstream file(std::string(PARING_SOURCE_DIR) + "/tests/data/quant/" + name,
                     std::ios::binary);
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(text.empty()) << name << " is missing";
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

class BlockFormat : public testing::TestWithParam<const char*> {};

TEST_P(BlockFormat, DecodesGoldenBlocksBitForBit) {
  const DType type = dtype_from_name(GetParam()).value();
  const Format* format = require_format(type).value();
  const DTypeInfo& info = dtype_info(type);
  const std::vector<std::byte> golden = read_golden(std::string(GetParam()) + ".bin");
  const std::size_t unit = info.block_bytes + info.block_values * sizeof(float);
  ASSERT_EQ(golden.size() % unit, 0U);
  const std::size_t blocks = golden.size() / unit;
  ASSERT_EQ(blocks, info.block_values == kSuperValues ? 20U : 64U);
  const std::size_t values = blocks * info.block_values;
  std::vector<float> expected(values);
  std::memcpy(expected.data(), golden.data() + blocks * info.block_bytes, values * sizeof(float));
  std::vector<float> decoded(values);
  format->decode(golden.data(), decoded.data(), values);
  for (std::size_t i = 0; i < values; ++i) {
    // -0 and +0 compare equal: min + 0 * scale may differ in the sign of zero.
    if (decoded[i] == 0.0F && expected[i] == 0.0F) continue;
    ASSERT_EQ(bits_of(decoded[i]), bits_of(expected[i])) << "value " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, BlockFormat,
                         testing::Values("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K",
                                         "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"),
                         [](const auto& param) { return std::string(param.param); });

TEST(Bf16, AgreesWithGoldenFile) {
  const std::vector<std::byte> golden = read_golden("BF16.bin");
  const std::size_t count = golden.size() / (4 + 2 + 4);
  ASSERT_EQ(count, 2048U);
  std::vector<float> source(count), widened(count);
  std::vector<std::uint16_t> codes(count);
  std::memcpy(source.data(), golden.data(), count * 4);
  std::memcpy(codes.data(), golden.data() + count * 4, count * 2);
  std::memcpy(widened.data(), golden.data() + count * 6, count * 4);
  const Format* format = find_format(DType::kBF16);
  std::vector<std::uint16_t> encoded(count);
  format->encode(source.data(), nullptr, reinterpret_cast<std::byte*>(encoded.data()), count);
  std::vector<float> decoded(count);
  format->decode(reinterpret_cast<const std::byte*>(codes.data()), decoded.data(), count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(encoded[i], codes[i]) << "value " << i << " " << source[i];
    ASSERT_EQ(bits_of(decoded[i]), bits_of(widened[i]));
  }
}

// The value of a half by its definition, in double.
double half_by_definition(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  const double sign = half & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(F16, WidensEveryPatternExactly) {
  for (std::uint32_t code = 0; code <= 0xffffU; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    const double expected = half_by_definition(half);
    const float widened = f16_to_f32(half);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(widened)) << code;
      ASSERT_TRUE((f32_to_f16(widened) & 0x7fffU) > 0x7c00U) << "NaN must stay NaN: " << code;
      continue;
    }
    ASSERT_EQ(static_cast<double>(widened), expected) << code;
    ASSERT_EQ(std::signbit(widened), (half & 0x8000U) != 0) << code;
    ASSERT_EQ(f32_to_f16(widened), half) << code;
  }
}

TEST(F16, NarrowsToTheNearestAndTiesToEven) {
  for (std::uint32_t code = 0; code < 0x7c00U; ++code) {
    const auto low = static_cast<std::uint16_t>(code);
    const double below = half_by_definition(low);
    // The first value past the largest half is where infinity would lie with one more exponent.
    const double above =
        code == 0x7bffU ? 65536.0 : half_by_definition(static_cast<std::uint16_t>(code + 1));
    const auto middle = static_cast<float>((below + above) / 2);  // exact in f32
    const auto even = static_cast<std::uint16_t>(code + (code & 1U));
    ASSERT_EQ(f32_to_f16(middle), even) << code;
    ASSERT_EQ(f32_to_f16(-middle), even | 0x8000U) << code;
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 0.0F)), code);
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 1e30F)), code + 1);
  }
  EXPECT_EQ(f32_to_f16(3.4e38F), 0x7c00U);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::infinity()), 0xfc00U);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0U);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000U);
  // A NaN whose payload lies in the lost bits only must not become infinity.
  EXPECT_GT(f32_to_f16(std::bit_cast<float>(0x7f800001U)) & 0x7fffU, 0x7c00U);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001U)))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7fffffffU)))));
}

TEST(Formats, ListHoldsEachTypeOnceAndRefusesOthersByName) {
  std::set<DType> seen;
  for (const Format& format : formats()) {
    EXPECT_TRUE(seen.insert(format.type).second);
    EXPECT_EQ(find_format(format.type), &format);
    EXPECT_EQ(format.is_block_quantized, dtype_info(format.type).block_values > 1);
  }
  EXPECT_EQ(seen.size(), 15U);
  const auto missing = require_format(DType::kI32);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(missing.error().text().find("I32"), std::string::npos);
  EXPECT_NE(missing.error().text().find("Q4_0"), std::string::npos);
}

class SuperBlocks : public testing::TestWithParam<DType> {};

TEST_P(SuperBlocks, AnyBytesComeApartWithinTheBoundsAndTogetherAgain) {
  const SuperLayout& layout = *find_super_layout(GetParam());
  ASSERT_EQ(layout.bytes, dtype_info(GetParam()).block_bytes);
  std::mt19937 random(21);
  std::vector<std::byte> block(layout.bytes), again(layout.bytes);
  std::set<int> scales, codes;
  for (int turn = 0; turn < 500; ++turn) {
    for (std::byte& byte : block) byte = static_cast<std::byte>(random());
    SuperBlock parts;
    layout.take_apart(block.data(), parts);
    for (std::size_t j = 0; j < layout.sub_blocks(); ++j) {
      scales.insert(parts.sub_scales[j]);
      ASSERT_LE(parts.sub_mins[j], layout.sub_min_highest);
    }
    codes.insert(std::begin(parts.codes), std::end(parts.codes));
    layout.put_together(parts, again.data());
    ASSERT_EQ(std::memcmp(block.data(), again.data(), layout.bytes), 0);
  }
  EXPECT_EQ(*scales.begin(), layout.sub_scale_lowest);
  EXPECT_EQ(*scales.rbegin(), layout.sub_scale_highest);
  EXPECT_EQ(*codes.begin(), layout.lowest);
  EXPECT_EQ(*codes.rbegin(), layout.highest);
}

INSTANTIATE_TEST_SUITE_P(All, SuperBlocks,
                         testing::Values(DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
                                         DType::kQ6_K, DType::kIQ4_XS),
                         [](const auto& param) { return std::string(dtype_name(param.param)); });

// The encoders' search has no branch on the data that could leave a byte unwritten: every format
// decodes its own output back to itself when values already lie on a grid.
TEST(Formats, EncodeWritesEveryByteOfARow) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (const Format& format : formats()) {
    const std::size_t values = 5 * dtype_info(format.type).block_values;
    std::vector<float> row(values);
    for (float& value : row) value = normal(random);
    const std::size_t bytes = dtype_row_bytes(format.type, values).value();
    std::vector<std::byte> first(bytes + 16, std::byte{0x00}), second(bytes + 16, std::byte{0xff});
    format.encode(row.data(), nullptr, first.data(), values);
    format.encode(row.data(), nullptr, second.data(), values);
    EXPECT_EQ(std::memcmp(first.data(), second.data(), bytes), 0) << dtype_name(format.type);
    for (std::size_t i = bytes; i < bytes + 16; ++i) {
      ASSERT_EQ(first[i], std::byte{0x00}) << dtype_name(format.type) << " wrote past the row";
    }
  }
}

}  // namespace
}  // namespace paring::quant
