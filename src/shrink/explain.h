// SPDX-License-Identifier: Apache-2.0
// Why each tensor has its type: what the next smaller and the next better type would have saved and
// cost, against the price at which the whole search traded bytes for loss. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shrink/optimize.h"

namespace paring::shrink {

// A step from the chosen type to another.
struct TypeStep {
  DType type;
  std::int64_t bytes = 0;  // more (or, negative, fewer) bytes in the file
  double kl = 0;           // change of the predicted KL
  double price = 0;        // KL for a megabyte: what the step saves or costs, positive
};

struct Explanation {
  std::string name;
  DType chosen;
  bool is_measured = false;         // its sensitivity was measured, not interpolated
  double kl_share = 0;              // of the predicted KL of the whole
  std::optional<TypeStep> smaller;  // the cheapest way to save bytes here
  std::optional<TypeStep> better;   // the cheapest way to lose less here
  std::string reason;               // one sentence
};

struct Explanations {
  // Between the cheapest loss that could still be bought off and the dearest byte that could still
  // be saved: KL for a megabyte at which the search stood.
  double price = 0;
  std::vector<Explanation> tensors;
};

Explanations explain(const OptimizeResult& result);
// A table for people.
std::string explain_text(const OptimizeResult& result);

}  // namespace paring::shrink
