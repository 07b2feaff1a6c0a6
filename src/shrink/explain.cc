// SPDX-License-Identifier: Apache-2.0
#include "shrink/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/text.h"
#include "shrink/plans.h"

namespace paring::shrink {

namespace {

constexpr double kMegabyte = 1e6;

TypeStep step_between(const TypeOption& from, const TypeOption& to) {
  TypeStep step{to.type,
                static_cast<std::int64_t>(to.bytes) - static_cast<std::int64_t>(from.bytes),
                to.predicted_kl - from.predicted_kl, 0};
  step.price =
      step.bytes == 0 ? 0 : std::abs(step.kl / static_cast<double>(step.bytes)) * kMegabyte;
  return step;
}

// Of all smaller types, the one that costs least for a byte saved; of all larger ones, the one that
// gains most for a byte spent.
void find_steps(const MatrixPlan& plan, const TypeOption& chosen, Explanation& explanation) {
  for (const TypeOption& option : plan.options) {
    const TypeStep step = step_between(chosen, option);
    if (step.bytes < 0 && step.kl > 0 &&
        (!explanation.smaller || step.price < explanation.smaller->price)) {
      explanation.smaller = step;
    }
    if (step.bytes > 0 && step.kl < 0 &&
        (!explanation.better || step.price > explanation.better->price)) {
      explanation.better = step;
    }
  }
}

std::string reason_of(const Explanation& explanation, double price) {
  std::string reason;
  const auto size = [](std::int64_t bytes) {
    return format_bytes(static_cast<std::uint64_t>(std::abs(bytes)));
  };
  if (explanation.smaller) {
    const TypeStep& step = *explanation.smaller;
    reason += fmt::format("{} would save {} and cost {:.2g} KL ({:.2g} a MB)",
                          dtype_name(step.type), size(step.bytes), step.kl, step.price);
  } else {
    reason += "no smaller type is allowed here";
  }
  if (explanation.better) {
    const TypeStep& step = *explanation.better;
    reason += fmt::format("; {} would take {} more and gain {:.2g} KL ({:.2g} a MB)",
                          dtype_name(step.type), size(step.bytes), -step.kl, step.price);
  } else {
    reason += "; no allowed type loses less";
  }
  return reason + fmt::format("; the search stood at {:.2g} a MB", price);
}

}  // namespace

Explanations explain(const OptimizeResult& result) {
  Explanations all;
  double total = 0;
  double dearest_gain = 0;
  double cheapest_saving = std::numeric_limits<double>::infinity();
  for (const MatrixPlan& plan : result.plans) {
    if (!has_option(plan, plan.chosen)) continue;
    const TypeOption& chosen = option_of(plan, plan.chosen);
    Explanation explanation{plan.name, plan.chosen, plan.is_probed, chosen.predicted_kl, {},
                            {},        {}};
    total += chosen.predicted_kl;
    find_steps(plan, chosen, explanation);
    if (explanation.better) dearest_gain = std::max(dearest_gain, explanation.better->price);
    if (explanation.smaller) {
      cheapest_saving = std::min(cheapest_saving, explanation.smaller->price);
    }
    all.tensors.push_back(std::move(explanation));
  }
  // At an optimum the two meet but for the size of single steps.
  all.price = std::isfinite(cheapest_saving) && dearest_gain > 0
                  ? std::sqrt(dearest_gain * cheapest_saving)
                  : std::max(dearest_gain, std::isfinite(cheapest_saving) ? cheapest_saving : 0.0);
  for (Explanation& explanation : all.tensors) {
    explanation.kl_share = total > 0 ? explanation.kl_share / total : 0.0;
    explanation.reason = reason_of(explanation, all.price);
  }
  return all;
}

std::string explain_text(const OptimizeResult& result) {
  const Explanations all = explain(result);
  std::size_t width = 6;
  for (const Explanation& explanation : all.tensors) {
    width = std::max(width, explanation.name.size());
  }
  std::string out = fmt::format(
      "Why each tensor has its type. KL: predicted for the tensor alone; price: KL for a "
      "megabyte.\n"
      "The search stood at {:.3g} KL a MB: steps that gain more were taken, others were not.\n\n",
      all.price);
  for (std::size_t i = 0; i < all.tensors.size(); ++i) {
    const Explanation& explanation = all.tensors[i];
    const MatrixPlan& plan = *std::find_if(
        result.plans.begin(), result.plans.end(),
        [&](const MatrixPlan& candidate) { return candidate.name == explanation.name; });
    out += fmt::format("{:<{}}  {:<7} {:5.1f} % of the loss, {}\n", escape_control(plan.name),
                       width, dtype_name(explanation.chosen), 100 * explanation.kl_share,
                       explanation.is_measured ? "measured" : "interpolated");
    for (const TypeOption& option : plan.options) {
      out += fmt::format("  {} {:<7} {:>9}  KL {:<9.3g}", option.type == plan.chosen ? '*' : ' ',
                         dtype_name(option.type), format_bytes(option.bytes), option.predicted_kl);
      if (option.seconds > 0) out += fmt::format("  {:.1f} us", option.seconds * 1e6);
      out += "\n";
    }
    out += fmt::format("    {}\n", explanation.reason);
  }
  return out;
}

}  // namespace paring::shrink
