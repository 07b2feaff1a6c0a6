// SPDX-License-Identifier: Apache-2.0
#include "model/key_balance.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/testing/random_model.h"

namespace paring::model {
namespace {

using testing::random_model;
using testing::RandomModel;
using testing::rich_spec;
using testing::tiny_spec;

constexpr std::size_t kLarge = 5;  // a channel of the first key head

BlockSpec spec_with_biases(RopePairing pairing) {
  BlockSpec spec = tiny_spec();
  spec.has_qkv_biases = true;
  spec.ropes[0].pairing = pairing;
  return spec;
}

// Key channel kLarge of every layer has a bias far above everything else.
RandomModel model_with_large_bias(const BlockSpec& spec) {
  return random_model(spec, DType::kF32, 3, [&](ModelVectors& vectors) {
    const auto slots = matrix_slots(spec);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].id.kind == MatrixKind::kKey) vectors.biases[i][kLarge] = 200.0F;
    }
  });
}

TEST(KeyBalance, ModelsWithoutBiasOrKeyNormHaveNone) {
  const RandomModel random = random_model(tiny_spec(), DType::kF32, 3);
  EXPECT_TRUE(random.model->key_balance(0).query.empty());
  EXPECT_TRUE(random.model->key_balance(0).key.empty());
}

TEST(KeyBalance, FactorsArePowersOfTwoAndEachOthersInverse) {
  const BlockSpec spec = rich_spec();
  const RandomModel random = random_model(spec, DType::kF32, 3);
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    const KeyBalance& balance = random.model->key_balance(layer);
    ASSERT_EQ(balance.query.size(), spec.kv_width());
    ASSERT_EQ(balance.key.size(), spec.kv_width());
    for (std::size_t c = 0; c < spec.kv_width(); ++c) {
      EXPECT_EQ(balance.query[c] * balance.key[c], 1.0F);
      int exponent = 0;
      EXPECT_EQ(std::frexp(balance.query[c], &exponent), 0.5F);
    }
  }
}

TEST(KeyBalance, ChannelsThatRotationMixesShareALargeFactor) {
  for (const auto& [pairing, partner] : {std::pair{RopePairing::kAdjacent, kLarge - 1},
                                         std::pair{RopePairing::kHalves, kLarge + 16}}) {
    const BlockSpec spec = spec_with_biases(pairing);
    const RandomModel random = model_with_large_bias(spec);
    const std::vector<float>& factors = random.model->key_balance(0).query;
    for (std::size_t c = 0; c < spec.head_width; ++c) {
      if (c == kLarge || c == partner) {
        EXPECT_EQ(factors[c], factors[kLarge]);
        EXPECT_GE(factors[c], 32.0F);
      } else {
        EXPECT_LE(factors[c], 2.0F) << c;
      }
    }
  }
}

TEST(KeyBalance, ExtremeBiasesGiveFiniteFactors) {
  const BlockSpec spec = spec_with_biases(RopePairing::kHalves);
  for (const float value : {0.0F, 1e-30F, 1e30F, 3e38F}) {
    const RandomModel random = random_model(spec, DType::kF32, 3, [&](ModelVectors& vectors) {
      for (std::vector<float>& bias : vectors.biases) {
        for (std::size_t i = 0; i < bias.size(); i += 3) bias[i] = value;
      }
    });
    for (const float factor : random.model->key_balance(0).query) {
      EXPECT_GE(factor, std::exp2(-12.0F)) << value;
      EXPECT_LE(factor, std::exp2(12.0F)) << value;
    }
  }
}

}  // namespace
}  // namespace paring::model
