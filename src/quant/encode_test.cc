// SPDX-License-Identifier: Apache-2.0
// The encoders against ggml's on the same rows, against an exhaustive search on small ones, and at
// the edges: zeros, extremes, subnormals, weights of zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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

namespace paring::quant {
namespace {

constexpr std::size_t kColumns = 576;
constexpr std::size_t kRowsOfAKind = 12;
constexpr std::size_t kRows = 3 * kRowsOfAKind;
constexpr DType kBlockTypes[] = {DType::kQ8_0, DType::kQ5_1, DType::kQ5_0, DType::kQ4_1,
                                 DType::kQ4_0};
constexpr const char* kKinds[] = {"gaussian", "heavy-tailed", "SmolLM2"};

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
    for (const std::size_t with_importance : {0U, 1U}) {
      for (std::size_t kind = 0; kind < 3; ++kind) {
        double ours = 0.0;
        double theirs = 0.0;
        for (std::size_t r = kind * kRowsOfAKind; r < (kind + 1) * kRowsOfAKind; ++r) {
          const float* importance = with_importance == 0 ? nullptr
                                    : kind == 2          ? peer.measured.data()
                                                         : peer.made.data();
          const std::span<const float> row(peer.rows.data() + r * kColumns, kColumns);
          const double error = weighted_error(format, row, kColumns, importance);
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

TEST(Encode, ValuesOnTheGridComeBackExactly) {
  std::mt19937 random(3);
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    const DTypeInfo& info = dtype_info(type);
    // Random codes under a scale of 1/64 (and min of -1/8): the block itself is the best answer.
    std::vector<std::byte> blocks(8 * info.block_bytes);
    for (std::byte& byte : blocks) byte = static_cast<std::byte>(random());
    const bool has_min = type == DType::kQ4_1 || type == DType::kQ5_1;
    const std::uint16_t scale = f32_to_f16(1.0F / 64);
    const std::uint16_t min = f32_to_f16(-0.125F);
    for (std::size_t b = 0; b < 8; ++b) {
      std::byte* block = blocks.data() + b * info.block_bytes;
      std::memcpy(block, &scale, 2);
      if (has_min) std::memcpy(block + 2, &min, 2);
    }
    std::vector<float> values(8 * 32);
    format.decode(blocks.data(), values.data(), values.size());
    // -128 is not written by Q8_0.
    if (type == DType::kQ8_0) {
      for (float& value : values) value = std::max(value, -127.0F / 64);
    }
    const double error = weighted_error(format, values, values.size(), nullptr);
    double square = 0.0;
    for (const float value : values) square += double{value} * double{value};
    EXPECT_LT(error, 1e-5 * square) << dtype_name(type);
  }
}

TEST(Encode, EdgesStayFiniteAndSmall) {
  const std::array<float, 32> zeros{};
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    EXPECT_EQ(weighted_error(format, zeros, 32, nullptr), 0.0) << dtype_name(type);
    EXPECT_EQ(weighted_error(format, zeros, 32, zeros.data()), 0.0) << dtype_name(type);
    for (const float extreme : {tiny, 1e-30F, 1e-8F, 6e4F, 1e6F, 1e30F, 3e38F}) {
      std::array<float, 32> x{};
      for (std::size_t i = 0; i < 32; ++i) {
        x[i] = extreme * (i % 2 == 0 ? 1.0F : -0.5F) * (1.0F - static_cast<float>(i) / 64);
      }
      std::vector<std::byte> block(dtype_info(type).block_bytes);
      std::array<float, 32> decoded{};
      for (const float* importance : {static_cast<const float*>(nullptr), zeros.data()}) {
        format.encode(x.data(), importance, block.data(), 32);
        format.decode(block.data(), decoded.data(), 32);
        for (std::size_t i = 0; i < 32; ++i) {
          ASSERT_TRUE(std::isfinite(decoded[i])) << dtype_name(type) << " " << extreme;
          // Within the range of f16 scales: at most a step and a half of the format away.
          if (extreme >= 1e-3F && extreme <= 6e4F) {
            ASSERT_NEAR(decoded[i], x[i], 0.2F * extreme) << dtype_name(type);
          }
        }
      }
    }
  }
}

TEST(Encode, WeightMovesTheErrorToWhereItCostsLess) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> x(320), flat(320, 1.0F), weight(320);
  for (std::size_t i = 0; i < 320; ++i) {
    x[i] = normal(random);
    weight[i] = i % 8 == 0 ? 100.0F : 1.0F;
  }
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    std::vector<std::byte> blocks(dtype_row_bytes(type, 320).value());
    std::vector<float> decoded(320);
    const auto heavy_error = [&](const std::vector<float>& importance) {
      format.encode(x.data(), importance.data(), blocks.data(), 320);
      format.decode(blocks.data(), decoded.data(), 320);
      double error = 0.0;
      for (std::size_t i = 0; i < 320; i += 8) error += std::pow(double{x[i]} - decoded[i], 2);
      return error;
    };
    EXPECT_LT(heavy_error(weight), 0.8 * heavy_error(flat)) << dtype_name(type);
  }
}

TEST(Encode, ARowsBlocksDoNotDependOnItsLengthWhenWeighted) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> x(32 * 7), weight(32 * 7);
  for (float& value : x) value = normal(random);
  for (float& value : weight) value = std::fabs(normal(random));
  for (const DType type : kBlockTypes) {
    const Format& format = *find_format(type);
    const std::size_t bytes = dtype_info(type).block_bytes;
    std::vector<std::byte> whole(7 * bytes), one(bytes);
    format.encode(x.data(), weight.data(), whole.data(), x.size());
    for (std::size_t b = 0; b < 7; ++b) {
      format.encode(x.data() + 32 * b, weight.data() + 32 * b, one.data(), 32);
      EXPECT_EQ(std::memcmp(one.data(), whole.data() + b * bytes, bytes), 0)
          << dtype_name(type) << " block " << b;
    }
  }
}

}  // namespace
}  // namespace paring::quant
