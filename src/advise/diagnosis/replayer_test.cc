// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/replayer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace paring::advise {
namespace {

AnswerTrace trace_of(std::vector<float> top_log_probabilities) {
  AnswerTrace::Position position;
  position.log_probability = top_log_probabilities[0];
  position.top_log_probabilities = std::move(top_log_probabilities);
  return {{position}};
}

float log_of(double p) { return static_cast<float>(std::log(p)); }

TEST(TracedDivergence, IsThatOfTheTopTokensAndTheRest) {
  const AnswerTrace base = trace_of({log_of(0.5), log_of(0.25)});
  const std::vector<std::vector<double>> same = {{std::log(0.5), std::log(0.25)}};
  EXPECT_NEAR(traced_divergence(base, same), 0, 1e-6);
  const std::vector<std::vector<double>> other = {{std::log(0.25), std::log(0.25)}};
  // 0.5 ln 2 + 0 + 0.25 ln(0.25 / 0.5)
  EXPECT_NEAR(traced_divergence(base, other), 0.25 * std::log(2.0), 1e-6);
  EXPECT_EQ(traced_divergence({}, {}), 0);
}

TEST(TracedDivergence, StaysFiniteWithoutARest) {
  const AnswerTrace base = trace_of({log_of(1.0)});
  const std::vector<std::vector<double>> sure = {{0.0}};
  EXPECT_NEAR(traced_divergence(base, sure), 0, 1e-6);
  const std::vector<std::vector<double>> unsure = {{std::log(0.5)}};
  EXPECT_NEAR(traced_divergence(base, unsure), std::log(2.0), 1e-6);
}

TEST(AnswerTrace, MeanIsOverItsPositions) {
  AnswerTrace trace = trace_of({-1.0F});
  trace.positions.push_back(trace_of({-3.0F}).positions[0]);
  EXPECT_DOUBLE_EQ(trace.mean_log_probability(), -2);
  EXPECT_EQ(AnswerTrace{}.mean_log_probability(), 0);
}

}  // namespace
}  // namespace paring::advise
