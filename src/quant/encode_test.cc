// SPDX-License-Identifier: Apache-2.0
// The encoders against ggml's on the same rows, against an exhaustive search on small ones, and at
// the edges: zeros, extremes, subnormals, weights of zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "quant/error.h"
#include "quant/format.h"
#include "quant/super_block.h"

namespace paring::quant {
namespace {

constexpr std::size_t kColumns = 576;
constexpr std::size_t kRowsOfAKind = 12;
constexpr std::size_t kRows = 3 * kRowsOfAKind;
// In the order of the peer's errors.
constexpr DType kBlockTypes[] = {DType::kQ8_0, DType::kQ5_1,   DType::kQ5_0, DType::kQ4_1,
                                 DType::kQ4_0, DType::kIQ4_NL, DType::kQ6_K, DType::kQ5_K,
                                 DType::kQ4_K, DType::kQ3_K,   DType::kQ2_K, DType::kIQ4_XS};
constexpr const char* kKinds[] = {"gaussian", "heavy-tailed", "SmolLM2"};

std::size_t block_values(DType type) { return dtype_info(type).block_values; }

// tests/data/quant/peer_errors.bin; see tools/make_quant_peer_errors.py.
struct PeerErrors {
  std::vector<float> rows;
  std::vector<float> made, measured;
  std::vector<double> errors;  // [type][without, with importance][row]
};

PeerErrors read_peer_errors() {
  std::ifstream file(std::string(PARING_SOURCE_DIR) + "/tests/data/quant/peer_errors.bin",
                     std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  PeerErrors peer{std::vector<float>(kRows * kColumns), std::vector<float>(kColumns),
                  std::vector<float>(kColumns),
                  std::vector<double>(std::size(kBlockTypes) * 2 * kRows)};
  std::vector<std::uint16_t> halves(kRows * kColumns);
  EXPECT_EQ(bytes.size(), halves.size() * 2 + 2 * kColumns * 4 + peer.errors.size() * 8);
  if (testing::Test::HasFailure()) return peer;
  const char* from = bytes.data();
  const auto take = [&](auto& target) {
    std::memcpy(target.data(), from, target.size() * sizeof(target[0]));
    from += target.size() * sizeof(target[0]);
  };
  take(halves);
  take(peer.made);
  take(peer.measured);
  take(peer.errors);
  std::transform(halves.begin(), halves.end(), peer.rows.begin(), f16_to_f32);
  return peer;
}

TEST(Encode, LeavesLessErrorThanGgmlOnEveryKindOfRow) {
  const PeerErrors peer = read_peer_errors();
  ASSERT_FALSE(HasFailure());
  for (std::size_t t = 0; t < std::size(kBlockTypes); ++t) {
    const Format& format = *find_format(kBlockTypes[t]);
    const std::size_t columns = kColumns / block_values(format.type) * block_values(format.type);
    for (const std::size_t with_importance : {0U, 1U}) {
      for (std::size_t kind = 0; kind < 3; ++kind) {
        double ours = 0.0;
        double theirs = 0.0;
        for (std::size_t r = kind * kRowsOfAKind; r < (kind + 1) * kRowsOfAKind; ++r) {
          const float* importance = with_importance == 0 ? nullptr
                                    : kind == 2          ? peer.measured.data()
                                                         : peer.made.data();
          const std::span<const float> row(peer.rows.data() + r * kColumns, columns);
          const double error = weighted_error(format, row, columns, importance);
          const double bar = peer.errors[(2 * t + with_importance) * kRows + r];
          ours += error;
          theirs += bar;
          // With importance both minimise the same sum, row by row; a block's luck is allowed for.
          if (with_importance == 1) {
            EXPECT_LT(error, bar * 1.02) << dtype_name(format.type);
          }
        }
        EXPECT_LT(ours, theirs * 0.98)
            << dtype_name(format.type) << " on " << kKinds[kind]
            << (with_importance != 0 ? " with" : " without") << " importance: " << ours / theirs;
        RecordProperty(std::string(dtype_name(format.type)) + "_" + std::to_string(kind) +
                           (with_importance != 0 ? "_weighted" : "_plain"),
                       std::to_string(ours / theirs));
      }
    }
  }
}

// The least error of x ~ scale * code over every f16 scale, code by code.
double exhaustive_symmetric(const float* x, const float* weight, int lowest, int highest) {
  double best = std::numeric_limits<double>::max();
  for (std::uint32_t half = 0; half < 0x7c00U; ++half) {
    for (const float sign : {1.0F, -1.0F}) {
      const double scale = double{f16_to_f32(static_cast<std::uint16_t>(half)) * sign};
      if (scale == 0.0) continue;
      double error = 0.0;
      for (std::size_t i = 0; i < 32 && error < best; ++i) {
        const double code =
            std::clamp(std::nearbyint(double{x[i]} / scale), double(lowest), double(highest));
        error += double{weight[i]} * std::pow(double{x[i]} - scale * code, 2);
      }
      best = std::min(best, error);
    }
  }
  return best;
}

TEST(Encode, ComesCloseToTheBestScaleThereIs) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::lognormal_distribution<float> weights(0.0F, 1.0F);
  const std::pair<DType, int> types[] = {{DType::kQ4_0, 8}, {DType::kQ5_0, 16}};
  for (const auto& [type, levels] : types) {
    double ours = 0.0;
    double best = 0.0;
    for (int block = 0; block < 40; ++block) {
      std::vector<float> x(32), weight(32);
      for (float& value : x) value = normal(random);
      for (float& value : weight) value = weights(random);
      ours += weighted_error(*find_format(type), x, 32, weight.data());
      best += exhaustive_symmetric(x.data(), weight.data(), -levels, levels - 1);
    }
    EXPECT_GE(ours, best * 0.999) << "the oracle is the bound";
    EXPECT_LE(ours, best * 1.04) << dtype_name(type);
  }
}

// Random codes under a scale of 1/64 (and min of -1/8 or so): the blocks are their own best answer.
std::vector<float> values_on_a_grid(DType type, std::size_t blocks, std::mt19937& random) {
  const std::size_t bytes = dtype_info(type).block_bytes;
  std::vector<std::byte> encoded(blocks * bytes);
  for (std::byte& byte : encoded) byte = static_cast<std::byte>(random());
  const bool has_min = type == DType::kQ4_1 || type == DType::kQ5_1;
  const std::uint16_t scale = f32_to_f16(1.0F / 64);
  const std::uint16_t min = f32_to_f16(-0.125F);
  for (std::size_t b = 0; b < blocks; ++b) {
    std::byte* block = encoded.data() + b * bytes;
    if (const SuperLayout* layout = find_super_layout(type)) {
      SuperBlock parts;
      layout->take_apart(block, parts);
      parts.scale = scale;
      parts.min_scale = layout->sub_min_highest > 0 ? scale : std::uint16_t{0};
      layout->put_together(parts, block);
      continue;
    }
    std::memcpy(block, &scale, 2);
    if (has_min) std::memcpy(block + 2, &min, 2);
  }
  std::vector<float> values(blocks * block_values(type));
  find_format(type)->decode(encoded.data(), values.data(), values.size());
  // -128 is not written by Q8_0.
  if (type == DType::kQ8_0) {
    for (float& value : values) value = std::max(value, -127.0F / 64);
  }
  return values;
}

double sum_of_squares(const std::vector<float>& values) {
  double square = 0.0;
  for (const float value : values) square += double{value} * double{value};
  return square;
}

TEST(Encode, ValuesOnTheGridComeBackExactly) {
  std::mt19937 random(3);
  for (const DType type : kBlockTypes) {
    if (find_super_layout(type) != nullptr) continue;
    const std::vector<float> values = values_on_a_grid(type, 8, random);
    const double error = weighted_error(*find_format(type), values, values.size(), nullptr);
    EXPECT_LT(error, 1e-5 * sum_of_squares(values)) << dtype_name(type);
  }
}

// Integers of sub-blocks are drawn at random, so that the largest may lie anywhere: the search need
// not find the very scale, but must come far closer than a step.
TEST(Encode, SuperBlocksOnTheGridComeBackNearly) {
  std::mt19937 random(3);
  for (const DType type : kBlockTypes) {
    if (find_super_layout(type) == nullptr) continue;
    const std::vector<float> values = values_on_a_grid(type, 64, random);
    const double error = weighted_error(*find_format(type), values, values.size(), nullptr);
    RecordProperty(dtype_name(type), std::to_string(error / sum_of_squares(values)));
    EXPECT_LT(error, 3e-4 * sum_of_squares(values)) << dtype_name(type);
  }
}

TEST(Encode, WhatItWroteComesBackAsItIs) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    std::vector<float> x(256 * 256), once(x.size());
    for (float& value : x) value = normal(random);
    std::vector<std::byte> bytes(dtype_row_bytes(type, x.size()).value());
    const std::vector<float> ones(x.size(), 1.0F);
    format.encode(x.data(), ones.data(), bytes.data(), x.size());
    format.decode(bytes.data(), once.data(), x.size());
    const double first = weighted_error(format, x, x.size(), ones.data());
    const double again = weighted_error(format, once, once.size(), ones.data());
    RecordProperty(dtype_name(type), std::to_string(again / first));
    // A super-block in some forty is not found again to the integer: its largest may lie anywhere.
    EXPECT_LT(again, 0.04 * first) << dtype_name(type);
  }
}

