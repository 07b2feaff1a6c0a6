// SPDX-License-Identifier: Apache-2.0
// matmul_bf16 of every level that has it: to the last bit what the level's instruction is said to
// give, and within a bound of sums in double. AMX by emulation where the CPU lacks it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "kernels/test_amx.h"
#include "kernels/test_matmul.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

std::vector<const KernelTable*> levels_with_bf16() {
  std::vector<const KernelTable*> tables;
  for (const IsaLevel& level : isa_levels()) {
    if (level.supported() && level.missing_for_bf16() == nullptr) tables.push_back(level.table);
  }
  const KernelTable* amx = amx_or_emulated();
  if (amx != nullptr && find_kernels("amx") == nullptr) tables.push_back(amx);
  return tables;
}

bool is_reference(const KernelTable& table) { return std::string_view(table.isa) == "reference"; }

std::vector<DType> all_types() {
  std::vector<DType> types(std::begin(kFloatTypes), std::end(kFloatTypes));
  types.insert(types.end(), std::begin(kBlockTypes), std::end(kBlockTypes));
  return types;
}

std::vector<float> run(const KernelTable& table, const PackedMatrix& w, const std::vector<float>& x,
                       std::size_t tokens) {
  std::vector<float> y(tokens * w.rows, NAN);
  table.matmul_bf16(w, x.data(), w.cols, tokens, y.data(), w.rows, {0, w.panels()});
  return y;
}

float flushed(float value) { return std::fabs(value) < 0x1p-126F ? 0.0F : value; }
float rounded(float value) {
  return flushed(quant::bf16_to_f32(quant::f32_to_bf16(flushed(value))));
}

// vdpbf16ps: one sum; of a pair of columns the second is added first.
float vector_dot(const std::vector<float>& w, const float* x) {
  float sum = 0;
  for (std::size_t k = 0; k < w.size(); k += 2) {
    if (k + 1 < w.size()) sum = flushed(std::fma(rounded(w[k + 1]), rounded(x[k + 1]), sum));
    sum = flushed(std::fma(rounded(w[k]), rounded(x[k]), sum));
  }
  return sum;
}

// tdpbf16ps over 32 columns at a time: even and odd columns apart.
float tile_dot(const std::vector<float>& w, const float* x) {
  float sum = 0;
  for (std::size_t first = 0; first < w.size(); first += 32) {
    float parts[2] = {0, 0};
    for (std::size_t k = first; k < std::min(first + 32, w.size()); ++k) {
      parts[k % 2] = flushed(std::fma(rounded(w[k]), rounded(x[k]), parts[k % 2]));
    }
    sum = flushed(sum + flushed(parts[0] + parts[1]));
  }
  return sum;
}

struct Shape {
  std::size_t rows;
  std::size_t cols;
  std::size_t tokens;
};

// Widths of one pass and several, whole groups of columns and not.
std::vector<Shape> shapes_of(DType type) {
  std::vector<Shape> shapes = {{1, 32, 1}, {37, 96, 13}, {16, 544, 33}, {50, 1056, 49}};
  for (Shape& shape : shapes) shape.cols = whole_blocks(type, shape.cols);
  if (dtype_info(type).block_values == 1) {
    shapes.insert(shapes.end(), {{17, 1, 2}, {40, 37, 14}, {33, 515, 70}, {5, 1023, 17}});
  }
  return shapes;
}

TEST(Bf16, ProductsAreWhatTheInstructionGivesBitForBit) {
  for (const KernelTable* table : levels_with_bf16()) {
    if (is_reference(*table)) continue;
    const auto dot = std::string_view(table->isa) == "amx" ? tile_dot : vector_dot;
    for (DType type : all_types()) {
      for (const Shape& shape : shapes_of(type)) {
        const PackedMatrix w = random_matrix(type, shape.rows, shape.cols, 31);
        const std::vector<float> x = random_floats(shape.tokens * shape.cols, 32);
        const std::vector<float> y = run(*table, w, x, shape.tokens);
        std::vector<float> row(shape.cols);
        for (std::size_t n = 0; n < shape.rows; ++n) {
          unpack_row_f32(w, n, row.data());
          for (std::size_t t = 0; t < shape.tokens; ++t) {
            ASSERT_EQ(y[t * shape.rows + n], dot(row, &x[t * shape.cols]))
                << table->isa << " " << dtype_name(type) << " " << shape.rows << "x" << shape.cols
                << " row " << n << " token " << t;
          }
        }
      }
    }
  }
}

