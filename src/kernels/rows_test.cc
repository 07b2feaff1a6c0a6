// SPDX-License-Identifier: Apache-2.0
// Norm, activation and sums over logits: every level against the reference, and against each other
// bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ops.h"
#include "kernels/test_levels.h"

namespace paring::kernels {
namespace {

constexpr std::size_t kWidths[] = {1, 7, 15, 16, 17, 31, 32, 33, 97, 576, 1537};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// |a - b| within `ulps` steps of b, or within one step of the smallest normal number.
void expect_ulps(float a, double b, double ulps) {
  ASSERT_NEAR(a, b, ulps * 6e-8 * std::fabs(b) + 1e-38) << "expected " << b;
}

TEST(Rows, NormAgrees) {
  for (std::size_t width : kWidths) {
    // One element further, so that rows are misaligned.
    const std::vector<float> x = random_floats(width + 1, 1, 3.0F);
    const std::vector<float> weight = random_floats(width + 1, 2);
    std::vector<float> truth(width);
    reference_kernels().rms_norm(x.data() + 1, weight.data() + 1, truth.data(), width, 1e-5F);
    std::vector<float> first;
    for (const KernelTable* table : fast_levels()) {
      SCOPED_TRACE(testing::Message() << table->isa << " width " << width);
      std::vector<float> y(width + 1, 7.0F);
      table->rms_norm(x.data() + 1, weight.data() + 1, y.data(), width, 1e-5F);
      for (std::size_t i = 0; i < width; ++i) expect_ulps(y[i], truth[i], 8);
      EXPECT_EQ(y[width], 7.0F) << "wrote past the end";
      if (first.empty()) first = y;
      EXPECT_TRUE(same_bits(first, y));
      std::vector<float> in_place = x;
      table->rms_norm(in_place.data() + 1, weight.data() + 1, in_place.data() + 1, width, 1e-5F);
      EXPECT_EQ(0, std::memcmp(in_place.data() + 1, y.data(), width * 4));
    }
  }
}

TEST(Rows, NormOfZerosIsZero) {
  const std::vector<float> x(33, 0.0F);
  const std::vector<float> weight(33, 2.0F);
  for (const KernelTable* table : fast_levels()) {
    std::vector<float> y(33, 7.0F);
    table->rms_norm(x.data(), weight.data(), y.data(), 33, 1e-6F);
    for (float value : y) EXPECT_EQ(value, 0.0F) << table->isa;
  }
}

TEST(Rows, LayerNormAgrees) {
  for (std::size_t width : kWidths) {
    for (const float offset : {0.0F, 50.0F}) {
      std::vector<float> x = random_floats(width + 1, 21, 3.0F);
      for (float& value : x) value += offset;
      const std::vector<float> weight = random_floats(width + 1, 22);
      const std::vector<float> bias = random_floats(width + 1, 23);
      std::vector<float> truth(width);
      reference_kernels().layer_norm(x.data() + 1, weight.data() + 1, bias.data() + 1, truth.data(),
                                     width, 1e-12F);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
        SCOPED_TRACE(testing::Message() << table->isa << " width " << width);
        std::vector<float> y(width + 1, 7.0F);
        table->layer_norm(x.data() + 1, weight.data() + 1, bias.data() + 1, y.data(), width,
                          1e-12F);
        // The mean is rounded to f32: that is 4e-6 of an offset of 50, and a row of one value is
        // its difference from its mean, which is 0.
        for (std::size_t i = 0; i < width; ++i) ASSERT_NEAR(y[i], truth[i], 2e-5);
        EXPECT_EQ(y[width], 7.0F) << "wrote past the end";
        if (first.empty()) first = y;
        EXPECT_TRUE(same_bits(first, y));
        table->layer_norm(x.data() + 1, weight.data() + 1, bias.data() + 1, x.data() + 1, width,
                          1e-12F);
        EXPECT_EQ(0, std::memcmp(x.data() + 1, y.data(), width * 4));
        x = random_floats(width + 1, 21, 3.0F);
        for (float& value : x) value += offset;
      }
    }
  }
}

TEST(Rows, LayerNormIsUnitNormTimesWeightPlusBias) {
  const float x[] = {1.0F, 2.0F, 3.0F, 4.0F};
  const float weight[] = {1.0F, 1.0F, 2.0F, 1.0F};
  const float bias[] = {0.0F, 10.0F, 0.0F, 0.0F};
  float y[4];
  reference_kernels().layer_norm(x, weight, bias, y, 4, 0.0F);
  const double unit = 0.5 / std::sqrt(1.25);
  EXPECT_NEAR(y[0], -3 * unit, 1e-6);
  EXPECT_NEAR(y[1], 10 - unit, 1e-6);
  EXPECT_NEAR(y[2], 2 * unit, 1e-6);
  EXPECT_NEAR(y[3], 3 * unit, 1e-6);
}

TEST(Rows, GelusInPlaceAgreeOverTheWholeRange) {
  std::vector<float> x;
  for (float v = -20.0F; v <= 20.0F; v += 0.0037F) x.push_back(v);
  for (float v : {0.0F, -0.0F, 1e-30F, -1e-30F, 1e10F, -1e10F, kInfinity}) x.push_back(v);
  struct Op {
    const char* name;
    void (*KernelTable::*run)(float*, std::size_t) noexcept;
  };
  for (const Op op : {Op{"erf", &KernelTable::gelu_erf}, Op{"tanh", &KernelTable::gelu_tanh}}) {
    std::vector<float> truth = x;
    (reference_kernels().*op.run)(truth.data(), truth.size());
    std::vector<float> first;
    for (const KernelTable* table : fast_levels()) {
      std::vector<float> y = x;
      (table->*op.run)(y.data(), y.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        SCOPED_TRACE(testing::Message() << op.name << " " << table->isa << " of " << x[i]);
        if (std::isinf(truth[i])) {
          ASSERT_EQ(y[i], truth[i]);
        } else {
          ASSERT_NEAR(y[i], truth[i], 3e-7 * std::fabs(x[i]) + 1e-37);
        }
      }
      if (first.empty()) first = y;
      EXPECT_TRUE(same_bits(first, y)) << op.name;
      for (std::size_t width : kWidths) {
        std::vector<float> part(x.begin() + 4000, x.begin() + 4001 + static_cast<long>(width));
        std::vector<float> whole = part;
        (table->*op.run)(part.data(), width);
        for (std::size_t i = 0; i < width; ++i) EXPECT_EQ(part[i], y[4000 + i]) << op.name;
        EXPECT_EQ(part[width], whole[width]) << "wrote past the end";
      }
      float nan = NAN;
      (table->*op.run)(&nan, 1);
      EXPECT_TRUE(std::isnan(nan)) << op.name << " " << table->isa;
    }
  }
}

// The known values of the two kinds at 1: 0.841345 by the error function, 0.841192 by tanh.
TEST(Rows, TheTwoGelusDiffer) {
  float erf = 1.0F;
  float tanh = 1.0F;
  reference_kernels().gelu_erf(&erf, 1);
  reference_kernels().gelu_tanh(&tanh, 1);
  EXPECT_NEAR(erf, 0.8413447, 1e-6);
  EXPECT_NEAR(tanh, 0.8411920, 1e-6);
}

TEST(Rows, AddIsExact) {
  for (std::size_t width : kWidths) {
    for (const KernelTable* table : fast_levels()) {
      std::vector<float> x = random_floats(width + 1, 3);
      const std::vector<float> before = x;
      const std::vector<float> y = random_floats(width, 4);
      table->add(x.data(), y.data(), width);
      for (std::size_t i = 0; i < width; ++i) ASSERT_EQ(x[i], before[i] + y[i]) << table->isa;
      EXPECT_EQ(x[width], before[width]);
    }
  }
}

TEST(Rows, SiluAgreesOverTheWholeRange) {
  std::vector<float> gate;
  for (float v = -110.0F; v <= 110.0F; v += 0.0137F) gate.push_back(v);
  for (float v : {0.0F, -0.0F, 1e-30F, -1e-30F, 3e38F, -3e38F, 88.8F, -88.8F, kInfinity}) {
    gate.push_back(v);
  }
  const std::vector<float> up(gate.size(), 1.0F);
  std::vector<float> truth(gate.size());
  reference_kernels().silu_mul(gate.data(), up.data(), truth.data(), gate.size());
  std::vector<float> first;
  for (const KernelTable* table : fast_levels()) {
    SCOPED_TRACE(table->isa);
    std::vector<float> y(gate.size());
    table->silu_mul(gate.data(), up.data(), y.data(), gate.size());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      SCOPED_TRACE(gate[i]);
      // Past -88 the denominator overflows to inf and the result is -0 instead of -1e-36.
      if (std::isinf(truth[i])) {
        ASSERT_EQ(y[i], truth[i]);
      } else {
        ASSERT_NEAR(y[i], truth[i], 5e-7 * std::fabs(truth[i]) + 1e-36);
      }
    }
    if (first.empty()) first = y;
    EXPECT_TRUE(same_bits(first, y));
  }
  for (std::size_t width : kWidths) {
    const std::vector<float> g = random_floats(width, 5, 4.0F);
    const std::vector<float> u = random_floats(width, 6);
    std::vector<float> expected(width);
    reference_kernels().silu_mul(g.data(), u.data(), expected.data(), width);
    for (const KernelTable* table : fast_levels()) {
      std::vector<float> y(width + 1, 7.0F);
      table->silu_mul(g.data(), u.data(), y.data(), width);
      for (std::size_t i = 0; i < width; ++i) expect_ulps(y[i], expected[i], 6);
      EXPECT_EQ(y[width], 7.0F) << "wrote past the end";
    }
  }
}

