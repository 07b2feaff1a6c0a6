// SPDX-License-Identifier: Apache-2.0
// The search behind `paring optimize`: from a loaded original to candidates that keep to the
// budget, measured end to end on calibration text; held-out text is not its business. Its steps are
// ordered so that a valid candidate exists early and every further measurement can improve it.
// One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"
#include "shrink/budget.h"
#include "shrink/candidates.h"
#include "shrink/journal.h"
#include "shrink/optimize.h"
#include "shrink/plans.h"
#include "shrink/sensitivity.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// What the search shares with the run that owns it; all must outlive the search.
struct SearchContext {
  const engine::LoadedModel& original;
  Executor& executor;
  measure::Evaluator& evaluator;
  Journal& journal;
  ProgressSink& progress;
  const Statistics& statistics;
};

struct SearchSetup {
  std::vector<DType> types;  // that a matrix may take beside its original one
  Budget budget;
  FixedCosts fixed;
  measure::Windows probe_windows;      // short, fit one step
  measure::Windows candidate_windows;  // of the evaluation's length
  // Of the monotonic clock: when the losses of encodings, and when improving must stop, the latter
  // given the seconds that a model's pass over a window takes.
  double encodings_end = 0;
  std::function<double(double window_seconds)> end;
  double window_seconds = 0;  // first guess of such a pass
  // Decode speed of a view as a multiple of the original's, measured; only with a speed budget.
  std::function<Result<double>(const model::ModelView&)> speedup;
  double decode_seconds = 0;  // of one token of the original; only with a speed budget
};

class Search {
 public:
  Search(const SearchContext& context, SearchSetup setup);

  // What every type of every matrix costs and loses, and, with a speed budget, how long its kernel
  // takes. Exhausted when no types are fast enough, with the best speed that is possible.
  Result<void> plan();
  // Measures until nothing is left to measure or time is up. Exhausted, with the nearest possible
  // budget, when no candidate keeps to the bounds.
  Result<void> run();

  // The best candidate that keeps to the bounds; there is one after run().
  std::size_t winner() const { return winner_; }
  Recipe winner_recipe() const;
  Result<std::shared_ptr<EncodedModel>> encode_winner();
  // The written winner missed a bound by what could not be known before: the next candidate keeps
  // more distance. Exhausted as run().
  Result<void> retry_for_kl(double held_out_kl);
  Result<void> retry_for_speed(double speedup);
  Result<void> retry_for_bytes(std::uint64_t excess);

  const std::vector<MatrixPlan>& plans() const { return plans_; }
  const std::vector<Candidate>& candidates() const { return candidates_; }
  Candidates& measured() { return measured_; }
  TypeBounds bounds() const;
  const SearchTime& time() const { return time_; }
  // Seconds of a model's pass over a window of kContext tokens, as last measured.
  double window_seconds() const;
  // The text that candidates were measured on.
  const measure::Windows& candidate_windows() const { return setup_.candidate_windows; }
  // Mean share of bytes that importance changed in the encodings.
  double importance_share() const { return importance_share_; }

 private:
  enum class Round { kFirst, kFull };
  bool has_time_for(double seconds) const;
  double candidate_seconds() const;
  Result<void> measure_losses(MatrixPlan& plan, double& seconds);
  bool take_losses_of_like(MatrixPlan& plan);
  Result<void> drop_beyond_range(MatrixPlan& plan);
  Result<void> settle_candidate_text();
  bool has_valid() const;
  Result<void> measure_kernel_times(MatrixPlan& plan);
  Result<void> check_speed_possible();
  Result<void> probe(Round round);
  Result<void> pursue(const std::string& label);
  Result<void> pursue_kl(const std::string& label);
  Result<void> pursue_speed(const std::string& label);
  Result<void> refine();
  Result<double> price_factor(const std::vector<std::size_t>& group, const std::string& label);
  void reprice();
  Result<std::size_t> add(std::string name, TypeList types);
  Result<void> add_uniform();
  bool keeps_bounds(const Candidate& candidate) const;
  bool is_better(const Candidate& a, const Candidate& b) const;
  void choose_winner();
  Result<void> require_winner();
  Error impossible() const;

  SearchContext context_;
  SearchSetup setup_;
  Sensitivity sensitivity_;
  Candidates measured_;
  std::vector<MatrixPlan> plans_;
  std::vector<Candidate> candidates_;
  std::size_t winner_ = 0;
  SearchTime time_;
  double start_ = 0;
  std::map<model::MatrixKind, double> corrections_;  // of the prices of a kind
  double importance_share_ = 0;
  double proofs_counted_ = 0;
  double encoding_seconds_ = 0;  // estimate for all matrices once, with feedback
  bool is_candidate_text_settled_ = false;
  double kl_factor_;           // held-out KL as served, for one of search KL in exact numerics
  double speed_factor_ = 1.0;  // speed to aim at, for one of the speed asked for
};

}  // namespace paring::shrink
