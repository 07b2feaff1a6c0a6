// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/weight_times.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace paring::advise {
namespace {

WeightCurve curve_of(double factor) {
  WeightCurve curve;
  for (const std::size_t tokens : WeightTimes::kTokens) {
    curve.tokens.push_back(static_cast<double>(tokens));
    curve.all_s.push_back(factor * std::max(0.004, 0.0004 * static_cast<double>(tokens)));
    curve.head_s.push_back(factor * 0.0005);
  }
  return curve;
}

TEST(WeightCurve, LiesBetweenWhatWasMeasured) {
  const WeightCurve curve = curve_of(1);
  EXPECT_DOUBLE_EQ(curve.seconds(1, 0), 0.004);
  EXPECT_DOUBLE_EQ(curve.seconds(12, 0), 0.5 * (0.004 + 0.0064));
  EXPECT_DOUBLE_EQ(curve.seconds(256, 0), 0.1024);
  EXPECT_DOUBLE_EQ(curve.seconds(1, 1), 0.0045);
  EXPECT_EQ(WeightCurve().seconds(5, 5), 0);
}

TEST(StepParts, TellDisturbanceFromTheRest) {
  const WeightCurve curve = curve_of(1);
  for (const double slower : {1.0, 1.5, 2.5}) {
    const StepParts parts = parts_of(curve, [&](double tokens, double rows) {
      return slower * (curve.seconds(tokens, rows) + 0.0004 + 0.00002 * tokens);
    });
    EXPECT_NEAR(parts.slower, slower, 0.1 * slower);
    // What half as much work with weights makes of a step.
    const WeightCurve half = curve_of(0.5);
    for (const double tokens : {1.0, 8.0, 100.0}) {
      const double truth = slower * (half.seconds(tokens, 1) + 0.0004 + 0.00002 * tokens);
      EXPECT_NEAR(parts.seconds(half, tokens, 1) / truth, 1, 0.12) << slower << ' ' << tokens;
    }
  }
}

}  // namespace
}  // namespace paring::advise