TEST(Encode, EdgesStayFiniteAndSmall) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    const std::size_t count = block_values(type);
    const std::vector<float> zeros(count);
    EXPECT_EQ(weighted_error(format, zeros, count, nullptr), 0.0) << dtype_name(type);
    EXPECT_EQ(weighted_error(format, zeros, count, zeros.data()), 0.0) << dtype_name(type);
    // Within the range of f16 scales: at most a step and a half of the format away.
    const float step = type == DType::kQ2_K ? 0.5F : type == DType::kQ3_K ? 0.3F : 0.2F;
    for (const float extreme : {tiny, 1e-30F, 1e-8F, 1e-3F, 6e4F, 1e6F, 1e30F, 3e38F}) {
      std::vector<float> x(count), decoded(count);
      for (std::size_t i = 0; i < count; ++i) {
        const auto part = static_cast<float>(i) / static_cast<float>(2 * count);
        x[i] = extreme * (i % 2 == 0 ? 1.0F : -0.5F) * (1.0F - part);
      }
      std::vector<std::byte> block(dtype_info(type).block_bytes);
      for (const float* importance : {static_cast<const float*>(nullptr), zeros.data()}) {
        format.encode(x.data(), importance, block.data(), count);
        format.decode(block.data(), decoded.data(), count);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_TRUE(std::isfinite(decoded[i])) << dtype_name(type) << " " << extreme;
          if (extreme >= 1e-3F && extreme <= 6e4F) {
            ASSERT_NEAR(decoded[i], x[i], step * extreme) << dtype_name(type) << " value " << i;
          }
        }
      }
    }
  }
}

