// SPDX-License-Identifier: Apache-2.0
// StepSums: how long a model's steps take on this machine, by what is in them, learned from the
// steps themselves: weighted least squares, of which only the sums are kept, so that a million
// steps take as much room as one and sums of hours add up. A step's time is
//
//   fixed(tokens) + rows(rows of logits) + a * positions that generating tokens see
//                 + b * positions that prompt tokens see
//
// with fixed() linear between powers of two of the tokens: products with weights are limited by
// memory for few tokens and by arithmetic for many, and what lies between follows no formula. Steps
// weigh by 1 / time, so that many short ones and few long ones count alike. Where few steps were
// seen the fit leans towards a straight line through all of them. Plain data, confined to one
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::engine {

// What is in a step.
struct StepShape {
  double tokens = 0;             // computed: of prompts, of answers, guesses
  double rows = 0;               // of logits
  double decode_positions = 0;   // tokens in front of each token of an answer, added up
  double prefill_positions = 0;  // likewise of prompts
};

// A fitted StepSums.
class StepModel {
 public:
  // Never negative.
  double seconds(const StepShape& shape) const noexcept;
  // Of the products with weights and what is done once a step, without attention.
  double fixed_seconds(double tokens, double rows) const noexcept;
  // Standard deviation of steps about the fit, relative, weighted by their time.
  double spread() const noexcept { return spread_; }
  double steps() const noexcept { return steps_; }

 private:
  friend class StepSums;
  std::vector<double> coefficients_;
  double spread_ = 0;
  double steps_ = 0;
};

class StepSums {
 public:
  // Powers of two from 1; more tokens than the last go on in its direction.
  static constexpr std::size_t kKnots = 13;
  // Steps that a fit takes at least.
  static constexpr double kStepsMin = 32;

  void add(const StepShape& shape, double seconds) noexcept;
  void merge(const StepSums& other) noexcept;
  double steps() const noexcept { return steps_; }
  double seconds() const noexcept { return seconds_; }
  // Unavailable: fewer than kStepsMin steps.
  Result<StepModel> fit() const;

  std::string to_json() const;
  // Corrupt: not what to_json() gives.
  static Result<StepSums> from_json(std::string_view text);

 private:
  // Knots, rows, any rows, two kinds of positions.
  static constexpr std::size_t kTerms = kKnots + 4;
  friend class StepModel;
  using Terms = std::array<double, kTerms>;
  static Terms terms(const StepShape& shape) noexcept;

  double steps_ = 0;
  double seconds_ = 0;
  double weighted_squares_ = 0;                           // sum of y^2 / y
  std::array<double, kTerms> moments_{};                  // X' W y
  std::array<double, kTerms*(kTerms + 1) / 2> normal_{};  // X' W X, its lower triangle by rows
};

}  // namespace paring::engine
