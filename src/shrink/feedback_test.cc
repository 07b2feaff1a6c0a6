// SPDX-License-Identifier: Apache-2.0
#include "shrink/feedback.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/random.h"
#include "quant/format.h"
#include "shrink/grid.h"
#include "shrink/input_factor.h"

namespace paring::shrink {
namespace {

constexpr std::size_t kTokens = 96;

// Inputs whose columns share a few directions, so that errors can make each other good.
std::vector<float> correlated_inputs(std::size_t tokens, std::size_t cols, std::uint64_t seed) {
  RandomStream random({seed, 0, 0});
  constexpr std::size_t kDirections = 12;
  std::vector<double> mix(kDirections * cols);
  for (double& value : mix) value = random.normal();
  std::vector<float> x(tokens * cols);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<double> part(kDirections);
    for (double& value : part) value = random.normal();
    for (std::size_t c = 0; c < cols; ++c) {
      double sum = 0.3 * random.normal() * (c % 7 == 0 ? 4 : 1);
      for (std::size_t d = 0; d < kDirections; ++d) sum += part[d] * mix[d * cols + c];
      x[t * cols + c] = static_cast<float>(sum);
    }
  }
  return x;
}

InputFactor factor_of(const std::vector<float>& x, std::size_t cols, std::size_t span,
                      double damping) {
  InputMoments moments(cols, span);
  const std::size_t widths[] = {cols};
  auto scratch = InputMoments::Scratch::create(widths, span, kTokens);
  auto executor = Executor::create({.threads = 2, .pin = false});
  const std::size_t rows = x.size() / cols;
  for (std::size_t first = 0; first < rows; first += kTokens) {
    (*executor)->run([&](Worker& worker) {
      moments.add(worker, x.data() + first * cols, std::min(kTokens, rows - first), *scratch);
    });
  }
  return std::move(moments).factor(rows, damping);
}

// Sum over tokens of (e x)^2 / tokens + damping * mean square * |e|^2, by definition.
double loss_by_definition(const std::vector<float>& x, std::size_t cols,
                          const std::vector<double>& error, double damping) {
  const std::size_t rows = x.size() / cols;
  double sum = 0;
  double squares = 0;
  double norm = 0;
  for (std::size_t t = 0; t < rows; ++t) {
    double dot = 0;
    for (std::size_t c = 0; c < cols; ++c) {
      const double value = x[t * cols + c];
      dot += error[c] * value;
      squares += value * value;
    }
    sum += dot * dot;
  }
  for (const double e : error) norm += e * e;
  return sum / static_cast<double>(rows) +
         damping * norm * squares / static_cast<double>(rows * cols);
}

struct Encoded {
  std::vector<float> values;
  std::vector<std::byte> bytes;
  std::vector<float> decoded;
};

Encoded encode(DType type, std::size_t cols, std::uint64_t seed) {
  RandomStream random({seed, 1, 0});
  Encoded row;
  row.values.resize(cols);
  for (float& value : row.values) value = static_cast<float>(0.05 * random.normal());
  const quant::Format* format = quant::find_format(type);
  row.bytes.resize(*dtype_row_bytes(type, cols));
  format->encode(row.values.data(), nullptr, row.bytes.data(), cols);
  row.decoded.resize(cols);
  format->decode(row.bytes.data(), row.decoded.data(), cols);
  return row;
}

std::vector<double> errors_of(const Encoded& row) {
  std::vector<double> error;
  for (std::size_t c = 0; c < row.values.size(); ++c) {
    error.push_back(static_cast<double>(row.values[c]) - row.decoded[c]);
  }
  return error;
}

class FeedbackTypes : public testing::TestWithParam<DType> {};

TEST_P(FeedbackTypes, LossIsThatOfTheDefinition) {
  const std::size_t cols = 256;
  const auto x = correlated_inputs(400, cols, 3);
  const InputFactor factor = factor_of(x, cols, 512, 0.02);
  const Encoded row = encode(GetParam(), cols, 5);
  FeedbackTile tile(cols);
  tile.set_row(3, row.values.data(), row.decoded.data());
  double losses[kFeedbackRows];
  tile.loss(factor, losses);
  const double expected = loss_by_definition(x, cols, errors_of(row), 0.02);
  EXPECT_NEAR(losses[3], expected, 1e-4 * expected);
  EXPECT_EQ(losses[2], 0.0);
}

TEST_P(FeedbackTypes, FeedbackLosesLessAndWritesWhatItReckonedWith) {
  const std::size_t cols = 256;
  const auto x = correlated_inputs(400, cols, 4);
  const InputFactor factor = factor_of(x, cols, 512, 0.01);
  Encoded row = encode(GetParam(), cols, 6);
  const std::vector<std::byte> before = row.bytes;
  FeedbackTile tile(cols);
  tile.set_row(0, row.values.data(), row.decoded.data());
  double nearest[kFeedbackRows];
  tile.loss(factor, nearest);
  std::byte* rows[kFeedbackRows] = {row.bytes.data()};
  double losses[kFeedbackRows];
  tile.round(factor, *find_grid(GetParam()), rows, losses);
  EXPECT_LT(losses[0], 0.7 * nearest[0]);
  EXPECT_NE(row.bytes, before);
  quant::find_format(GetParam())->decode(row.bytes.data(), row.decoded.data(), cols);
  const double expected = loss_by_definition(x, cols, errors_of(row), 0.01);
  EXPECT_NEAR(losses[0], expected, 1e-3 * expected);
}

// With uncorrelated inputs nothing can be made good: the nearest level is the best.
TEST_P(FeedbackTypes, WithoutCorrelationItRoundsToNearest) {
  const std::size_t cols = 256;
  std::vector<float> x(cols * cols);
  for (std::size_t c = 0; c < cols; ++c) x[c * cols + c] = 2.0F;
  const InputFactor factor = factor_of(x, cols, 512, 0.0);
  Encoded row = encode(GetParam(), cols, 7);
  FeedbackTile tile(cols);
  tile.set_row(0, row.values.data(), row.decoded.data());
  std::byte* rows[kFeedbackRows] = {row.bytes.data()};
  double losses[kFeedbackRows];
  tile.round(factor, *find_grid(GetParam()), rows, losses);
  std::vector<float> decoded(cols);
  quant::find_format(GetParam())->decode(row.bytes.data(), decoded.data(), cols);
  for (std::size_t c = 0; c < cols; ++c) {
    EXPECT_LE(std::abs(row.values[c] - decoded[c]),
              std::abs(row.values[c] - row.decoded[c]) * 1.0001F + 1e-9F);
  }
}

std::vector<DType> types_with_grid() {
  std::vector<DType> types;
  for (const quant::Format& format : quant::formats()) {
    if (format.encode != nullptr && find_grid(format.type) != nullptr) types.push_back(format.type);
  }
  return types;
}
TEST(Grid, EveryBlockTypeHasOne) {
  for (const quant::Format& format : quant::formats()) {
    EXPECT_EQ(find_grid(format.type) != nullptr, format.is_block_quantized)
        << dtype_name(format.type);
  }
}

INSTANTIATE_TEST_SUITE_P(Grids, FeedbackTypes, testing::ValuesIn(types_with_grid()),
                         [](const auto& each) { return std::string(dtype_name(each.param)); });

TEST(Grid, WritingTheCodesThatAreThereChangesNothing) {
  for (const quant::Format& format : quant::formats()) {
    const Grid* grid = find_grid(format.type);
    if (grid == nullptr || format.encode == nullptr) continue;
    const Encoded row = encode(format.type, 512, 8);
    std::vector<float> scales(512);
    std::vector<float> offsets(512);
    grid->read(row.bytes.data(), 512, scales.data(), offsets.data());
    std::vector<std::int8_t> codes(512);
    for (std::size_t c = 0; c < codes.size(); ++c) {
      const std::size_t g = c / grid->group;
      int best = grid->lowest;
      double least = 1e30;
      for (int code = grid->lowest; code <= grid->highest; ++code) {
        const int level = grid->levels == nullptr ? code : grid->levels[code - grid->lowest];
        const double value = static_cast<double>(scales[g]) * level + offsets[g];
        if (std::abs(value - row.decoded[c]) < least) {
          least = std::abs(value - row.decoded[c]);
          best = code;
        }
      }
      EXPECT_LT(least, 1e-6) << dtype_name(format.type);
      codes[c] = static_cast<std::int8_t>(best);
    }
    std::vector<std::byte> written = row.bytes;
    grid->write(codes.data(), 512, written.data());
    std::vector<float> decoded(512);
    format.decode(written.data(), decoded.data(), 512);
    EXPECT_EQ(decoded, row.decoded) << dtype_name(format.type);
  }
}

TEST(InputFactor, BlocksOfColumnsLoseTheCorrelationBetweenThemOnly) {
  const std::size_t cols = 96;
  const auto x = correlated_inputs(300, cols, 9);
  const InputFactor factor = factor_of(x, cols, 64, 0.01);
  ASSERT_EQ(factor.blocks.size(), 2U);
  EXPECT_EQ(factor.blocks[1].begin, 64U);
  EXPECT_EQ(factor.blocks[1].size, 32U);
  // An error inside one block has the loss of that block's columns alone.
  FeedbackTile tile(cols);
  std::vector<float> values(cols);
  std::vector<double> error(cols);
  for (std::size_t c = 64; c < cols; ++c) error[c] = values[c] = 0.01F * static_cast<float>(c % 5);
  const std::vector<float> zeros(cols);
  tile.set_row(0, values.data(), zeros.data());
  double losses[kFeedbackRows];
  tile.loss(factor, losses);
  EXPECT_NEAR(losses[0], loss_by_definition(x, cols, error, 0.0), 0.05 * losses[0]);
}

TEST(InputFactor, SpanKeepsToTheMemory) {
  const std::size_t widths[] = {576, 576, 1536};
  EXPECT_GE(span_within(widths, std::uint64_t{1} << 30), 1536U);
  const std::size_t span = span_within(widths, 6'000'000);
  std::uint64_t bytes = 0;
  for (const std::size_t width : widths) bytes += InputMoments::bytes(width, span);
  EXPECT_LE(bytes, 6'000'000U);
  EXPECT_EQ(span_within(widths, 1), 256U);
}

}  // namespace
}  // namespace paring::shrink
