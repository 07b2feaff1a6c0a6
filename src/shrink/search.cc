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
#include "shrink/run_texts.h"

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
  time_.candidate_windows_wanted = setup_.candidate_windows.windows.size();
}

// Times foretell the next ones to about this much.
bool Search::has_time_for(double seconds) const {
  constexpr double kDoubt = 1.15;
  return system_clock().monotonic_seconds() + kDoubt * seconds <= setup_.end(window_seconds());
}

double Search::window_seconds() const {
  const double measured = measured_.window_seconds();
  return measured > 0 ? measured : setup_.window_seconds;
}

// A candidate's encoding and measurement: the last one's, or before there is one, an estimate that
// includes the original's pass.
double Search::candidate_seconds() const {
  if (measured_.last_seconds() > 0) return measured_.last_seconds();
  const auto windows = static_cast<double>(setup_.candidate_windows.windows.size());
  return encoding_seconds_ + 2 * windows * window_seconds();
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
  context_.progress.begin("losses of encodings", plans_.size());
  time_.encodings_wanted = plans_.size();
  double seconds = 0;
  for (const std::size_t i : probe_order(*context_.original.model, plans_)) {
    MatrixPlan& plan = plans_[i];
    const bool is_late = system_clock().monotonic_seconds() >= setup_.encodings_end;
    if (!is_late || !take_losses_of_like(plan)) {
      PARING_TRY_VOID(measure_losses(plan, seconds));
      ++time_.encodings_measured;
    }
    PARING_TRY_VOID(drop_beyond_range(plan));
    if (setup_.budget.speedup > 0) PARING_TRY_VOID(measure_kernel_times(plan));
    context_.original.file.release(*context_.original.file.find(plan.name));
    context_.progress.advance(1);
  }
  context_.progress.end();
  importance_share_ = proofs_counted_ > 0 ? importance_share_ / proofs_counted_ : 0.0;
  encoding_seconds_ = seconds * static_cast<double>(time_.encodings_wanted) /
                      static_cast<double>(time_.encodings_measured);
  if (setup_.budget.speedup > 0) PARING_TRY_VOID(check_speed_possible());
  return {};
}

// Adds to `seconds` what encoding the whole matrix in one type would take.
Result<void> Search::measure_losses(MatrixPlan& plan, double& seconds) {
  std::vector<DType> types;
  std::vector<TypeOption*> options;
  for (TypeOption& option : plan.options) {
    if (option.type == plan.original) continue;
    types.push_back(option.type);
    options.push_back(&option);
  }
  const Inputs inputs{context_.statistics.importance(plan.index),
                      context_.statistics.factor(plan.index)};
  const std::size_t rows = std::max(kLossRowsMin, plan.rows / kLossRowsShare);
  const double start = system_clock().monotonic_seconds();
  PARING_TRY(const auto losses, encoding_losses(context_.original.file, plan.name, types, inputs,
                                                rows, context_.executor));
  const double encoded = static_cast<double>(std::min(rows, plan.rows) * types.size());
  if (encoded > 0) {
    seconds +=
        (system_clock().monotonic_seconds() - start) * static_cast<double>(plan.rows) / encoded;
  }
  for (std::size_t t = 0; t < types.size(); ++t) {
    options[t]->error = losses[t].feedback;
    options[t]->error_nearest = losses[t].nearest;
    plan.energy = losses[t].energy;
    // 8 bits leave next to nothing to choose: no proof is asked of them.
    if (dtype_info(types[t]).bits_per_weight() < 8 && !inputs.importance.empty()) {
      importance_share_ += losses[t].changed_share;
      ++proofs_counted_;
    }
  }
  plan.is_encoded = true;
  return {};
}

// The losses of the nearest measured layer's matrix of the same kind and shape, for want of time to
// measure its own; false when there is none.
bool Search::take_losses_of_like(MatrixPlan& plan) {
  const model::Model& model = *context_.original.model;
  const model::MatrixId id = model.slot(plan.index).id;
  const MatrixPlan* best = nullptr;
  std::size_t best_distance = SIZE_MAX;
  for (const MatrixPlan& other : plans_) {
    const model::MatrixId like = model.slot(other.index).id;
    const bool is_like =
        other.is_encoded && like.kind == id.kind && other.cols == plan.cols &&
        std::all_of(plan.options.begin(), plan.options.end(),
                    [&](const TypeOption& o) { return has_option(other, o.type); });
    if (!is_like) continue;
    const std::size_t distance =
        like.layer > id.layer ? like.layer - id.layer : id.layer - like.layer;
    if (distance >= best_distance) continue;
    best = &other;
    best_distance = distance;
  }
  if (best == nullptr) return false;
  const double scale = static_cast<double>(plan.rows) / static_cast<double>(best->rows);
  plan.energy = best->energy * scale;
  for (TypeOption& option : plan.options) {
    const TypeOption& like = option_of(*best, option.type);
    option.error = like.error * scale;
    option.error_nearest = like.error_nearest * scale;
  }
  return true;
}

