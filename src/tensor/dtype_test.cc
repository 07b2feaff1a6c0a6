// SPDX-License-Identifier: Apache-2.0
// The table of types: ids, sizes and the errors of the lookups.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace paring {
namespace {

constexpr DType kTypes[] = {
#define PARING_DTYPE(enumerator, name, id, block, bytes) DType::enumerator,
#include "tensor/dtypes.def"
#undef PARING_DTYPE
};

TEST(DTypes, IdsAndNamesAreUniqueAndFoundAgain) {
  std::set<std::string> names;
  std::set<std::uint32_t> ids;
  for (const DType type : kTypes) {
    const DTypeInfo& info = dtype_info(type);
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(ids.insert(static_cast<std::uint32_t>(type)).second) << info.name;
    EXPECT_EQ(dtype_from_id(static_cast<std::uint32_t>(type)), type);
    EXPECT_EQ(dtype_from_name(info.name).value(), type);
    EXPECT_GT(info.block_bytes, 0U);
    EXPECT_GT(info.block_values, 0U);
  }
}

TEST(DTypes, BitsPerWeightIncludeTheScales) {
  EXPECT_DOUBLE_EQ(dtype_info(DType::kF32).bits_per_weight(), 32.0);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kBF16).bits_per_weight(), 16.0);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ8_0).bits_per_weight(), 8.5);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ5_1).bits_per_weight(), 6.0);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ5_0).bits_per_weight(), 5.5);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ4_1).bits_per_weight(), 5.0);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ4_0).bits_per_weight(), 4.5);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ4_K).bits_per_weight(), 4.5);
  EXPECT_DOUBLE_EQ(dtype_info(DType::kQ6_K).bits_per_weight(), 6.5625);
}

TEST(DTypes, UnknownIdIsNoType) {
  EXPECT_FALSE(dtype_from_id(4).has_value());  // a type that GGUF removed
  EXPECT_FALSE(dtype_from_id(0xffffffffU).has_value());
}

TEST(DTypes, NamesAreFoundInAnyCaseAndUnknownOnesListTheChoices) {
  EXPECT_EQ(dtype_from_name("q4_0").value(), DType::kQ4_0);
  EXPECT_EQ(dtype_from_name("Bf16").value(), DType::kBF16);
  const auto unknown = dtype_from_name("q7_0");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().text().find("'q7_0'"), std::string::npos);
  EXPECT_NE(unknown.error().text().find("Q4_0"), std::string::npos);
  EXPECT_FALSE(dtype_from_name(""));
}

TEST(DTypes, RowBytesCountWholeBlocksOnly) {
  EXPECT_EQ(dtype_row_bytes(DType::kQ4_0, 576).value(), 576U / 32U * 18U);
  EXPECT_EQ(dtype_row_bytes(DType::kF16, 3).value(), 6U);
  EXPECT_EQ(dtype_row_bytes(DType::kQ8_0, 0).value(), 0U);
  const auto odd = dtype_row_bytes(DType::kQ4_K, 576);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(odd.error().text().find("576"), std::string::npos);
  EXPECT_NE(odd.error().text().find("256"), std::string::npos);
  EXPECT_NE(odd.error().text().find("Q5_1"), std::string::npos);
  EXPECT_NE(dtype_row_bytes(DType::kQ8_0, 33).error().text().find("F16"), std::string::npos);
}

}  // namespace
}  // namespace paring