TEST(Rows, GeluAgreesOverTheWholeRange) {
  std::vector<float> gate;
  for (float v = -20.0F; v <= 20.0F; v += 0.0037F) gate.push_back(v);
  for (float v : {0.0F, -0.0F, 1e-30F, -1e-30F, 1e10F, -1e10F, kInfinity}) gate.push_back(v);
  const std::vector<float> up(gate.size(), 1.0F);
  std::vector<float> truth(gate.size());
  reference_kernels().gelu_mul(gate.data(), up.data(), truth.data(), gate.size());
  EXPECT_FLOAT_EQ(truth[gate.size() - 7], 0.0F);
  std::vector<float> first;
  for (const KernelTable* table : fast_levels()) {
    SCOPED_TRACE(table->isa);
    std::vector<float> y(gate.size());
    table->gelu_mul(gate.data(), up.data(), y.data(), gate.size());
    for (std::size_t i = 0; i < gate.size(); ++i) {
      SCOPED_TRACE(gate[i]);
      if (std::isinf(truth[i])) {
        ASSERT_EQ(y[i], truth[i]);
      } else {
        // exp(2 u) for a u of some tens carries the rounding of u: up to 1e-5 of a tiny result.
        ASSERT_NEAR(y[i], truth[i], 6e-7 * std::fabs(truth[i]) + 1e-7);
      }
    }
    if (first.empty()) first = y;
    EXPECT_TRUE(same_bits(first, y));
  }
  for (std::size_t width : kWidths) {
    const std::vector<float> g = random_floats(width, 15, 2.0F);
    const std::vector<float> u = random_floats(width, 16);
    std::vector<float> expected(width);
    reference_kernels().gelu_mul(g.data(), u.data(), expected.data(), width);
    for (const KernelTable* table : fast_levels()) {
      std::vector<float> y(width + 1, 7.0F);
      table->gelu_mul(g.data(), u.data(), y.data(), width);
      for (std::size_t i = 0; i < width; ++i) ASSERT_NEAR(y[i], expected[i], 1e-6) << table->isa;
      EXPECT_EQ(y[width], 7.0F) << "wrote past the end";
    }
  }
}

