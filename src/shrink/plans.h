// SPDX-License-Identifier: Apache-2.0
// The choice before the search: every matrix with the types it could take, what each costs, and the
// types that lose least within bounds. Pure functions over MatrixPlan.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/loaded_model.h"
#include "shrink/optimize.h"

namespace paring::shrink {

// Types of all matrices, by plan.
using TypeList = std::vector<DType>;

// One plan a matrix with bytes filled in; losses and seconds are not known yet.
Result<std::vector<MatrixPlan>> make_plans(const engine::LoadedModel& model,
                                           std::span<const DType> allowed);

// REQUIRES: the plan has an option of that type.
const TypeOption& option_of(const MatrixPlan& plan, DType type);
bool has_option(const MatrixPlan& plan, DType type);

struct TypeTotals {
  double predicted_kl = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;
  double seconds = 0;
};
TypeTotals totals_of(std::span<const MatrixPlan> plans, const TypeList& types);

// Of the matrices alone; 0: no such bound.
struct TypeBounds {
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;
  double seconds = 0;
};

// The types of least predicted KL within the bounds; empty when there are none.
TypeList choose_types(std::span<const MatrixPlan> plans, const TypeBounds& bounds);
// The fewest bytes whose predicted KL is at most `kl`, within the bounds; empty when there are
// none.
TypeList choose_smallest(std::span<const MatrixPlan> plans, double kl, const TypeBounds& bounds);

// One type for every matrix that can take it, the others as they are: what a user would get
// without a search. The largest such type within the bounds; empty when there is none.
TypeList choose_uniform(std::span<const MatrixPlan> plans, std::span<const DType> types,
                        const TypeBounds& bounds);

}  // namespace paring::shrink
