// SPDX-License-Identifier: Apache-2.0
#include "shrink/plans.h"

#include <algorithm>

#include "shrink/allocate.h"
#include "shrink/budget.h"

namespace paring::shrink {

namespace {

constexpr std::uint64_t kNoBound = UINT64_MAX / 4;  // sums of two still fit

std::vector<std::vector<AllocationOption>> items_of(std::span<const MatrixPlan> plans) {
  std::vector<std::vector<AllocationOption>> items;
  for (const MatrixPlan& plan : plans) {
    std::vector<AllocationOption> options;
    for (const TypeOption& option : plan.options) {
      options.push_back({option.predicted_kl, option.bytes, option.seconds});
    }
    items.push_back(std::move(options));
  }
  return items;
}

bool fits(const TypeTotals& totals, const TypeBounds& bounds) {
  return (bounds.file_bytes == 0 || totals.file_bytes <= bounds.file_bytes) &&
         (bounds.memory_bytes == 0 || totals.memory_bytes <= bounds.memory_bytes) &&
         (bounds.seconds == 0 || totals.seconds <= bounds.seconds);
}

std::uint64_t most_bytes(std::span<const MatrixPlan> plans) {
  std::uint64_t sum = 0;
  for (const MatrixPlan& plan : plans) sum += plan.options.back().bytes;
  return sum;
}

}  // namespace

Result<std::vector<MatrixPlan>> make_plans(const engine::LoadedModel& model,
                                           std::span<const DType> allowed) {
  PARING_TRY(const std::uint64_t alignment, tensor_alignment(model.file));
  std::vector<MatrixPlan> plans;
  for (std::size_t i = 0; i < model.model->matrix_count(); ++i) {
    const model::MatrixSlot& slot = model.model->slot(i);
    const DType original = model.model->matrix(i).type;
    MatrixPlan plan;
    plan.index = i;
    plan.name = slot.name;
    plan.rows = slot.rows;
    plan.cols = slot.cols;
    plan.original = original;
    plan.chosen = original;
    for (const DType type : types_of(model, i, allowed)) {
      PARING_TRY(const MatrixCost cost, matrix_cost(type, slot.rows, slot.cols, alignment));
      TypeOption option{type};
      option.bytes = cost.file_bytes;
      option.memory_bytes = cost.memory_bytes;
      option.is_measured = type == original;
      plan.options.push_back(option);
    }
    std::stable_sort(plan.options.begin(), plan.options.end(),
                     [](const TypeOption& a, const TypeOption& b) { return a.bytes < b.bytes; });
    plans.push_back(std::move(plan));
  }
  return plans;
}

bool has_option(const MatrixPlan& plan, DType type) {
  return std::any_of(plan.options.begin(), plan.options.end(),
                     [&](const TypeOption& option) { return option.type == type; });
}

const TypeOption& option_of(const MatrixPlan& plan, DType type) {
  for (const TypeOption& option : plan.options) {
    if (option.type == type) return option;
  }
  PARING_CHECK(false, "a plan's type is one of its options");
  return plan.options.front();
}

TypeTotals totals_of(std::span<const MatrixPlan> plans, const TypeList& types) {
  TypeTotals totals;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const TypeOption& option = option_of(plans[i], types[i]);
    totals.predicted_kl += option.predicted_kl;
    totals.file_bytes += option.bytes;
    totals.memory_bytes += option.memory_bytes;
    totals.seconds += option.seconds;
  }
  return totals;
}

namespace {

TypeList types_at(std::span<const MatrixPlan> plans, const Allocation& allocation) {
  TypeList types;
  for (std::size_t i = 0; i < allocation.choice.size(); ++i) {
    types.push_back(plans[i].options[allocation.choice[i]].type);
  }
  return types;
}

// Bytes of the file bound the allocation; memory differs from them only by padded rows, and what is
// too much there is taken off.
TypeList choose_by_file(std::span<const MatrixPlan> plans, const TypeBounds& bounds) {
  constexpr int kRoundsMax = 20;
  const auto items = items_of(plans);
  std::uint64_t limit =
      std::min(most_bytes(plans), bounds.file_bytes == 0 ? kNoBound : bounds.file_bytes);
  for (int round = 0; round < kRoundsMax; ++round) {
    const Allocation allocation = allocate(items, {limit, bounds.seconds});
    if (!allocation.is_feasible()) return {};
    TypeList types = types_at(plans, allocation);
    const TypeTotals totals = totals_of(plans, types);
    if (fits(totals, bounds)) return types;
    const std::uint64_t excess = totals.memory_bytes - bounds.memory_bytes;
    if (excess >= totals.file_bytes) return {};
    limit = totals.file_bytes - excess;
  }
  return {};
}

// Bytes of memory bound it: exact where memory alone is bounded.
TypeList choose_by_memory(std::span<const MatrixPlan> plans, const TypeBounds& bounds) {
  auto items = items_of(plans);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    for (std::size_t o = 0; o < plans[i].options.size(); ++o) {
      items[i][o].bytes = plans[i].options[o].memory_bytes;
    }
  }
  const Allocation allocation = allocate(items, {bounds.memory_bytes, bounds.seconds});
  TypeList types = types_at(plans, allocation);
  if (types.empty() || !fits(totals_of(plans, types), bounds)) return {};
  return types;
}

}  // namespace

TypeList choose_types(std::span<const MatrixPlan> plans, const TypeBounds& bounds) {
  TypeList types = choose_by_file(plans, bounds);
  if (bounds.memory_bytes == 0) return types;
  TypeList others = choose_by_memory(plans, bounds);
  if (types.empty()) return others;
  if (others.empty()) return types;
  const bool is_less = totals_of(plans, others).predicted_kl < totals_of(plans, types).predicted_kl;
  return is_less ? others : types;
}

TypeList choose_smallest(std::span<const MatrixPlan> plans, double kl, const TypeBounds& bounds) {
  constexpr int kStepsMax = 40;
  std::uint64_t low = 0;
  for (const MatrixPlan& plan : plans) low += plan.options.front().bytes;
  std::uint64_t high = most_bytes(plans);
  if (bounds.file_bytes != 0) high = std::min(high, bounds.file_bytes);
  const auto at = [&](std::uint64_t bytes) {
    TypeBounds limited = bounds;
    limited.file_bytes = bytes;
    return choose_types(plans, limited);
  };
  TypeList best = at(high);
  if (best.empty() || totals_of(plans, best).predicted_kl > kl) return {};
  // A ten-thousandth of the size decides nothing.
  for (int step = 0; step < kStepsMax && high - low > high / 10'000; ++step) {
    const std::uint64_t middle = low + (high - low) / 2;
    TypeList types = at(middle);
    if (!types.empty() && totals_of(plans, types).predicted_kl <= kl) {
      best = std::move(types);
      high = middle;
    } else {
      low = middle;
    }
  }
  return best;
}

TypeList choose_uniform(std::span<const MatrixPlan> plans, std::span<const DType> types,
                        const TypeBounds& bounds) {
  TypeList best;
  std::uint64_t best_bytes = 0;
  for (const DType type : types) {
    TypeList list;
    for (const MatrixPlan& plan : plans) {
      list.push_back(has_option(plan, type) ? type : plan.original);
    }
    const TypeTotals totals = totals_of(plans, list);
    if (fits(totals, bounds) && totals.file_bytes > best_bytes) {
      best = std::move(list);
      best_bytes = totals.file_bytes;
    }
  }
  return best;
}

}  // namespace paring::shrink