// The known value: gelu(1) = 0.8412 with the tanh approximation (0.8413 with the error function).
TEST(Rows, GeluIsTheTanhApproximation) {
  const float gate[] = {1.0F, -1.0F, 2.0F};
  const float up[] = {1.0F, 1.0F, 1.0F};
  float y[3];
  reference_kernels().gelu_mul(gate, up, y, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const double v = static_cast<double>(gate[i]);
    const double u = std::sqrt(2.0 / 3.14159265358979) * (v + 0.044715 * v * v * v);
    EXPECT_NEAR(y[i], 0.5 * v * (1 + std::tanh(u)), 1e-7);
  }
}

TEST(Rows, SoftCapAgreesAndStaysInside) {
  for (const float cap : {0.5F, 30.0F, 50.0F}) {
    for (const std::size_t width : kWidths) {
      std::vector<float> x = random_floats(width + 1, 17, cap);
      if (width > 7) {
        x[3] = kInfinity;
        x[4] = -kInfinity;
        x[5] = 3e38F;
        x[6] = 0.0F;
      }
      std::vector<float> truth = x;
      reference_kernels().soft_cap(truth.data(), width, cap);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
        SCOPED_TRACE(testing::Message() << table->isa << " width " << width << " cap " << cap);
        std::vector<float> y = x;
        table->soft_cap(y.data(), width, cap);
        for (std::size_t i = 0; i < width; ++i) {
          ASSERT_NEAR(y[i], truth[i], 2e-7F * cap) << x[i];
          ASSERT_LE(std::fabs(y[i]), cap);
        }
        EXPECT_EQ(y[width], x[width]) << "wrote past the end";
        if (first.empty()) first = y;
        EXPECT_TRUE(same_bits(first, y));
      }
    }
  }
}

