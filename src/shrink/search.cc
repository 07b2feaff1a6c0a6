// SPDX-License-Identifier: Apache-2.0
#include "shrink/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/text.h"
#include "engine/identity.h"
#include "shrink/allocate.h"
#include "shrink/encode.h"
#include "shrink/kernel_times.h"
#include "shrink/sensitivity.h"

namespace paring::shrink {

namespace {

// Text used by each step. Many short windows see more kinds of text than few long ones; a whole
// candidate is judged on windows of the evaluation's length.
constexpr std::size_t kStatisticsWindows = 48;
constexpr std::size_t kCandidateWindows = 8;
constexpr std::size_t kLossRowsMax = 1024;  // rows that estimate a matrix's encoding loss
constexpr std::size_t kLayerInputBytesMax = std::size_t{1} << 30;

// `count` windows spread evenly, starting `phase` (0..1) of a step in.
measure::Windows pick(const measure::Windows& all, std::size_t count, double phase) {
  measure::Windows some = all;
  some.windows.clear();
  count = std::min(count, all.windows.size());
  for (std::size_t i = 0; i < count; ++i) {
    const double at = (static_cast<double>(i) + phase) * static_cast<double>(all.windows.size()) /
                      static_cast<double>(count);
    some.windows.push_back(
        all.windows[std::min(static_cast<std::size_t>(at), all.windows.size() - 1)]);
  }
  return some;
}

const TypeOption& option_of(const MatrixPlan& plan, DType type) {
  for (const TypeOption& option : plan.options) {
    if (option.type == type) return option;
  }
  PARING_CHECK(false, "a plan's type is one of its options");
  return plan.options.front();
}

}  // namespace

Result<void> Search::collect(const measure::Windows& calibration, const measure::Windows& probes) {
  const model::BlockSpec& spec = original_.model->spec();
  const std::size_t window_bytes = spec.layers * probes.context * spec.width * sizeof(float);
  const std::size_t probe_count = std::clamp<std::size_t>(
      kLayerInputBytesMax / window_bytes, 1, evaluator_.windows_per_step(probes.context));
  probe_windows_ = pick(probes, probe_count, 0.25);
  candidate_windows_ = pick(calibration, kCandidateWindows, 0.75);
  PARING_TRY(
      statistics_,
      collect_statistics(evaluator_, view_, pick(calibration, kStatisticsWindows, 0.5), progress_));
  return {};
}

Result<void> Search::plan(const SearchOptions& options) {
  options_ = options;
  KernelTimes times(executor_);
  progress_.begin("encodings", original_.model->matrix_count());
  for (std::size_t i = 0; i < original_.model->matrix_count(); ++i) {
    const model::MatrixSlot& slot = original_.model->slot(i);
    const DType original = original_.model->matrix(i).type;
    MatrixPlan plan{i, slot.name, slot.rows, slot.cols, original, original, {}};
    std::vector<DType> types = {original};
    for (const DType type : options.types) {
      // A type that does not divide the row is not offered for this matrix.
      if (type != original && dtype_row_bytes(type, slot.cols)) types.push_back(type);
    }
    PARING_TRY(const auto losses,
               encoding_losses(original_.file, slot.name, types, statistics_.importance(i),
                               kLossRowsMax, executor_));
    for (std::size_t t = 0; t < types.size(); ++t) {
      TypeOption option{types[t], 0, 0, 0, false, 0};
      PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(types[t], slot.cols));
      option.bytes = row_bytes * slot.rows;
      option.error = types[t] == original ? 0 : losses[t].weighted_error;
      option.is_measured = types[t] == original;
      std::vector<std::byte> encoded;
      if (!times.has(types[t], slot.rows, slot.cols)) {
        PARING_TRY(encoded, encode_matrix(original_.file, slot.name, types[t], {}, executor_));
      }
      PARING_TRY(option.seconds, times.seconds(types[t], encoded.data(), slot.rows, slot.cols));
      plan.options.push_back(option);
    }
    std::sort(plan.options.begin(), plan.options.end(),
              [](const TypeOption& a, const TypeOption& b) { return a.bytes < b.bytes; });
    plans_.push_back(std::move(plan));
    original_.file.release(*original_.file.find(slot.name));
    progress_.advance(1);
  }
  progress_.end();
  return {};
}