// Each factor is rounded by at most 2^-9 of itself, each of the `cols` additions by 2^-24 of what
// is there.
TEST(Bf16, ProductsAreNearExactOnes) {
  for (const KernelTable* table : levels_with_bf16()) {
    for (DType type : all_types()) {
      for (const Shape& shape : shapes_of(type)) {
        const PackedMatrix w = random_matrix(type, shape.rows, shape.cols, 33);
        const std::vector<float> x = random_floats(shape.tokens * shape.cols, 34);
        const std::vector<float> y = run(*table, w, x, shape.tokens);
        const std::vector<float> truth = run_matmul_f(reference_kernels(), w, x, shape.tokens);
        std::vector<float> row(shape.cols);
        for (std::size_t n = 0; n < shape.rows; ++n) {
          unpack_row_f32(w, n, row.data());
          for (std::size_t t = 0; t < shape.tokens; ++t) {
            double magnitude = 0;
            for (std::size_t k = 0; k < shape.cols; ++k) {
              magnitude += std::fabs(static_cast<double>(row[k]) * x[t * shape.cols + k]);
            }
            const double sums = static_cast<double>(shape.cols + 2) * 0x1p-24;
            const double bound = magnitude * (0x1p-8 + 0x1p-18) * (1 + sums) + magnitude * sums;
            ASSERT_NEAR(y[t * shape.rows + n], truth[t * shape.rows + n], bound + 1e-30)
                << table->isa << " " << dtype_name(type) << " row " << n << " token " << t;
          }
        }
      }
    }
  }
}

// The order depends on the columns alone: not on the tokens of a step, nor on the panels of a call.
TEST(Bf16, ATokensResultDependsOnNoOtherTokenOrPanel) {
  constexpr std::size_t kTokens = 70;
  constexpr std::size_t kRows = 53;
  for (const KernelTable* table : levels_with_bf16()) {
    for (DType type : {DType::kF16, DType::kQ4_K}) {
      const std::size_t cols = whole_blocks(type, 600);
      const PackedMatrix w = random_matrix(type, kRows, cols, 35);
      const std::vector<float> x = random_floats(kTokens * cols, 36);
      const std::vector<float> all = run(*table, w, x, kTokens);
      for (std::size_t tokens = 1; tokens < kTokens; ++tokens) {
        const std::vector<float> want(all.begin(), all.begin() + tokens * kRows);
        ASSERT_TRUE(same_bits(run(*table, w, x, tokens), want)) << table->isa << " " << tokens;
      }
      constexpr std::size_t kStride = 60;
      std::vector<float> y(kTokens * kStride, 7.0F);
      table->matmul_bf16(w, x.data(), cols, kTokens, y.data(), kStride, {3, 4});
      table->matmul_bf16(w, x.data(), cols, kTokens, y.data(), kStride, {1, 2});
      for (std::size_t t = 0; t < kTokens; ++t) {
        for (std::size_t n = 0; n < kStride; ++n) {
          const bool is_written = (n >= 16 && n < 32) || (n >= 48 && n < kRows);
          ASSERT_EQ(y[t * kStride + n], is_written ? all[t * kRows + n] : 7.0F)
              << table->isa << " " << t << " " << n;
        }
      }
    }
  }
}

TEST(Bf16, DenormalsAreZeroAndInfinitiesStay) {
  constexpr std::size_t kCols = 32;
  const float tiny = 0x1p-127F;
  for (const KernelTable* table : levels_with_bf16()) {
    std::vector<float> weights(kCols, 1.0F);
    weights[3] = tiny;
    const PackedMatrix w =
        pack(DType::kF32, reinterpret_cast<const std::byte*>(weights.data()), 1, kCols).value();
    std::vector<float> x(kCols, 0.0F);
    x[3] = 0x1p100F;  // 2^-27 if the weight counted
    x[4] = tiny;
    EXPECT_EQ(run(*table, w, x, 1)[0], 0.0F) << table->isa;
    x[5] = INFINITY;
    EXPECT_EQ(run(*table, w, x, 1)[0], INFINITY) << table->isa;
    x[6] = NAN;
    EXPECT_TRUE(std::isnan(run(*table, w, x, 1)[0])) << table->isa;
  }
}

TEST(Bf16, LevelsSayWhetherTheyHaveIt) {
  for (const IsaLevel& level : isa_levels()) {
    EXPECT_EQ(level.table->matmul_bf16 == nullptr,
              level.missing_for_bf16() != nullptr &&
                  level.table->bf16_from.float_types == Bf16Tokens::kNever)
        << level.name;
    if (!level.supported()) continue;
    ASSERT_TRUE(select_isa(level.name).has_value());
    auto fast = check_fast();
    EXPECT_EQ(fast.has_value(), level.missing_for_bf16() == nullptr) << level.name;
    if (fast) continue;
    EXPECT_EQ(fast.error().code, ErrorCode::kUnsupported);
    EXPECT_NE(fast.error().message.find(level.name), std::string::npos);
    EXPECT_NE(fast.error().hint.find("reference"), std::string::npos);
  }
  ASSERT_TRUE(select_isa(nullptr).has_value());
}

}  // namespace
}  // namespace paring::kernels
