// SPDX-License-Identifier: Apache-2.0
// The parts of the report around its plots: each returns markup of the page's body.
#pragma once

#include <string>
#include <vector>

#include "shrink/optimize.h"

namespace paring::shrink::report {

// One bound of the budget and what became of it.
struct BudgetCheck {
  enum class State { kMet, kMissed, kUnknown };
  std::string bound;   // markup, "file at most 105.4 MB"
  std::string figure;  // markup, what was measured
  State state = State::kUnknown;
};

// The bounds that were given, in the order file, memory, speed, loss. The loss is the one as
// served.
std::vector<BudgetCheck> check_budget(const OptimizeResult& result);

// The command that makes this result again; plain text.
std::string reproduce_command(const OptimizeResult& result);

std::string header_section(const OptimizeResult& result);
std::string before_after_table(const OptimizeResult& result);
std::string candidates_table(const OptimizeResult& result);
// Matrices and bytes by chosen type.
std::string types_table(const OptimizeResult& result);
// Every matrix.
std::string recipe_table(const OptimizeResult& result);
// What it measured in its time, proofs of its methods, ablation.
std::string search_section(const OptimizeResult& result);
// Each tensor's type and its alternatives.
std::string explanation_section(const OptimizeResult& result);
std::string method_section(const OptimizeResult& result);
std::string certificate_section(const OptimizeResult& result);
std::string glossary_section();

}  // namespace paring::shrink::report