Result<void> Search::measure_losses() {
  PARING_TRY(const measure::BaseRun base,
             measure::BaseRun::create(evaluator_, view_, probe_windows_, measure::kExactOptions,
                                      progress_));
  PARING_TRY_VOID(measure_sensitivity(evaluator_, base, original_, statistics_, {}, executor_,
                                      plans_, progress_));
  PARING_TRY(measure::BaseRun candidates,
             measure::BaseRun::create(evaluator_, view_, candidate_windows_, measure::kExactOptions,
                                      progress_));
  candidate_base_ = std::make_unique<measure::BaseRun>(std::move(candidates));
  return {};
}

double Search::predicted_kl(const std::vector<DType>& types) const {
  double sum = 0;
  for (std::size_t i = 0; i < plans_.size(); ++i)
    sum += option_of(plans_[i], types[i]).predicted_kl;
  return sum;
}

std::uint64_t Search::bytes_of(const std::vector<DType>& types) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < plans_.size(); ++i) sum += option_of(plans_[i], types[i]).bytes;
  return sum;
}

std::uint64_t Search::matrix_bytes_limit(const Budget& budget) const {
  std::uint64_t limit = 0;
  for (const MatrixPlan& plan : plans_) limit += plan.options.back().bytes;
  const auto cap = [&](std::uint64_t total, std::uint64_t fixed) {
    if (total != 0) limit = std::min(limit, total > fixed ? total - fixed : 0);
  };
  cap(budget.file_bytes, options_.fixed_bytes);
  cap(budget.memory_bytes, options_.fixed_memory);
  return limit;
}

Result<std::vector<DType>> Search::allocate_types(std::uint64_t bytes, double seconds) const {
  std::vector<std::vector<AllocationOption>> items;
  std::uint64_t least = 0;
  for (const MatrixPlan& plan : plans_) {
    std::vector<AllocationOption> options;
    for (const TypeOption& option : plan.options) {
      options.push_back({option.predicted_kl, option.bytes, option.seconds});
    }
    items.push_back(std::move(options));
    least += plan.options.front().bytes;
  }
  const Allocation allocation = allocate(items, {bytes, seconds});
  if (!allocation.is_feasible()) {
    return exhausted(
        fmt::format("the budget leaves {} for the matrices, the smallest types take {}",
                    format_bytes(bytes), format_bytes(least)),
        fmt::format("allow at least {} for the file", format_bytes(least + options_.fixed_bytes)));
  }
  std::vector<DType> types;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    types.push_back(plans_[i].options[allocation.choice[i]].type);
  }
  return types;
}

Result<std::unique_ptr<EncodedModel>> Search::encode(const std::vector<DType>& types) {
  auto encoded = std::make_unique<EncodedModel>(*original_.model);
  engine::WeightsIdentity identity;
  std::map<std::string_view, bool> is_matrix;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    const MatrixPlan& plan = plans_[i];
    is_matrix[plan.name] = true;
    PARING_TRY(const std::vector<std::byte> bytes,
               encode_matrix(original_.file, plan.name, types[i],
                             statistics_.importance(plan.index), executor_));
    const io::TensorInfo& tensor = *original_.file.find(plan.name);
    identity.add(plan.name, types[i], tensor.shape, bytes);
    original_.file.release(tensor);
    if (types[i] == plan.original) continue;
    PARING_TRY(kernels::PackedMatrix packed,
               kernels::pack(types[i], bytes.data(), plan.rows, plan.cols));
    encoded->matrices.push_back(std::make_unique<kernels::PackedMatrix>(std::move(packed)));
    encoded->view.replace(plan.index, encoded->matrices.back().get());
  }
  for (const io::TensorInfo& tensor : original_.file.tensors()) {
    if (is_matrix.contains(tensor.name)) continue;
    const io::TensorBytes bytes = original_.file.data(tensor);
    identity.add(tensor.name, tensor.type, tensor.shape, bytes.span());
  }
  encoded->weights_sha256 = identity.sha256();
  return encoded;
}