TEST(Encode, AnyFiniteBitsGiveFiniteValues) {
  std::mt19937 random(29);
  const auto finite = [&random](std::uint32_t keep) {
    float value;
    do value = std::bit_cast<float>(static_cast<std::uint32_t>(random()) & keep);
    while (!std::isfinite(value));
    return value;
  };
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    std::vector<float> x(256), weight(256), decoded(256);
    std::vector<std::byte> bytes(dtype_row_bytes(type, 256).value());
    for (int turn = 0; turn < 200; ++turn) {
      for (float& value : x) value = finite(0xffffffffU);
      for (float& value : weight) value = turn % 3 == 0 ? finite(0x7fffffffU) : 1.0F;
      format.encode(x.data(), turn % 3 == 1 ? nullptr : weight.data(), bytes.data(), 256);
      format.decode(bytes.data(), decoded.data(), 256);
      for (const float value : decoded) ASSERT_TRUE(std::isfinite(value)) << dtype_name(type);
    }
  }
}

TEST(Encode, ConstantBlocksComeBackAsTheConstant) {
  for (const DType type : kBlockTypes) {
    for (const float constant : {0.37F, -0.37F, 2.0F, -1e-2F}) {
      const std::vector<float> x(256, constant);
      const double error = weighted_error(*find_format(type), x, 256, nullptr);
      // An f16 and the integers over it: 2^-9 of the value is more than both round away.
      EXPECT_LT(std::sqrt(error / 256), 0.002 * std::fabs(constant))
          << dtype_name(type) << " " << constant;
    }
  }
}

TEST(Encode, WeightMovesTheErrorToWhereItCostsLess) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> x(512), flat(512, 1.0F), weight(512);
  for (std::size_t i = 0; i < 512; ++i) {
    x[i] = normal(random);
    weight[i] = i % 8 == 0 ? 100.0F : 1.0F;
  }
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    std::vector<std::byte> blocks(dtype_row_bytes(type, 512).value());
    std::vector<float> decoded(512);
    const auto heavy_error = [&](const std::vector<float>& importance) {
      format.encode(x.data(), importance.data(), blocks.data(), 512);
      format.decode(blocks.data(), decoded.data(), 512);
      double error = 0.0;
      for (std::size_t i = 0; i < 512; i += 8) error += std::pow(double{x[i]} - decoded[i], 2);
      return error;
    };
    EXPECT_LT(heavy_error(weight), 0.8 * heavy_error(flat)) << dtype_name(type);
  }
}