// No type may be chosen that the matrix's own values do not fit; this is found for each matrix.
Result<void> Search::drop_beyond_range(MatrixPlan& plan) {
  std::vector<DType> types;
  for (const TypeOption& option : plan.options) {
    if (option.type != plan.original) types.push_back(option.type);
  }
  PARING_TRY(const std::vector<DType> beyond,
             types_beyond_range(context_.original.file, plan.name, types, context_.executor));
  std::erase_if(plan.options, [&](const TypeOption& option) {
    return std::find(beyond.begin(), beyond.end(), option.type) != beyond.end();
  });
  return {};
}

Result<void> Search::measure_kernel_times(MatrixPlan& plan) {
  KernelTimes times(context_.executor);
  const model::Model& model = *context_.original.model;
  // A token reads the experts that it uses.
  const double share =
      model.slot(plan.index).experts == 0 ? 1.0 : model.spec().experts->read_share(1);
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
    option.seconds *= share;
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

// Measured in the order of their worth until time is up; what is in the journal costs no time.
Result<void> Search::probe(Round round) {
  PARING_TRY_VOID(sensitivity_.prepare(setup_.probe_windows));
  std::vector<std::size_t> order = probe_order(*context_.original.model, plans_);
  time_.probes_wanted = order.size();
  const std::size_t per_layer =
      std::max<std::size_t>(1, plans_.size() / context_.original.model->spec().layers);
  if (round == Round::kFirst) order.resize(std::min(order.size(), kFirstLayers * per_layer + 2));
  context_.progress.begin("sensitivity", order.size());
  double each = 0;
  const double reserve = candidate_seconds() * (round == Round::kFirst ? 1.25 : 2);
  for (const std::size_t i : order) {
    if (!plans_[i].is_probed) {
      // The first two tell what a measurement takes; time for a candidate must be left.
      const bool is_free = sensitivity_.is_known(plans_[i]);
      if (!is_free && time_.probes_measured >= 2 && !has_time_for(each + reserve)) continue;
      const double start = system_clock().monotonic_seconds();
      PARING_TRY_VOID(sensitivity_.measure(plans_[i]));
      if (!is_free) each = std::max(0.5 * each, system_clock().monotonic_seconds() - start);
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

// How much text all candidates are measured on: what the first has time for. A run that goes on
// keeps to it, so that its figures compare.
Result<void> Search::settle_candidate_text() {
  constexpr double kWindowsMin = 2;
  if (is_candidate_text_settled_) return {};
  const auto planned = static_cast<double>(setup_.candidate_windows.windows.size());
  PARING_TRY(const double windows,
             context_.journal.recall_or("candidate windows", [&]() -> Result<double> {
               const double left =
                   setup_.end(window_seconds()) - system_clock().monotonic_seconds();
               const double each = 2 * std::max(window_seconds(), 1e-9);
               return std::floor((left - encoding_seconds_) / each);
             }));
  const double used = std::clamp(windows, std::min(kWindowsMin, planned), planned);
  setup_.candidate_windows = spread(setup_.candidate_windows, static_cast<std::size_t>(used), 0.5);
  time_.candidate_windows = setup_.candidate_windows.windows.size();
  measured_.prepare(setup_.candidate_windows);
  is_candidate_text_settled_ = true;
  return {};
}

bool Search::has_valid() const {
  return std::any_of(candidates_.begin(), candidates_.end(),
                     [&](const Candidate& candidate) { return keeps_bounds(candidate); });
}

Result<std::size_t> Search::add(std::string name, TypeList types) {
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].types == types) return i;
  }
  const TypeTotals totals = totals_of(plans_, types);
  PARING_TRY_VOID(settle_candidate_text());
  PARING_TRY(const auto kl, measured_.measure(plans_, {types, Rounding::kFeedback, true}, name));
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
  return measured_.encode(plans_, winner_recipe(), silent_progress());
}

Result<void> Search::run() {
  PARING_TRY_VOID(probe(Round::kFirst));
  PARING_TRY_VOID(pursue("first allocation"));
  // Before the other sensitivities: on SmolLM2 these gain more.
  PARING_TRY_VOID(refine());
  PARING_TRY_VOID(probe(Round::kFull));
  if (!has_valid() || has_time_for(candidate_seconds())) PARING_TRY_VOID(pursue("allocation"));
  if (has_time_for(candidate_seconds())) PARING_TRY_VOID(add_uniform());
  choose_winner();
  if (const auto memory = process_memory()) time_.peak_memory_bytes = memory->peak_resident_bytes;
  return require_winner();
}

}  // namespace paring::shrink