// Measures a set of types end to end; one measured before is not measured again.
Result<std::size_t> Search::add_candidate(std::string name, std::vector<DType> types) {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].types == types) return i;
  }
  PARING_TRY(const auto encoded, encode(types));
  PARING_TRY(const measure::Divergence divergence,
             measure::compare(evaluator_, *candidate_base_, encoded->view, measure::kExactOptions,
                              progress_));
  Candidate candidate;
  candidate.name = std::move(name);
  candidate.file_bytes = bytes_of(types) + options_.fixed_bytes;
  candidate.predicted_kl = predicted_kl(types);
  candidate.kl = divergence.kl_mean;
  candidate.kl_standard_error = divergence.kl_standard_error;
  candidate.types = std::move(types);
  candidates_.push_back(std::move(candidate));
  return candidates_.size() - 1;
}

// One type for every matrix that can take it: what a user would get without a search.
Result<void> Search::add_uniform_candidates(std::uint64_t limit) {
  DType best = DType::kF32;
  std::uint64_t best_bytes = 0;
  for (const DType type : options_.types) {
    std::uint64_t bytes = 0;
    for (const MatrixPlan& plan : plans_) {
      const auto has = [&](DType t) {
        return std::any_of(plan.options.begin(), plan.options.end(),
                           [&](const TypeOption& o) { return o.type == t; });
      };
      bytes += option_of(plan, has(type) ? type : plan.original).bytes;
    }
    if (bytes <= limit && bytes > best_bytes) {
      best = type;
      best_bytes = bytes;
    }
  }
  if (best_bytes == 0) return {};
  std::vector<DType> types;
  for (const MatrixPlan& plan : plans_) {
    types.push_back(dtype_row_bytes(best, plan.cols) ? best : plan.original);
  }
  PARING_TRY(const std::size_t added,
             add_candidate(fmt::format("all {}", dtype_name(best)), std::move(types)));
  (void)added;
  return {};
}

// Losses do not quite add: errors of many layers meet. All matrices of one kind are replaced
// together as the candidate has them, and that kind's predictions are scaled to what is measured.
Result<void> Search::correct_by_kind(const Candidate& measured) {
  std::map<model::MatrixKind, std::vector<std::size_t>> kinds;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    kinds[original_.model->slot(plans_[i].index).id.kind].push_back(i);
  }
  PARING_TRY(const auto encoded, encode(measured.types));
  for (const auto& [kind, members] : kinds) {
    model::ModelView view(*original_.model);
    double predicted = 0;
    for (const std::size_t i : members) {
      const std::size_t slot = plans_[i].index;
      if (measured.types[i] != plans_[i].original) view.replace(slot, &encoded->view.matrix(slot));
      predicted += option_of(plans_[i], measured.types[i]).predicted_kl;
    }
    if (predicted <= 0) continue;
    PARING_TRY(
        const measure::Divergence divergence,
        measure::compare(evaluator_, *candidate_base_, view, measure::kExactOptions, progress_));
    const double factor = divergence.kl_mean / predicted;
    for (const std::size_t i : members) {
      for (TypeOption& option : plans_[i].options) option.predicted_kl *= factor;
    }
  }
  return {};
}

