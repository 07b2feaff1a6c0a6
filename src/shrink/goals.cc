// SPDX-License-Identifier: Apache-2.0
// How the search comes from prices to candidates for each kind of budget, and refines them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.h"
#include "shrink/search.h"

namespace paring::shrink {

namespace {

// "101.3MB", rounded up, as it can be typed.
std::string typed(std::uint64_t bytes) {
  const std::uint64_t step = bytes < 10'000'000 ? 100 : 100'000;
  const double rounded = static_cast<double>((bytes + step - 1) / step * step);
  return step == 100 ? fmt::format("{:.1f}kB", rounded / 1e3)
                     : fmt::format("{:.1f}MB", rounded / 1e6);
}

}  // namespace

Result<void> Search::pursue(const std::string& label) {
  const Budget& budget = setup_.budget;
  if (budget.speedup > 0) {
    PARING_TRY_VOID(pursue_speed(label));
  } else if (budget.file_bytes == 0 && budget.memory_bytes == 0) {
    PARING_TRY_VOID(pursue_kl(label));
  } else {
    TypeList types = choose_types(plans_, bounds());
    if (!types.empty()) {
      PARING_TRY(const std::size_t added, add(label, std::move(types)));
      (void)added;
    }
  }
  choose_winner();
  return {};
}

// The least bytes whose measured KL keeps to the bound: what was measured corrects what is
// predicted, until the bound is met closely.
Result<void> Search::pursue_kl(const std::string& label) {
  constexpr int kRoundsMax = 4;
  constexpr double kClose = 0.93;
  const double wanted = setup_.budget.kl_max / kl_factor_;
  double target = wanted;
  for (int round = 0; round < kRoundsMax; ++round) {
    TypeList types = choose_smallest(plans_, target, bounds());
    // Nothing is predicted to be good enough: the best there is decides.
    if (types.empty()) types = choose_types(plans_, bounds());
    PARING_TRY(const std::size_t added,
               add(fmt::format("{}, smallest for KL {:.4g}", label, setup_.budget.kl_max),
                   std::move(types)));
    const Candidate& candidate = candidates_[added];
    if (candidate.kl <= wanted && candidate.kl >= kClose * wanted) break;
    const double next = candidate.predicted_kl * 0.97 * wanted / std::max(candidate.kl, 1e-12);
    if (next == target) break;
    target = next;
    if (has_valid() && !has_time_for(candidate_seconds())) break;
  }
  return {};
}

// Lowers the time that the kernels may take until the measured speed is reached.
Result<void> Search::pursue_speed(const std::string& label) {
  constexpr int kRoundsMax = 5;
  const double speedup = setup_.budget.speedup * speed_factor_;
  double kernel_seconds = 0;
  for (const MatrixPlan& plan : plans_) kernel_seconds += option_of(plan, plan.original).seconds;
  // What a token costs beside its matrices does not change with their types.
  const double other = std::max(0.0, setup_.decode_seconds - kernel_seconds);
  const double wanted = setup_.decode_seconds / speedup;
  TypeBounds limits = bounds();
  limits.seconds = std::max(wanted - other, 0.05 * wanted);
  for (int round = 0; round < kRoundsMax; ++round) {
    TypeList types = choose_types(plans_, limits);
    if (types.empty()) break;
    PARING_TRY(
        const std::size_t added,
        add(fmt::format("{}, for {:.2f}x speed", label, setup_.budget.speedup), std::move(types)));
    Candidate& candidate = candidates_[added];
    PARING_TRY(
        const auto encoded,
        measured_.encode(plans_, {candidate.types, Rounding::kFeedback, true}, silent_progress()));
    PARING_TRY(candidate.speedup, setup_.speedup(encoded->view));
    candidate.decode_tokens_per_second = candidate.speedup / setup_.decode_seconds;
    if (candidate.speedup >= speedup) return {};
    if (has_valid() && !has_time_for(candidate_seconds())) return {};
    limits.seconds *= 0.97 * candidate.speedup / speedup;
  }
  return {};
}

// ---- refinement

// Prices were measured on the original, one matrix at a time; beside the errors of all others a
// matrix may cost more or less. So all matrices of a kind take a step together, from the best
// candidate, and what that changes scales the kind's prices.
Result<double> Search::price_factor(const std::vector<std::size_t>& group,
                                    const std::string& label) {
  constexpr double kTrust = 3.0;  // a correction beyond this is a measurement gone wrong
  const Candidate base = candidates_[winner_];
  TypeList moved = base.types;
  for (const std::size_t i : group) {
    const auto& options = plans_[i].options;
    std::size_t at = 0;
    while (options[at].type != moved[i]) ++at;
    // The next smaller type that loses more; where there is none, the next larger that loses less.
    std::size_t to = at;
    for (std::size_t o = at; o-- > 0 && to == at;) {
      if (options[o].bytes < options[at].bytes && options[o].error > options[at].error) to = o;
    }
    for (std::size_t o = at + 1; o < options.size() && to == at; ++o) {
      if (options[o].error < options[at].error) to = o;
    }
    moved[i] = options[to].type;
  }
  if (moved == base.types) return 1.0;
  const double predicted =
      totals_of(plans_, moved).predicted_kl - totals_of(plans_, base.types).predicted_kl;
  PARING_TRY(const auto kl,
             measured_.measure(plans_, {moved, Rounding::kFeedback, true}, "refining " + label));
  const double ratio = (kl.at(0) - base.kl) / predicted;
  return std::isfinite(ratio) ? std::clamp(ratio, 1 / kTrust, kTrust) : 1.0;
}

Result<void> Search::refine() {
  if (winner_ == candidates_.size() || setup_.budget.speedup > 0) return {};
  std::map<model::MatrixKind, std::vector<std::size_t>> kinds;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    kinds[context_.original.model->slot(plans_[i].index).id.kind].push_back(i);
  }
  time_.refinements_wanted = kinds.size();
  for (const auto& [kind, group] : kinds) {
    if (!has_time_for(2.5 * candidate_seconds())) break;
    const std::string label =
        fmt::format("{} of {} kinds of tensors", time_.refinements_measured + 1, kinds.size());
    PARING_TRY(corrections_[kind], price_factor(group, label));
    ++time_.refinements_measured;
  }
  if (corrections_.empty()) return {};
  reprice();
  return pursue("refined allocation");
}