TEST(Rows, NanReachesTheResult) {
  for (const KernelTable* table : fast_levels()) {
    std::vector<float> gate(20, 1.0F);
    gate[3] = NAN;
    const std::vector<float> up(20, 1.0F);
    std::vector<float> y(20);
    table->silu_mul(gate.data(), up.data(), y.data(), 20);
    EXPECT_TRUE(std::isnan(y[3])) << table->isa;
    table->gelu_mul(gate.data(), up.data(), y.data(), 20);
    EXPECT_TRUE(std::isnan(y[3])) << table->isa;
    y[3] = NAN;
    table->soft_cap(y.data(), 20, 30.0F);
    EXPECT_TRUE(std::isnan(y[3])) << table->isa;
    EXPECT_TRUE(std::isnan(table->log_sum_exp(gate.data(), 20))) << table->isa;
  }
}

TEST(Rows, LogSumExpAgrees) {
  std::vector<std::size_t> widths(std::begin(kWidths), std::end(kWidths));
  widths.push_back(49152);
  for (std::size_t width : widths) {
    for (float offset : {0.0F, 500.0F, -3000.0F}) {
      std::vector<float> x = random_floats(width, 7, 5.0F);
      for (float& value : x) value += offset;
      const double truth = reference_kernels().log_sum_exp(x.data(), width);
      double first = 0;
      for (const KernelTable* table : fast_levels()) {
        const double value = table->log_sum_exp(x.data(), width);
        ASSERT_NEAR(value, truth, 1e-12 * (1 + std::fabs(truth))) << table->isa << " " << width;
        if (table == fast_levels().front()) first = value;
        EXPECT_EQ(value, first);
      }
    }
  }
}

TEST(Rows, LogSumExpOfExtremes) {
  for (const KernelTable* table : fast_levels()) {
    const std::vector<float> nothing(40, -kInfinity);
    EXPECT_EQ(table->log_sum_exp(nothing.data(), 40), -kInfinity);
    EXPECT_EQ(table->log_sum_exp(nothing.data(), 0), -kInfinity);
    std::vector<float> one = nothing;
    one[37] = -2.5F;
    EXPECT_EQ(table->log_sum_exp(one.data(), 40), -2.5);
  }
}

TEST(Rows, DivergenceAgrees) {
  std::vector<std::size_t> widths(std::begin(kWidths), std::end(kWidths));
  widths.push_back(49152);
  for (std::size_t width : widths) {
    for (float change : {1e-3F, 0.5F, 4.0F}) {
      const std::vector<float> p = random_floats(width, 8, 6.0F);
      std::vector<float> q = random_floats(width, 9, change);
      for (std::size_t i = 0; i < width; ++i) q[i] += p[i];
      const double p_lse = reference_kernels().log_sum_exp(p.data(), width);
      const double q_lse = reference_kernels().log_sum_exp(q.data(), width);
      const double truth =
          reference_kernels().kl_divergence(p.data(), p_lse, q.data(), q_lse, width);
      double first = 0;
      for (const KernelTable* table : fast_levels()) {
        const double value = table->kl_divergence(p.data(), p_lse, q.data(), q_lse, width);
        ASSERT_NEAR(value, truth, 1e-13 + 1e-11 * truth) << table->isa << " " << width;
        if (table == fast_levels().front()) first = value;
        EXPECT_EQ(value, first);
        EXPECT_EQ(table->kl_divergence(p.data(), p_lse, p.data(), p_lse, width), 0.0);
      }
    }
  }
}

}  // namespace
}  // namespace paring::kernels
