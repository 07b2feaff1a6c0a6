// SPDX-License-Identifier: Apache-2.0
#include "shrink/ablation.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace paring::shrink {

namespace {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

std::vector<MatrixPlan> without_type(const std::vector<MatrixPlan>& plans, DType type) {
  std::vector<MatrixPlan> result = plans;
  for (MatrixPlan& plan : result) {
    if (plan.options.size() > 1) {
      std::erase_if(plan.options, [&](const TypeOption& option) { return option.type == type; });
    }
  }
  return result;
}

}  // namespace

Result<Ablation> ablate(Candidates& candidates, const std::vector<MatrixPlan>& plans,
                        std::span<const DType> types, const Recipe& winner, TypeBounds bounds,
                        ProgressSink& progress) {
  const TypeTotals full = totals_of(plans, winner.types);
  if (bounds.file_bytes == 0) bounds.file_bytes = full.file_bytes;
  bounds.seconds = 0;
  // The uniform recipe needs one type that fits; else the smallest types of all.
  TypeList uniform = choose_uniform(plans, types, bounds);
  if (uniform.empty()) {
    for (const MatrixPlan& plan : plans) uniform.push_back(plan.options.front().type);
  }
  const auto kl = [&](const TypeList& list, Rounding rounding,
                      bool with_importance) -> Result<double> {
    PARING_TRY(const auto values,
               candidates.measure(plans, {list, rounding, with_importance}, "ablation"));
    progress.advance(1);
    return values.at(0);
  };
  progress.begin("ablation", 8 + types.size());
  Ablation result;
  result.plain_bytes = totals_of(plans, uniform).file_bytes;
  PARING_TRY(result.kl_plain, kl(uniform, Rounding::kNearest, false));
  PARING_TRY(result.kl_full, kl(winner.types, Rounding::kFeedback, true));

  AblationRow importance{"importance (imatrix)", 0, 0, "scales searched without it"};
  PARING_TRY(importance.kl_alone, kl(uniform, Rounding::kNearest, true));
  PARING_TRY(importance.kl_without, kl(winner.types, Rounding::kFeedback, false));
  AblationRow feedback{"error feedback", 0, 0, "every weight rounded to nearest"};
  PARING_TRY(feedback.kl_alone, kl(uniform, Rounding::kFeedback, false));
  PARING_TRY(feedback.kl_without, kl(winner.types, Rounding::kNearest, true));
  AblationRow allocation{"allocation", 0, 0, "one type for all matrices"};
  PARING_TRY(allocation.kl_alone, kl(winner.types, Rounding::kNearest, false));
  PARING_TRY(allocation.kl_without, kl(uniform, Rounding::kFeedback, true));
  result.rows = {importance, feedback, allocation};

  for (const DType type : types) {
    if (std::find(winner.types.begin(), winner.types.end(), type) == winner.types.end()) continue;
    const std::vector<MatrixPlan> rest = without_type(plans, type);
    const TypeList others = choose_types(rest, bounds);
    AblationRow row{fmt::format("type {}", dtype_name(type)), kNotMeasured, kNotMeasured,
                    "allocated anew without it"};
    if (!others.empty()) {
      PARING_TRY(row.kl_without, kl(others, Rounding::kFeedback, true));
    }
    result.rows.push_back(row);
  }
  progress.end();
  return result;
}

}  // namespace paring::shrink