TEST(Encode, ARowsBlocksDoNotDependOnItsLengthWhenWeighted) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    const std::size_t count = block_values(type);
    const std::size_t bytes = dtype_info(type).block_bytes;
    std::vector<float> x(count * 7), weight(count * 7);
    for (float& value : x) value = normal(random);
    for (float& value : weight) value = std::fabs(normal(random));
    std::vector<std::byte> whole(7 * bytes), one(bytes);
    format.encode(x.data(), weight.data(), whole.data(), x.size());
    for (std::size_t b = 0; b < 7; ++b) {
      format.encode(x.data() + count * b, weight.data() + count * b, one.data(), count);
      EXPECT_EQ(std::memcmp(one.data(), whole.data() + b * bytes, bytes), 0)
          << dtype_name(type) << " block " << b;
    }
  }
}

// What rounding to the nearest code leaves when every scale is taken from the extremes alone.
double plain_error(const SuperLayout& layout, const float* x, const float* weight) {
  const std::size_t n = layout.sub_values;
  const bool has_min = layout.sub_min_highest > 0;
  const double span = layout.is_codebook ? -127.0 : has_min ? layout.highest : layout.lowest;
  std::vector<double> scales(layout.sub_blocks()), mins(layout.sub_blocks());
  double scale_extreme = 0.0, min_extreme = 0.0;
  for (std::size_t j = 0; j < layout.sub_blocks(); ++j) {
    double extreme = 0.0, low = 0.0, high = 0.0;
    for (std::size_t i = j * n; i < (j + 1) * n; ++i) {
      if (std::fabs(double{x[i]}) > std::fabs(extreme)) extreme = double{x[i]};
      low = std::min(low, double{x[i]});
      high = std::max(high, double{x[i]});
    }
    mins[j] = has_min ? -low : 0.0;
    scales[j] = has_min ? (high - low) / span : extreme / span;
    if (std::fabs(scales[j]) > std::fabs(scale_extreme)) scale_extreme = scales[j];
    min_extreme = std::max(min_extreme, mins[j]);
  }
  const auto to_half = [](double value) {
    return double{f16_to_f32(f32_to_f16(static_cast<float>(value)))};
  };
  const double scale = to_half(scale_extreme / layout.sub_scale_highest);
  const double min_scale = has_min ? to_half(min_extreme / layout.sub_min_highest) : 0.0;
  double error = 0.0;
  for (std::size_t i = 0; i < kSuperValues; ++i) {
    const std::size_t j = i / n;
    const double sub_scale = scale == 0.0 ? 0.0 : scale * std::nearbyint(scales[j] / scale);
    const double sub_min = min_scale == 0.0 ? 0.0 : min_scale * std::nearbyint(mins[j] / min_scale);
    double nearest = std::numeric_limits<double>::max();
    for (int code = layout.lowest; code <= layout.highest; ++code) {
      const double level = layout.is_codebook ? kIq4Values[code] : code;
      nearest = std::min(nearest, std::fabs(double{x[i]} - (sub_scale * level - sub_min)));
    }
    error += double{weight[i]} * nearest * nearest;
  }
  return error;
}

TEST(Encode, SuperBlocksNeverLoseMoreThanPlainRounding) {
  std::mt19937 random(31);
  std::normal_distribution<float> normal(0.0F, 0.05F);
  std::lognormal_distribution<float> weights(0.0F, 2.0F);
  for (const DType type : kBlockTypes) {
    const SuperLayout* layout = find_super_layout(type);
    if (layout == nullptr) continue;
    double ours = 0.0, plain = 0.0;
    for (int turn = 0; turn < 300; ++turn) {
      std::vector<float> x(256), weight(256);
      for (float& value : x) value = normal(random);
      for (float& value : weight) value = weights(random);
      if (turn % 3 == 1) x[static_cast<std::size_t>(turn) % 256] = 1000.0F;  // one outlier
      if (turn % 3 == 2) {
        for (std::size_t i = 0; i < 256; i += 2) weight[i] = 0.0F;
      }
      const double error = weighted_error(*find_format(type), x, 256, weight.data());
      const double bar = plain_error(*layout, x.data(), weight.data());
      // An outlier's error is how the f16 over it happens to round.
      ASSERT_LE(error, turn % 3 == 1 ? 1.25 * bar : bar) << dtype_name(type) << " turn " << turn;
      ours += turn % 3 == 1 ? 0.0 : error;
      plain += turn % 3 == 1 ? 0.0 : bar;
    }
    EXPECT_LT(ours, 0.8 * plain) << dtype_name(type);
  }
}

}  // namespace
}  // namespace paring::quant
