// SPDX-License-Identifier: Apache-2.0
// WeightTimes: how long a model's products with its weights take on this machine, for weights of
// one type or another: each shape of matrix is measured by itself (shrink/kernel_times.h) for a few
// numbers of tokens. Confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "model/weights.h"
#include "shrink/kernel_times.h"
#include "shrink/type_choice.h"

namespace paring::advise {

// What the products of a step take, by its tokens: between the measured numbers in a straight line,
// beyond the last in proportion.
struct WeightCurve {
  std::vector<double> tokens;
  std::vector<double> all_s;   // matrices that every token is multiplied with
  std::vector<double> head_s;  // of the head, by rows of logits
  double packed_bytes = 0;     // in memory

  double seconds(double step_tokens, double logit_rows) const noexcept;
};

// How the products of a step make up its time: step(tokens) = slower * products + rest. What
// disturbs a server slows its products down too; the rest grows with the tokens.
struct StepParts {
  double slower = 1;
  double rest_s = 0;        // of every step
  double rest_token_s = 0;  // and of each token

  double seconds(const WeightCurve& curve, double tokens, double rows) const noexcept {
    return slower * curve.seconds(tokens, rows) + rest_s + rest_token_s * tokens;
  }
};

// Weighted least squares over steps of 1 to 128 tokens, parts never negative. `step_s(tokens,
// rows)`: time of a step without attention.
StepParts parts_of(const WeightCurve& curve,
                   const std::function<double(double tokens, double rows)>& step_s);

class WeightTimes {
 public:
  explicit WeightTimes(Executor& executor) : times_(executor) {}

  // REQUIRES: a type for each slot. Unsupported for mixtures of experts, whose tokens do not
  // multiply all that is there.
  Result<WeightCurve> curve(std::span<const model::MatrixSlot> slots, const shrink::TypeMap& types);

  static constexpr std::size_t kTokens[] = {1, 2, 4, 8, 16, 32, 64, 128};

 private:
  // Some matrix of that shape.
  Result<const std::vector<std::byte>*> sample(DType type, std::size_t rows, std::size_t cols);

  shrink::KernelTimes times_;
  std::map<std::pair<DType, std::size_t>, std::vector<std::byte>> rows_;  // a few, by columns
  std::vector<std::byte> matrix_;
};

}  // namespace paring::advise