// The least bytes whose measured KL keeps to the bound, by bisection on the predicted loss.
Result<void> Search::meet_kl(const Budget& budget, std::uint64_t limit) {
  constexpr int kSteps = 40;
  constexpr int kRoundsMax = 4;
  // Text differs: leave room so that held-out text keeps to the bound as well.
  double target = 0.9 * budget.kl_max;
  for (int round = 0; round < kRoundsMax; ++round) {
    std::uint64_t low = 0;
    for (const MatrixPlan& plan : plans_) low += plan.options.front().bytes;
    std::uint64_t high = limit;
    for (int step = 0; step < kSteps && low < high; ++step) {
      const std::uint64_t middle = low + (high - low) / 2;
      PARING_TRY(const auto types, allocate_types(middle, 0));
      if (predicted_kl(types) <= target) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    PARING_TRY(auto types, allocate_types(high, 0));
    PARING_TRY(
        const std::size_t added,
        add_candidate(fmt::format("smallest for KL {:.4f}, round {}", budget.kl_max, round + 1),
                      std::move(types)));
    const Candidate& candidate = candidates_[added];
    winner_ = added;
    if (candidate.kl <= 0.95 * budget.kl_max && candidate.kl >= 0.8 * budget.kl_max) return {};
    target *= 0.9 * budget.kl_max / std::max(candidate.kl, 1e-9);
  }
  if (candidates_[winner_].kl <= budget.kl_max) return {};
  return exhausted(fmt::format("no set of types reaches KL {} (the best measured has {:.5f})",
                               budget.kl_max, candidates_[winner_].kl),
                   "allow more KL or more bytes");
}

// Lowers the time budget until the measured speed is reached.
Result<void> Search::meet_speed(
    const Budget& budget, std::uint64_t limit,
    const std::function<Result<double>(const model::ModelView&)>& decode) {
  constexpr int kRoundsMax = 4;
  double kernel_seconds = 0;
  for (const MatrixPlan& plan : plans_) kernel_seconds += option_of(plan, plan.original).seconds;
  // What a token costs beside its matrices does not change with their types.
  const double other = std::max(0.0, options_.decode_seconds - kernel_seconds);
  const double wanted = options_.decode_seconds / budget.speedup;
  double allowed = std::max(wanted - other, 0.05 * wanted);
  double reached = 0;
  for (int round = 0; round < kRoundsMax; ++round) {
    PARING_TRY(auto types, allocate_types(limit, allowed));
    PARING_TRY(const std::size_t added,
               add_candidate(fmt::format("for speed, round {}", round + 1), std::move(types)));
    PARING_TRY(const auto encoded, encode(candidates_[added].types));
    PARING_TRY(const double seconds, decode(encoded->view));
    candidates_[added].decode_tokens_per_second = 1.0 / seconds;
    winner_ = added;
    reached = options_.decode_seconds / seconds;
    if (reached >= budget.speedup) return {};
    allowed *= 0.97 * wanted / seconds;
  }
  return exhausted(
      fmt::format("decode reached {:.2f}x the original's speed, the budget asks for {:.2f}x",
                  reached, budget.speedup),
      "ask for less speed or allow smaller types with --types");
}

Result<void> Search::find(
    const Budget& budget,
    const std::function<Result<double>(const model::ModelView&)>& decode_seconds) {
  const std::uint64_t limit = matrix_bytes_limit(budget);
  PARING_TRY(auto types, allocate_types(limit, 0));
  PARING_TRY(const std::size_t first, add_candidate("allocation", std::move(types)));
  PARING_TRY_VOID(add_uniform_candidates(limit));
  const Candidate measured = candidates_[first];
  PARING_TRY_VOID(correct_by_kind(measured));
  const bool has_size = budget.file_bytes != 0 || budget.memory_bytes != 0;
  if (budget.speedup > 0) {
    PARING_TRY_VOID(meet_speed(budget, limit, decode_seconds));
  } else if (!has_size) {
    PARING_TRY_VOID(meet_kl(budget, limit));
  } else {
    PARING_TRY(auto corrected, allocate_types(limit, 0));
    PARING_TRY(const std::size_t second,
               add_candidate("allocation corrected by kind", std::move(corrected)));
    (void)second;
    winner_ = 0;
    for (std::size_t i = 1; i < candidates_.size(); ++i) {
      if (candidates_[i].kl < candidates_[winner_].kl) winner_ = i;
    }
  }
  candidates_[winner_].is_winner = true;
  if (budget.kl_max > 0 && candidates_[winner_].kl > budget.kl_max) {
    return exhausted(
        fmt::format("within the other bounds the best KL is {:.5f}, the budget asks for {}",
                    candidates_[winner_].kl, budget.kl_max),
        "allow more KL, or a larger file, more memory or less speed");
  }
  for (std::size_t i = 0; i < plans_.size(); ++i) plans_[i].chosen = winner().types[i];
  return {};
}

TypeMap Search::winner_types() const {
  TypeMap types(original_.model->matrix_count());
  for (std::size_t i = 0; i < plans_.size(); ++i) types[plans_[i].index] = winner().types[i];
  return types;
}

}  // namespace paring::shrink