// ---- when a bound is missed

Error Search::impossible() const {
  const Budget& budget = setup_.budget;
  const Candidate* best = nullptr;  // least KL within the other bounds
  const Candidate* fastest = nullptr;
  for (const Candidate& candidate : candidates_) {
    const bool is_small =
        (budget.file_bytes == 0 || candidate.file_bytes <= budget.file_bytes) &&
        (budget.memory_bytes == 0 || candidate.memory_bytes <= budget.memory_bytes);
    if (!is_small) continue;
    if (fastest == nullptr || candidate.speedup > fastest->speedup) fastest = &candidate;
    const bool is_fast = budget.speedup == 0 || candidate.speedup >= budget.speedup * speed_factor_;
    if (is_fast && (best == nullptr || candidate.kl < best->kl)) best = &candidate;
  }
  if (fastest == nullptr) {
    return exhausted(
        "no combination of types that the search found keeps within --file and --memory",
        "allow a little more");
  }
  if (best == nullptr) {
    const double reached = fastest->speedup / speed_factor_;
    return exhausted(
        fmt::format("no types reach --speed {}x within the other bounds: measured {:.2f}x",
                    budget.speedup, reached),
        fmt::format("the nearest possible is about --speed {:.2f}x", reached));
  }
  const double least = best->kl * kl_factor_;
  const std::string where = budget.file_bytes != 0 ? "at " + format_bytes(budget.file_bytes)
                            : budget.memory_bytes != 0
                                ? "in " + format_bytes(budget.memory_bytes) + " of memory"
                                : std::string("with the allowed types");
  // Predictions are corrected by what was measured nearby.
  const double target = budget.kl_max / kl_factor_ * best->predicted_kl / std::max(best->kl, 1e-12);
  const TypeList enough = choose_smallest(plans_, target, {});
  std::string hint = fmt::format("the nearest possible is --kl {:.3g}", least * 1.02);
  if (!enough.empty() && (budget.file_bytes != 0 || budget.memory_bytes != 0)) {
    const TypeTotals totals = totals_of(plans_, enough);
    hint = budget.file_bytes != 0
               ? fmt::format("for KL {:.3g} at least about --file {} is needed", budget.kl_max,
                             typed(totals.file_bytes + setup_.fixed.file_bytes))
               : fmt::format("for KL {:.3g} at least about --memory {} is needed", budget.kl_max,
                             typed(totals.memory_bytes + setup_.fixed.memory_bytes));
    hint += fmt::format(", or --kl {:.3g}", least * 1.02);
  }
  return exhausted(fmt::format("{} the best KL is about {:.3g} on held-out text, the budget asks "
                               "for {:.3g}",
                               where, least, budget.kl_max),
                   hint);
}

Result<void> Search::require_winner() {
  if (winner_ < candidates_.size()) return {};
  return impossible();
}

Result<void> Search::retry_for_kl(double held_out_kl) {
  // A little more than the ratio: the next candidate is judged by the same text.
  kl_factor_ =
      std::max(1.01 * held_out_kl / std::max(candidates_[winner_].kl, 1e-12), 1.02 * kl_factor_);
  PARING_TRY_VOID(pursue("with more distance to the KL bound"));
  return require_winner();
}

Result<void> Search::retry_for_speed(double speedup) {
  candidates_[winner_].speedup = speedup;
  speed_factor_ *= 1.01 * setup_.budget.speedup / std::max(speedup, 1e-9);
  PARING_TRY_VOID(pursue("with more distance to the speed bound"));
  return require_winner();
}

Result<void> Search::retry_for_bytes(std::uint64_t excess) {
  setup_.fixed.file_bytes += excess;
  for (Candidate& candidate : candidates_) candidate.file_bytes += excess;
  PARING_TRY_VOID(pursue("with more room for the header"));
  return require_winner();
}

}  // namespace paring::shrink
