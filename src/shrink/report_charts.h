// SPDX-License-Identifier: Apache-2.0
// The plots of the report. Each returns one well-formed inline <svg>, also for empty or broken
// figures: what cannot be drawn is left out and counted in the description.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "shrink/optimize.h"

namespace paring::shrink::report {

// Indices of the candidates that no other beats in both file size and measured KL, smallest file
// first.
std::vector<std::size_t> pareto_front(const std::vector<Candidate>& candidates);

// Style class suffix of a type, 0 (fewest bits) to 7: fill `b<n>`, text on it `bt<n>`.
std::size_t bits_class(DType type);

// File size against KL: measured, predicted, front, winner, budget.
std::string size_kl_chart(const OptimizeResult& result);
// Types by layer and matrix.
std::string type_map_chart(const OptimizeResult& result);
// KL of each type for the 20 matrices that lose most.
std::string sensitivity_chart(const OptimizeResult& result);
// KL from median to maximum, as served and weights only.
std::string percentile_chart(const OptimizeResult& result);
// Seconds by phase of the run.
std::string phase_chart(const OptimizeResult& result);
// Prefill and decode before and after, with the machine's limit.
std::string speed_chart(const OptimizeResult& result);

}  // namespace paring::shrink::report
