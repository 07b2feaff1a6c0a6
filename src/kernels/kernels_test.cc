// SPDX-License-Identifier: Apache-2.0
// Every instruction-set level of this machine against the reference, and against each other bit for
// bit, over awkward shapes. Prints which levels ran.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "kernels/test_amx.h"
#include "kernels/test_levels.h"
#include "kernels/test_matmul.h"
#include "quant/format.h"
#include "quant/super_block.h"

namespace paring::kernels {
namespace {

constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
// Bound for a sum of n rounded f32 terms, relative to the sum of their magnitudes.
constexpr double kEpsilon = 1.1920929e-7;

// sum_k |w[n][k] x[t][k]|, the size that rounding errors are measured by.
double magnitude(const std::vector<float>& row, const float* x) {
  double sum = 0;
  for (std::size_t k = 0; k < row.size(); ++k) sum += std::fabs(static_cast<double>(row[k]) * x[k]);
  return sum;
}

void expect_close(const PackedMatrix& w, const std::vector<float>& x, std::size_t tokens,
                  const std::vector<float>& y, const std::vector<float>& truth, double terms) {
  std::vector<float> row(w.cols);
  for (std::size_t n = 0; n < w.rows; ++n) {
    unpack_row_f32(w, n, row.data());
    for (std::size_t t = 0; t < tokens; ++t) {
      // Activation rounding can add up to half a step of 1/127 of a group's maximum.
      const double bound = kEpsilon * (terms + 4) * (1.1 * magnitude(row, &x[t * w.cols]) + 0.1);
      ASSERT_NEAR(y[t * w.rows + n], truth[t * w.rows + n], bound) << "row " << n << " token " << t;
    }
  }
}

struct Shape {
  std::size_t rows;
  std::size_t cols;
  std::size_t tokens;
};
constexpr Shape kShapes[] = {{1, 32, 1},    {15, 64, 2},   {16, 96, 3},   {17, 32, 4},
                             {33, 160, 5},  {100, 96, 7},  {129, 64, 13}, {65, 2080, 3},
                             {48, 576, 17}, {31, 1536, 9}, {16, 4128, 1}, {20, 8224, 2}};

// The shapes of a type, whose rows are whole blocks.
std::vector<Shape> shapes_of(DType type) {
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  for (Shape& shape : shapes) shape.cols = whole_blocks(type, shape.cols);
  return shapes;
}

TEST(Kernels, PrintsTheLevelsThatRan) {
  ASSERT_GE(isa_levels().size(), 1U);
  for (const IsaLevel& level : isa_levels()) {
    const bool runs = level.supported();
    const bool is_emulated = !runs && level.table == amx_or_emulated();
    std::fprintf(stderr, "kernels: level %s %s\n", level.name,
                 runs          ? "is exercised"
                 : is_emulated ? "is exercised by emulation"
                               : "cannot run on this CPU and is NOT exercised");
    EXPECT_STREQ(level.table->isa, level.name);
    EXPECT_EQ(find_kernels(level.name), runs ? level.table : nullptr);
  }
  EXPECT_STREQ(isa_levels().back().name, "reference");
  EXPECT_EQ(find_kernels("no such level"), nullptr);
}

TEST(Kernels, SelectedLevelIsTheOneInUse) {
  for (const KernelTable* table : fast_levels()) {
    ASSERT_TRUE(select_isa(table->isa).has_value());
    EXPECT_STREQ(kernels().isa, table->isa);
  }
  ASSERT_TRUE(select_isa("reference").has_value());
  EXPECT_STREQ(kernels().isa, "reference");
  const Result<void> unknown = select_isa("mmx");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(const_cast<Result<void>&>(unknown).error().code, ErrorCode::kNotFound);
  EXPECT_STREQ(kernels().isa, "reference");
  ASSERT_TRUE(select_isa(nullptr).has_value());
}

TEST(Kernels, QuantizeRowsEqualsTheReference) {
  constexpr std::size_t kTokens = 3;
  constexpr std::size_t kCols = 256;
  std::vector<float> x = random_floats(kTokens * kCols, 1);
  for (std::size_t i = 32; i < 64; ++i) x[i] = 0;        // a group of zeros
  for (std::size_t i = 64; i < 96; ++i) x[i] *= 1e-42F;  // scale is denormal
  for (std::size_t i = 96; i < 128; ++i) x[i] = static_cast<float>(i % 5) - 2.5F;  // halfway codes
  x[96] = 127;
  x[128] = 3e38F;
  const Quantized truth = quantize(reference_kernels(), x, kTokens, kCols);
  for (const KernelTable* table : fast_levels()) {
    SCOPED_TRACE(table->isa);
    const Quantized ours = quantize(*table, x, kTokens, kCols);
    const std::size_t groups = kTokens * kCols / kGroupValues;
    EXPECT_EQ(0, std::memcmp(ours.rows.codes, truth.rows.codes, kTokens * kCols));
    EXPECT_EQ(0, std::memcmp(ours.rows.scales, truth.rows.scales, groups * 4));
    EXPECT_EQ(0, std::memcmp(ours.rows.code_sums, truth.rows.code_sums, groups * 8));
    EXPECT_EQ(0, std::memcmp(ours.rows.value_sums, truth.rows.value_sums, groups * 4));
  }
  for (std::size_t half = 0; half < kTokens * kCols / 16; ++half) {
    int sum = 0;
    for (std::size_t i = 0; i < 16; ++i) sum += truth.rows.codes[half * 16 + i];
    EXPECT_EQ(truth.rows.code_sums[half], sum);
  }
  const QuantizedRows last = truth.rows.from_row(kTokens - 1);
  EXPECT_EQ(last.codes - truth.rows.codes, 2 * kCols);
  EXPECT_EQ(last.scales - truth.rows.scales, 2 * kCols / 32);
  EXPECT_EQ(last.code_sums - truth.rows.code_sums, 2 * kCols / 16);
  EXPECT_EQ(last.value_sums - truth.rows.value_sums, 2 * kCols / 32);
  EXPECT_EQ(truth.rows.scales[1], 0.0F);
  EXPECT_EQ(truth.rows.codes[128], 127);
}

TEST(Kernels, MatmulQuantizedAgreesWithTheReferenceAndAcrossLevels) {
  for (DType type : kBlockTypes) {
    for (const Shape& shape : shapes_of(type)) {
      SCOPED_TRACE(testing::Message() << dtype_name(type) << " " << shape.rows << "x" << shape.cols
                                      << " tokens " << shape.tokens);
      const PackedMatrix w = random_matrix(type, shape.rows, shape.cols, 3);
      const std::vector<float> x = random_floats(shape.tokens * shape.cols, 4);
      const std::vector<float> truth = run_matmul_q(reference_kernels(), w, x, shape.tokens);
      std::vector<float> first;
      for (const KernelTable* table : levels_to_test()) {
        SCOPED_TRACE(table->isa);
        const std::vector<float> y = run_matmul_q(*table, w, x, shape.tokens);
        expect_close(w, x, shape.tokens, y, truth, static_cast<double>(shape.cols) / 16);
        if (first.empty()) first = y;
        EXPECT_TRUE(same_bits(first, y));
      }
    }
  }
}

TEST(Kernels, MatmulQuantizedHoldsTheLargestCodes) {
  // Codes at their limits: overflow of an int16 or int32 sum would show.
  for (DType type : kBlockTypes) {
    for (int pattern : {0x00, 0x7f, 0x80, 0xff}) {
      SCOPED_TRACE(testing::Message() << dtype_name(type) << " pattern " << pattern);
      std::mt19937 random(5);
      const std::size_t cols = whole_blocks(type, 64);
      std::vector<std::byte> bytes(16 * *dtype_row_bytes(type, cols),
                                   static_cast<std::byte>(pattern));
      randomize_halves(type, bytes, random);
      const PackedMatrix w = pack(type, bytes.data(), 16, cols).value();
      for (float sign : {1.0F, -1.0F}) {
        // As stored and unpacked.
        for (std::size_t tokens : {2, 7}) {
          const std::vector<float> x(cols * tokens, sign);
          const std::vector<float> truth = run_matmul_q(reference_kernels(), w, x, tokens);
          for (const KernelTable* table : levels_to_test()) {
            SCOPED_TRACE(table->isa);
            expect_close(w, x, tokens, run_matmul_q(*table, w, x, tokens), truth, 4);
          }
        }
      }
    }
  }
}

TEST(Kernels, MatmulFloatAgreesWithTheReferenceAndAcrossLevels) {
  std::vector<DType> types(std::begin(kFloatTypes), std::end(kFloatTypes));
  types.insert(types.end(), std::begin(kBlockTypes), std::end(kBlockTypes));
  for (DType type : types) {
    std::vector<Shape> shapes = shapes_of(type);
    if (dtype_info(type).block_values == 1) shapes.insert(shapes.end(), {{17, 1, 2}, {40, 37, 14}});
    for (const Shape& shape : shapes) {
      SCOPED_TRACE(testing::Message() << dtype_name(type) << " " << shape.rows << "x" << shape.cols
                                      << " tokens " << shape.tokens);
      const PackedMatrix w = random_matrix(type, shape.rows, shape.cols, 6);
      const std::vector<float> x = random_floats(shape.tokens * shape.cols, 7);
      const std::vector<float> truth = run_matmul_f(reference_kernels(), w, x, shape.tokens);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
        SCOPED_TRACE(table->isa);
        const std::vector<float> y = run_matmul_f(*table, w, x, shape.tokens);
        expect_close(w, x, shape.tokens, y, truth, static_cast<double>(shape.cols));
        if (first.empty()) first = y;
        EXPECT_TRUE(same_bits(first, y));
      }
    }
  }
}

// The reference takes panels apart by a code of its own: it must find what the format decodes.
TEST(Kernels, ReferenceDecodesEveryTypeExactly) {
  for (DType type : kBlockTypes) {
    const std::size_t cols = whole_blocks(type, 64);
    const std::size_t rows = 18;
    const auto bytes = random_rows(type, rows, cols, 15);
    const PackedMatrix w = pack(type, bytes.data(), rows, cols).value();
    std::vector<float> x(cols * cols, 0.0F);  // token k asks for column k
    for (std::size_t k = 0; k < cols; ++k) x[k * cols + k] = 1.0F;
    const std::vector<float> y = run_matmul_f(reference_kernels(), w, x, cols);
    std::vector<float> row(cols);
    for (std::size_t n = 0; n < rows; ++n) {
      quant::find_format(type)->decode(bytes.data() + n * (bytes.size() / rows), row.data(), cols);
      for (std::size_t k = 0; k < cols; ++k) {
        ASSERT_EQ(y[k * rows + n], row[k]) << dtype_name(type) << " row " << n << " column " << k;
      }
    }
  }
}

// The order that ops.h promises, spelled out.
TEST(Kernels, MatmulFollowsTheContractedSummationOrder) {
  const std::vector<float> x = random_floats(576, 8);
  const PackedMatrix plain = random_matrix(DType::kF16, 16, 576, 9);
  const PackedMatrix mins = random_matrix(DType::kQ5_1, 16, 576, 9);
  for (const KernelTable* table : levels_to_test()) {
    SCOPED_TRACE(table->isa);
    const std::vector<float> y_plain = run_matmul_f(*table, plain, x, 1);
    const std::vector<float> y_mins = run_matmul_q(*table, mins, x, 1);
    const Quantized quantized = quantize(*table, x, 1, 576);
    std::vector<float> row(576);
    for (std::size_t n = 0; n < 16; ++n) {
      unpack_row_f32(plain, n, row.data());
      float sum = 0;
      for (std::size_t k = 0; k < 576; ++k) sum = std::fma(row[k], x[k], sum);
      EXPECT_EQ(y_plain[n], sum);
      float blocks = 0;
      for (std::size_t g = 0; g < mins.groups(); ++g) {
        const auto* codes = mins.codes.as<std::uint8_t>();
        int products = 0;
        for (std::size_t k = g * 32; k < (g + 1) * 32; ++k) {
          const std::uint8_t pair = codes[(k / 8 * 16 + n) * 4 + k % 4];
          const std::uint64_t word = mins.high.as<std::uint64_t>()[k / 4];
          const int code = (k % 8 < 4 ? pair & 15 : pair >> 4) +
                           static_cast<int>((word >> (4 * n + k % 4)) & 1) * 16;
          products += code * quantized.rows.codes[k];
        }
        const float scale = quant::f16_to_f32(mins.scales.as<std::uint16_t>()[g * 16 + n]);
        const float min = quant::f16_to_f32(mins.mins.as<std::uint16_t>()[g * 16 + n]);
        blocks = std::fma(quantized.rows.scales[g] * scale, static_cast<float>(products), blocks);
        blocks = std::fma(min, quantized.rows.value_sums[g], blocks);
      }
      EXPECT_EQ(y_mins[n], blocks);
    }
  }
}

// One row of a type with super-blocks times one token, from the parts that quant/ takes apart.
float super_dot(const quant::SuperLayout& layout, const std::byte* row, const QuantizedRows& x) {
  float acc = 0;
  quant::SuperBlock parts{};
  for (std::size_t g = 0; g < x.cols / 32; ++g) {
    if (g % 8 == 0) layout.take_apart(row + g / 8 * layout.bytes, parts);
    const float scale = quant::f16_to_f32(parts.scale);
    const float min = quant::f16_to_f32(parts.min_scale);
    const std::size_t halves = 32 / layout.sub_values;
    float t = 0;
    float t_min = 0;
    for (std::size_t h = 0; h < halves; ++h) {
      int products = 0;
      for (std::size_t i = 0; i < layout.sub_values; ++i) {
        const std::size_t k = h * layout.sub_values + i;
        const int code = parts.codes[g % 8 * 32 + k];
        products += (layout.is_codebook ? quant::kIq4Values[code] : code) * x.codes[g * 32 + k];
      }
      const std::size_t sub = g % 8 * halves + h;
      const float w_scale = scale * static_cast<float>(parts.sub_scales[sub]);
      const float w_min = 0 - min * static_cast<float>(parts.sub_mins[sub]);
      const auto sum = static_cast<float>(products);
      if (halves == 1) {
        acc = std::fma(x.scales[g] * w_scale, sum, acc);
        if (layout.sub_min_highest > 0) acc = std::fma(w_min, x.value_sums[g], acc);
      } else {
        t = h == 0 ? w_scale * sum : std::fma(w_scale, sum, t);
        t_min = h == 0 ? w_min : t_min;
        if (h == 1 && layout.sub_min_highest > 0) {
          t = std::fma(t_min, static_cast<float>(x.code_sums[2 * g]), t);
          t = std::fma(w_min, static_cast<float>(x.code_sums[2 * g + 1]), t);
        }
      }
    }
    if (halves == 2) acc = std::fma(x.scales[g], t, acc);
  }
  return acc;
}

TEST(Kernels, SuperBlocksFollowTheContractedSummationOrder) {
  constexpr std::size_t kCols = 768;
  constexpr std::size_t kRows = 16;
  for (DType type : kBlockTypes) {
    const quant::SuperLayout* layout = quant::find_super_layout(type);
    if (layout == nullptr) continue;
    const auto bytes = random_rows(type, kRows, kCols, 16);
    const PackedMatrix w = pack(type, bytes.data(), kRows, kCols).value();
    for (std::size_t tokens : {1, 9}) {
      const std::vector<float> x = random_floats(tokens * kCols, 17);
      for (const KernelTable* table : levels_to_test()) {
        const std::vector<float> y = run_matmul_q(*table, w, x, tokens);
        const Quantized quantized = quantize(*table, x, tokens, kCols);
        for (std::size_t i = 0; i < tokens * kRows; ++i) {
          const std::byte* row = bytes.data() + i % kRows * (bytes.size() / kRows);
          ASSERT_EQ(y[i], super_dot(*layout, row, quantized.rows.from_row(i / kRows)))
              << table->isa << " " << dtype_name(type) << " tokens " << tokens << " output " << i;
        }
      }
    }
  }
}

// A token alone, in a batch of any size, and any split of the panels: the same bits.
void expect_batch_invariant(const KernelTable& table, const PackedMatrix& w, bool is_quantized) {
  constexpr std::size_t kTokens = 80;  // more than a block of tiles
  const std::vector<float> x = random_floats(kTokens * w.cols, 10);
  const auto run = [&](std::size_t tokens) {
    const std::vector<float> part(x.begin(), x.begin() + tokens * w.cols);
    return is_quantized ? run_matmul_q(table, w, part, tokens)
                        : run_matmul_f(table, w, part, tokens);
  };
  std::vector<float> alone;
  for (std::size_t t = 0; t < kTokens; ++t) {
    const std::vector<float> one(x.begin() + t * w.cols, x.begin() + (t + 1) * w.cols);
    const std::vector<float> y =
        is_quantized ? run_matmul_q(table, w, one, 1) : run_matmul_f(table, w, one, 1);
    alone.insert(alone.end(), y.begin(), y.end());
  }
  for (std::size_t tokens = 1; tokens <= kTokens; tokens += tokens < 27 ? 1 : 9) {
    const std::vector<float> expected(alone.begin(), alone.begin() + tokens * w.rows);
    ASSERT_TRUE(same_bits(run(tokens), expected)) << "tokens " << tokens;
  }
  const Quantized quantized = quantize(table, x, kTokens, w.cols);
  for (std::size_t tokens : {std::size_t{1}, std::size_t{5}, kTokens}) {
    std::vector<float> y(tokens * w.rows, NAN);
    for (PanelRange range : {PanelRange{3, w.panels()}, PanelRange{0, 1}, PanelRange{1, 3}}) {
      if (is_quantized) {
        table.matmul_q(w, quantized.rows, tokens, y.data(), w.rows, range);
      } else {
        table.matmul_f(w, x.data(), w.cols, tokens, y.data(), w.rows, range);
      }
    }
    const std::vector<float> expected(alone.begin(), alone.begin() + tokens * w.rows);
    ASSERT_TRUE(same_bits(y, expected)) << "split panels, tokens " << tokens;
  }
}

TEST(Kernels, MatmulIsBatchInvariant) {
  for (const KernelTable* table : fast_levels()) {
    for (DType type : kBlockTypes) {
      for (std::size_t width : {192, 2144}) {
        const std::size_t cols = whole_blocks(type, width);
        SCOPED_TRACE(testing::Message() << table->isa << " " << dtype_name(type) << " " << cols);
        const PackedMatrix w = random_matrix(type, 167, cols, 11);
        expect_batch_invariant(*table, w, true);
        expect_batch_invariant(*table, w, false);
      }
    }
    for (DType type : kFloatTypes) {
      SCOPED_TRACE(testing::Message() << table->isa << " " << dtype_name(type));
      expect_batch_invariant(*table, random_matrix(type, 167, 517, 12), false);
    }
  }
}

// Writes only the rows of its range and only columns that exist.
TEST(Kernels, MatmulLeavesOtherOutputsAlone) {
  const PackedMatrix w = random_matrix(DType::kQ4_0, 37, 64, 13);
  const std::vector<float> x = random_floats(14 * 64, 14);
  for (const KernelTable* table : levels_to_test()) {
    const Quantized quantized = quantize(*table, x, 14, 64);
    for (int kind : {0, 1}) {
      std::vector<float> y(14 * 50, 7.0F);
      if (kind == 0) {
        table->matmul_q(w, quantized.rows, 14, y.data(), 50, {1, 3});
      } else {
        table->matmul_f(w, x.data(), 64, 14, y.data(), 50, {1, 3});
      }
      for (std::size_t t = 0; t < 14; ++t) {
        for (std::size_t n = 0; n < 50; ++n) {
          const bool is_written = n >= 16 && n < 37;
          EXPECT_EQ(y[t * 50 + n] == 7.0F, !is_written) << table->isa << " row " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace paring::kernels
