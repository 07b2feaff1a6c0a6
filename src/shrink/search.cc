// SPDX-License-Identifier: Apache-2.0
#include "shrink/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/process.h"
#include "base/text.h"
#include "shrink/encode.h"
#include "shrink/kernel_times.h"

namespace paring::shrink {

namespace {

// Rows that estimate a matrix's encoding losses; more of an embedding, whose rows differ most.
constexpr std::size_t kLossRowsMin = 48;
constexpr std::size_t kLossRowsShare = 512;
// Layers whose matrices are measured before the first candidate; the others are interpolated.
constexpr std::size_t kFirstLayers = 8;
// Held-out text differs from search text, and serving rounds activations: room for both until the
// first check tells how much is needed.
constexpr double kKlFactor = 1.15;

}  // namespace

Search::Search(const SearchContext& context, SearchSetup setup)
    : context_(context),
      setup_(std::move(setup)),
      sensitivity_(context.evaluator, context.original, context.statistics, context.executor,
                   context.journal, context.progress),
      measured_(context.original, context.statistics, context.evaluator, context.executor,
                context.journal, context.progress),
      start_(system_clock().monotonic_seconds()),
      kl_factor_(kKlFactor) {
  measured_.prepare(setup_.candidate_windows);
}

bool Search::has_time_for(double seconds) const {
  return system_clock().monotonic_seconds() + seconds <= setup_.end;
}

TypeBounds Search::bounds() const {
  const auto rest = [](std::uint64_t total, std::uint64_t fixed) -> std::uint64_t {
    if (total == 0) return 0;
    return total > fixed ? total - fixed : 1;
  };
  return {rest(setup_.budget.file_bytes, setup_.fixed.file_bytes),
          rest(setup_.budget.memory_bytes, setup_.fixed.memory_bytes), 0};
}

// ---- what types cost and lose

Result<void> Search::plan() {
  PARING_TRY(plans_, make_plans(context_.original, setup_.types));
  context_.progress.begin("encodings", plans_.size());
  double changed = 0;
  std::size_t counted = 0;
  for (MatrixPlan& plan : plans_) {
    std::vector<DType> types;
    std::vector<TypeOption*> options;
    for (TypeOption& option : plan.options) {
      if (option.type == plan.original) continue;
      types.push_back(option.type);
      options.push_back(&option);
    }
    const Inputs inputs{context_.statistics.importance(plan.index),
                        context_.statistics.factor(plan.index)};
    PARING_TRY(
        const auto losses,
        encoding_losses(context_.original.file, plan.name, types, inputs,
                        std::max(kLossRowsMin, plan.rows / kLossRowsShare), context_.executor));
    for (std::size_t t = 0; t < types.size(); ++t) {
      options[t]->error = losses[t].feedback;
      options[t]->error_nearest = losses[t].nearest;
      plan.energy = losses[t].energy;
      options[t]->is_beyond_range = losses[t].is_beyond_range;
      // 8 bits leave next to nothing to choose: no proof is asked of them.
      if (dtype_info(types[t]).bits_per_weight() < 8 && !inputs.importance.empty()) {
        changed += losses[t].changed_share;
        ++counted;
      }
    }
    std::erase_if(plan.options, [](const TypeOption& option) { return option.is_beyond_range; });
    if (setup_.budget.speedup > 0) PARING_TRY_VOID(measure_kernel_times(plan));
    context_.original.file.release(*context_.original.file.find(plan.name));
    context_.progress.advance(1);
  }
  context_.progress.end();
  importance_share_ = counted > 0 ? changed / static_cast<double>(counted) : 0.0;
  if (setup_.budget.speedup > 0) PARING_TRY_VOID(check_speed_possible());
  return {};
}

Result<void> Search::measure_kernel_times(MatrixPlan& plan) {
  KernelTimes times(context_.executor);
  for (TypeOption& option : plan.options) {
    PARING_TRY(option.seconds,
               context_.journal.recall_or(
                   fmt::format("kernel {} {}x{}", dtype_name(option.type), plan.rows, plan.cols),
                   [&]() -> Result<double> {
                     PARING_TRY(const Encoding encoding,
                                encode_matrix(context_.original.file, plan.name, option.type,
                                              Rounding::kNearest, {}, context_.executor));
                     return times.seconds(option.type, encoding.bytes.data(), plan.rows, plan.cols);
                   }));
  }
  return {};
}

Result<void> Search::check_speed_possible() {
  double original = 0;
  double fastest = 0;
  for (const MatrixPlan& plan : plans_) {
    original += option_of(plan, plan.original).seconds;
    double best = plan.options.front().seconds;
    for (const TypeOption& option : plan.options) best = std::min(best, option.seconds);
    fastest += best;
  }
  const double other = std::max(0.0, setup_.decode_seconds - original);
  const double possible = setup_.decode_seconds / (other + fastest);
  // Times of single kernels foretell a whole token's to about a quarter.
  constexpr double kDoubt = 1.25;
  if (setup_.budget.speedup <= kDoubt * possible) return {};
  return exhausted(
      fmt::format("--speed {}x is impossible: with the fastest allowed type for every matrix, "
                  "decoding would be about {:.1f}x as fast as the original",
                  setup_.budget.speedup, possible),
      fmt::format("the nearest possible is about --speed {:.1f}x", possible));
}

// ---- sensitivity

Result<void> Search::probe(Round round) {
  PARING_TRY_VOID(sensitivity_.prepare(setup_.probe_windows));
  std::vector<std::size_t> order = probe_order(*context_.original.model, plans_);
  time_.probes_wanted = order.size();
  const std::size_t per_layer =
      std::max<std::size_t>(1, plans_.size() / context_.original.model->spec().layers);
  if (round == Round::kFirst) order.resize(std::min(order.size(), kFirstLayers * per_layer + 2));
  context_.progress.begin("sensitivity", order.size());
  double each = 0;
  // How long a candidate takes is known once there is one; until then it gets half of the time.
  const double left = setup_.end - system_clock().monotonic_seconds();
  const double reserve =
      round == Round::kFirst ? 0.5 * std::max(0.0, left) : 2 * measured_.last_seconds();
  for (const std::size_t i : order) {
    if (!plans_[i].is_probed) {
      // The first two tell what a measurement takes; time for a candidate must be left.
      if (time_.probes_measured >= 2 && !has_time_for(each + reserve)) break;
      const double start = system_clock().monotonic_seconds();
      PARING_TRY_VOID(sensitivity_.measure(plans_[i]));
      each = std::max(0.5 * each, system_clock().monotonic_seconds() - start);
      ++time_.probes_measured;
    }
    context_.progress.advance(1);
  }
  context_.progress.end();
  reprice();
  return {};
}

void Search::reprice() {
  const model::Model& model = *context_.original.model;
  price_options(model, plans_);
  for (MatrixPlan& plan : plans_) {
    const auto found = corrections_.find(model.slot(plan.index).id.kind);
    if (found == corrections_.end()) continue;
    for (TypeOption& option : plan.options) option.predicted_kl *= found->second;
  }
}

// ---- candidates

Result<std::size_t> Search::add(std::string name, TypeList types) {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].types == types) return i;
  }
  const TypeTotals totals = totals_of(plans_, types);
  PARING_TRY(const auto kl, measured_.measure(plans_, {types, Rounding::kFeedback, true}));
  Candidate candidate;
  candidate.name = std::move(name);
  candidate.types = std::move(types);
  candidate.file_bytes = totals.file_bytes + setup_.fixed.file_bytes;
  candidate.memory_bytes = totals.memory_bytes + setup_.fixed.memory_bytes;
  candidate.predicted_kl = totals.predicted_kl;
  candidate.kl = kl.at(0);
  candidate.kl_standard_error = kl.at(1);
  candidates_.push_back(std::move(candidate));
  time_.search_seconds = system_clock().monotonic_seconds() - start_;
  return candidates_.size() - 1;
}

