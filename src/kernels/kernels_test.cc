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
#include "kernels/test_levels.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

constexpr DType kFloatTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
constexpr DType kBlockTypes[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                 DType::kQ5_1};
// Bound for a sum of n rounded f32 terms, relative to the sum of their magnitudes.
constexpr double kEpsilon = 1.1920929e-7;

// Random codes of all values; scales and minima of both signs around 2^-7.
std::vector<std::byte> random_rows(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  const DTypeInfo& info = dtype_info(type);
  std::vector<std::byte> bytes(rows * *dtype_row_bytes(type, cols));
  if (info.block_values == 1) {
    const std::vector<float> values = random_floats(rows * cols, seed, 0.05F);
    quant::find_format(type)->encode(values.data(), nullptr, bytes.data(), values.size());
    return bytes;
  }
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  std::normal_distribution<float> normal(0.0F, 0.01F);
  const bool has_min = type == DType::kQ4_1 || type == DType::kQ5_1;
  for (std::size_t at = 0; at < bytes.size(); at += info.block_bytes) {
    const std::uint16_t halves[2] = {quant::f32_to_f16(normal(random)),
                                     quant::f32_to_f16(normal(random))};
    std::memcpy(bytes.data() + at, halves, has_min ? 4 : 2);
  }
  return bytes;
}

PackedMatrix random_matrix(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  return pack(type, random_rows(type, rows, cols, seed).data(), rows, cols).value();
}

// Activations in the form that matmul_q takes, with their memory.
struct Quantized {
  AlignedBuffer memory;
  QuantizedRows rows;
};

Quantized quantize(const KernelTable& table, const std::vector<float>& x, std::size_t tokens,
                   std::size_t cols) {
  Quantized quantized{AlignedBuffer::create(QuantizedRows::bytes(tokens, cols)).value(), {}};
  quantized.rows = QuantizedRows::place(quantized.memory.data(), tokens, cols);
  table.quantize_rows(x.data(), tokens, cols, cols, quantized.rows);
  return quantized;
}

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
                             {48, 576, 17}, {31, 1536, 9}, {16, 4128, 1}};

TEST(Kernels, PrintsTheLevelsThatRan) {
  std::size_t count = 0;
  const IsaLevel* levels = isa_levels(&count);
  ASSERT_GE(count, 1U);
  for (std::size_t i = 0; i < count; ++i) {
    const bool runs = levels[i].supported();
    std::fprintf(stderr, "kernels: level %s %s\n", levels[i].name,
                 runs ? "is exercised" : "cannot run on this CPU and is NOT exercised");
    EXPECT_STREQ(levels[i].table->isa, levels[i].name);
    EXPECT_EQ(find_kernels(levels[i].name), runs ? levels[i].table : nullptr);
  }
  EXPECT_STREQ(levels[count - 1].name, "reference");
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
    EXPECT_EQ(0, std::memcmp(ours.rows.code_sums, truth.rows.code_sums, groups * 4));
    EXPECT_EQ(0, std::memcmp(ours.rows.value_sums, truth.rows.value_sums, groups * 4));
  }
  EXPECT_EQ(truth.rows.scales[1], 0.0F);
  EXPECT_EQ(truth.rows.codes[128], 127);
}

std::vector<float> run_matmul_q(const KernelTable& table, const PackedMatrix& w,
                                const std::vector<float>& x, std::size_t tokens) {
  const Quantized quantized = quantize(table, x, tokens, w.cols);
  std::vector<float> y(tokens * w.rows, NAN);
  table.matmul_q(w, quantized.rows, tokens, y.data(), w.rows, {0, w.panels()});
  return y;
}

std::vector<float> run_matmul_f(const KernelTable& table, const PackedMatrix& w,
                                const std::vector<float>& x, std::size_t tokens) {
  std::vector<float> y(tokens * w.rows, NAN);
  table.matmul_f(w, x.data(), w.cols, tokens, y.data(), w.rows, {0, w.panels()});
  return y;
}

TEST(Kernels, MatmulQuantizedAgreesWithTheReferenceAndAcrossLevels) {
  for (DType type : kBlockTypes) {
    for (const Shape& shape : kShapes) {
      SCOPED_TRACE(testing::Message() << dtype_name(type) << " " << shape.rows << "x" << shape.cols
                                      << " tokens " << shape.tokens);
      const PackedMatrix w = random_matrix(type, shape.rows, shape.cols, 3);
      const std::vector<float> x = random_floats(shape.tokens * shape.cols, 4);
      const std::vector<float> truth = run_matmul_q(reference_kernels(), w, x, shape.tokens);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
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
      std::vector<std::byte> bytes = random_rows(type, 16, 64, 5);
      const DTypeInfo& info = dtype_info(type);
      const std::size_t head = type == DType::kQ4_1 || type == DType::kQ5_1 ? 4 : 2;
      for (std::size_t at = 0; at < bytes.size(); at += info.block_bytes) {
        std::memset(bytes.data() + at + head, pattern, info.block_bytes - head);
      }
      const PackedMatrix w = pack(type, bytes.data(), 16, 64).value();
      for (float sign : {1.0F, -1.0F}) {
        const std::vector<float> x(64 * 2, sign);
        const std::vector<float> truth = run_matmul_q(reference_kernels(), w, x, 2);
        for (const KernelTable* table : fast_levels()) {
          SCOPED_TRACE(table->isa);
          expect_close(w, x, 2, run_matmul_q(*table, w, x, 2), truth, 4);
        }
      }
    }
  }
}

TEST(Kernels, MatmulFloatAgreesWithTheReferenceAndAcrossLevels) {
  std::vector<DType> types(std::begin(kFloatTypes), std::end(kFloatTypes));
  types.insert(types.end(), std::begin(kBlockTypes), std::end(kBlockTypes));
  for (DType type : types) {
    std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
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

// The order that ops.h promises, spelled out.
TEST(Kernels, MatmulFollowsTheContractedSummationOrder) {
  const std::vector<float> x = random_floats(576, 8);
  const PackedMatrix plain = random_matrix(DType::kF16, 16, 576, 9);
  const PackedMatrix mins = random_matrix(DType::kQ5_1, 16, 576, 9);
  for (const KernelTable* table : fast_levels()) {
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

// A token alone, in a batch of any size, and any split of the panels: the same bits.
void expect_batch_invariant(const KernelTable& table, const PackedMatrix& w, bool is_quantized) {
  constexpr std::size_t kTokens = 33;
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
  for (std::size_t tokens = 1; tokens <= kTokens; ++tokens) {
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
      for (std::size_t cols : {192, 2144}) {
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
  for (const KernelTable* table : fast_levels()) {
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