Result<void> Search::add_uniform() {
  TypeList types = choose_uniform(plans_, setup_.types, bounds());
  if (types.empty()) return {};
  const auto largest =
      std::max_element(plans_.begin(), plans_.end(), [](const MatrixPlan& a, const MatrixPlan& b) {
        return a.options.back().bytes < b.options.back().bytes;
      });
  const DType type = types[static_cast<std::size_t>(largest - plans_.begin())];
  PARING_TRY(const std::size_t added,
             add(fmt::format("all {}", dtype_name(type)), std::move(types)));
  (void)added;
  return {};
}

bool Search::keeps_bounds(const Candidate& candidate) const {
  const Budget& budget = setup_.budget;
  return (budget.file_bytes == 0 || candidate.file_bytes <= budget.file_bytes) &&
         (budget.memory_bytes == 0 || candidate.memory_bytes <= budget.memory_bytes) &&
         (budget.speedup == 0 || candidate.speedup >= budget.speedup * speed_factor_) &&
         (budget.kl_max == 0 || candidate.kl * kl_factor_ <= budget.kl_max);
}

// Least loss within a size or a speed; the smallest when only the loss is bounded.
bool Search::is_better(const Candidate& a, const Candidate& b) const {
  const Budget& budget = setup_.budget;
  const bool is_loss_alone =
      budget.file_bytes == 0 && budget.memory_bytes == 0 && budget.speedup == 0;
  return is_loss_alone ? a.file_bytes < b.file_bytes : a.kl < b.kl;
}

void Search::choose_winner() {
  winner_ = candidates_.size();
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (!keeps_bounds(candidates_[i])) continue;
    if (winner_ == candidates_.size() || is_better(candidates_[i], candidates_[winner_])) {
      winner_ = i;
    }
  }
  for (std::size_t i = 0; i < candidates_.size(); ++i) candidates_[i].is_winner = i == winner_;
  if (winner_ == candidates_.size()) return;
  for (std::size_t i = 0; i < plans_.size(); ++i) plans_[i].chosen = candidates_[winner_].types[i];
}

Recipe Search::winner_recipe() const {
  return {candidates_[winner_].types, Rounding::kFeedback, true};
}

Result<std::shared_ptr<EncodedModel>> Search::encode_winner() {
  return measured_.encode(plans_, winner_recipe());
}

Result<void> Search::run() {
  PARING_TRY_VOID(probe(Round::kFirst));
  PARING_TRY_VOID(pursue("first allocation"));
  // Before the other sensitivities: on SmolLM2 these gain more.
  PARING_TRY_VOID(refine());
  PARING_TRY_VOID(probe(Round::kFull));
  PARING_TRY_VOID(pursue("allocation"));
  if (has_time_for(measured_.last_seconds())) PARING_TRY_VOID(add_uniform());
  choose_winner();
  if (const auto memory = process_memory()) time_.peak_memory_bytes = memory->peak_resident_bytes;
  return require_winner();
}

}  // namespace paring::shrink
