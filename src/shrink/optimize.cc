// SPDX-License-Identifier: Apache-2.0
#include "shrink/optimize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "base/version.h"
#include "cost/machine.h"
#include "engine/identity.h"
#include "engine/open_model.h"
#include "io/atomic_file.h"
#include "kernels/ops.h"
#include "shrink/ablation.h"
#include "shrink/budget.h"
#include "shrink/certify.h"
#include "shrink/check.h"
#include "shrink/imatrix_statistics.h"
#include "shrink/journal.h"
#include "shrink/quantize.h"
#include "shrink/run_texts.h"
#include "shrink/search.h"
#include "shrink/statistics_file.h"
#include "shrink/time_plan.h"

namespace paring::shrink {

namespace {

constexpr std::size_t kDecodeTokens = 48;  // of a quick timing during the search
constexpr int kAttemptsMax = 5;            // winners that are written and checked
// Second moments of all inputs; a model that would need more has its wide inputs cut into blocks.
constexpr std::uint64_t kMomentBytesMax = std::uint64_t{1'500} << 20;
constexpr double kSpeedCheckSeconds = 20;  // both models' figures at the end
// A step of statistics; error feedback needs more than one window to go by.
constexpr std::size_t kStatisticsWindowsMin = 2;
// What disks and hashes do at least, for a first guess of what writing takes.
constexpr double kPublishBytesPerSecond = 100e6;

// Times the steps of a run.
class Phases {
 public:
  explicit Phases(std::vector<PhaseTime>& times)
      : times_(times), start_(system_clock().monotonic_seconds()) {}
  void done(const char* name) {
    const double now = system_clock().monotonic_seconds();
    times_.push_back({name, now - start_});
    start_ = now;
  }

 private:
  std::vector<PhaseTime>& times_;
  double start_;
};

// Everything that one optimize() call shares between its steps.
class Run {
 public:
  Run(const engine::LoadedModel& original, Executor& executor, const cost::Probes& probes,
      const OptimizeOptions& options, ProgressSink& progress)
      : original_(original),
        executor_(executor),
        probes_(probes),
        options_(options),
        progress_(progress),
        original_view_(*original.model),
        start_(options.started_seconds > 0 ? options.started_seconds
                                           : system_clock().monotonic_seconds()),
        time_(start_, options.time_limit_seconds, system_clock()) {}

  Result<OptimizeResult> run() {
    Phases phases(result_.phases);
    PARING_TRY_VOID(prepare());
    phases.done("preparation");
    PARING_TRY_VOID(collect());
    take_importance();
    phases.done("statistics");
    PARING_TRY(SearchSetup setup, search_setup());
    Search search({original_, executor_, *evaluator_, *journal_, progress_, statistics_},
                  std::move(setup));
    PARING_TRY_VOID(search.plan());
    phases.done(options_.budget.speedup > 0 ? "encodings and kernel times" : "encodings");
    PARING_TRY_VOID(search.run());
    phases.done("search");
    PARING_TRY_VOID(settle(search));
    phases.done("check of the written file");
    if (options_.with_ablation) {
      PARING_TRY(result_.ablation, ablate(search.measured(), search.plans(), types_,
                                          search.winner_recipe(), search.bounds(), progress_));
      phases.done("ablation");
    }
    PARING_TRY_VOID(publish());
    phases.done("writing");
    result_.seconds = system_clock().monotonic_seconds() - start_;
    if (!options_.report_path.empty()) PARING_TRY_VOID(write_report());
    if (result_.time.is_complete()) {
      journal_->remove();
    } else {
      journal_->keep_measurements();
    }
    return std::move(result_);
  }

 private:
  Result<void> prepare() {
    PARING_TRY(evaluator_,
               measure::Evaluator::create(original_.model->spec(), kContext, executor_));
    PARING_TRY(texts_, cut_texts(original_, options_, *evaluator_));
    PARING_TRY(types_, allowed_types(options_));
    PARING_TRY_VOID(read_importance());
    PARING_TRY(fixed_, fixed_costs(original_, options_, executor_.threads()));
    original_sha256_ = engine::weights_sha256(original_.file);
    result_.model_path = original_.path;
    result_.out_path = options_.out_path;
    result_.budget = options_.budget;
    result_.types = options_.types;
    result_.calibration_path = options_.calibration_path;
    result_.isa = kernels::kernels().isa;
    result_.threads = executor_.threads();
    result_.cpu = cost::read_machine().cpu;
    result_.before.file_bytes = original_.file.file_bytes();
    result_.before.weight_bytes = original_.model->weight_bytes();
    result_.before.memory_bytes = memory_of(original_.model->weight_bytes());
    PARING_TRY(journal_, Journal::open(journal_path(options_.out_path), journal_key()));
    if (options_.resumes && journal_->recalled() == 0) {
      journal_->remove();
      return not_found(
          fmt::format("there is no search for '{}' to go on with", options_.out_path),
          "leave out --resume; a search of another model, text, types or version starts anew");
    }
    if (options_.resumes) PARING_TRY_VOID(forget_hasty());
    return pick_texts();
  }

  // A run that is given more time need not go by what the one before it had to cut short and all
  // else depends on.
  Result<void> forget_hasty() {
    const auto first = [&](const char* name, std::size_t at) {
      const std::vector<double>* values = journal_->find(name);
      return values != nullptr && values->size() > at ? (*values)[at] : 0.0;
    };
    if (first("statistics", 1) < first("windows", 0)) {
      return journal_->forget([](const std::string&) { return true; });
    }
    if (first("candidate windows", 0) >= first("windows", 1)) return {};
    return journal_->forget([](const std::string& name) { return name.starts_with("candidate"); });
  }

  // What was measured on some windows is compared with what is measured on the same ones.
  Result<void> pick_texts() {
    const TextCounts planned = planned_counts(original_.model->spec(), options_.time_limit_seconds);
    PARING_TRY(const auto counts,
               journal_->recall_or("windows", [&]() -> Result<std::vector<double>> {
                 return std::vector<double>{static_cast<double>(planned.statistics),
                                            static_cast<double>(planned.candidates)};
               }));
    constexpr double kWindowsMax = 1e6;
    const auto is_count = [](double value) { return value >= 1 && value <= kWindowsMax; };
    if (counts.size() != 2 || !is_count(counts[0]) || !is_count(counts[1])) {
      return corrupt("the journal of the search does not tell how much text it reads",
                     "remove the folder '" + journal_path(options_.out_path) + "'");
    }
    pick_search_texts(texts_,
                      {static_cast<std::size_t>(counts[0]), static_cast<std::size_t>(counts[1])});
    result_.time.statistics_windows_wanted = texts_.statistics.windows.size();
    return {};
  }

  // Everything that a measurement depends on; budget and time are not among it.
  std::string journal_key() const {
    std::string key = fmt::format("{} {} {} {} {} {} {}", version(), version_commit(),
                                  original_sha256_, texts_.calibration.sha256,
                                  texts_.probes.windows.size(), result_.isa, kMomentBytesMax);
    for (const DType type : types_) key += std::string(" ") + dtype_name(type);
    if (!given_.text_sha256.empty()) key += " importance " + given_.text_sha256;
    return sha256_hex(key);
  }

  // The cache and buffers are fixed; only the weights differ.
  std::uint64_t memory_of(std::uint64_t weight_bytes) const {
    std::uint64_t matrices = 0;
    for (std::size_t i = 0; i < original_.model->matrix_count(); ++i) {
      matrices += original_.model->matrix(i).bytes();
    }
    const std::uint64_t norms = original_.model->weight_bytes() - matrices;
    return fixed_.memory_bytes - norms + weight_bytes;
  }

  // The journal holds how long collecting took and how many windows there was time for.
  Result<void> collect() {
    const std::string path = journal_->file(Journal::kStatistics);
    PARING_TRY(const std::vector<double> known,
               journal_->recall_or("statistics", [&]() -> Result<std::vector<double>> {
                 const double start = system_clock().monotonic_seconds();
                 PARING_TRY(statistics_, collect_now(time_.statistics_end()));
                 save(path);
                 return std::vector<double>{
                     system_clock().monotonic_seconds() - start,
                     static_cast<double>(statistics_.tokens / texts_.statistics.context)};
               }));
    statistics_seconds_ = known.empty() ? 0 : known.front();
    const auto all = static_cast<double>(texts_.statistics.windows.size());
    const double windows = known.size() > 1 ? std::clamp(known[1], 1.0, all) : all;
    result_.time.statistics_windows = static_cast<std::size_t>(windows);
    texts_.statistics = texts_.statistics.part(0, result_.time.statistics_windows);
    if (statistics_.tokens > 0) return {};
    if (auto saved = load_statistics(path)) {
      statistics_ = std::move(*saved);
      return {};
    }
    PARING_TRY(statistics_, collect_now(std::numeric_limits<double>::infinity()));
    save(path);
    return {};
  }

  // Before anything is measured, so that a file of another model is refused at once.
  Result<void> read_importance() {
    if (options_.imatrix_path.empty()) return {};
    PARING_TRY(const io::Imatrix imatrix, io::read_imatrix(options_.imatrix_path));
    PARING_TRY(given_, statistics_from_imatrix(imatrix, *original_.model, options_.imatrix_path));
    result_.importance = {given_.text_name, given_.text_sha256, given_.tokens, 0};
    return {};
  }

  // The factors stay: they are of whole second moments, of which an importance matrix is but the
  // diagonal.
  void take_importance() {
    for (std::size_t slot = 0; slot < given_.mean_squares.size(); ++slot) {
      if (given_.mean_squares[slot].empty()) continue;
      statistics_.mean_squares[slot] = given_.mean_squares[slot];
      ++result_.importance.matrices;
    }
  }

  // A disk without room for them is no reason to stop: a resumed run collects them again.
  void save(const std::string& path) {
    const auto saved = save_statistics(path, statistics_);
    if (!saved.has_value()) log_warning("statistics are not kept: " + saved.error().text());
  }

  Result<Statistics> collect_now(double end) {
    return collect_statistics(
        *evaluator_, original_view_, texts_.statistics,
        {.moment_bytes_max = kMomentBytesMax, .end = end, .windows_min = kStatisticsWindowsMin},
        progress_);
  }

  JudgeCosts judge_costs(double window_seconds) const {
    const auto bytes = static_cast<double>(
        options_.budget.file_bytes != 0 ? options_.budget.file_bytes : original_.file.file_bytes());
    const double publish = write_seconds_ > 0 ? write_seconds_ : bytes / kPublishBytesPerSecond;
    return {window_seconds, publish, kSpeedCheckSeconds};
  }

  Result<SearchSetup> search_setup() {
    SearchSetup setup;
    setup.types = types_;
    setup.budget = options_.budget;
    setup.fixed = fixed_;
    setup.probe_windows = texts_.probes;
    setup.candidate_windows = texts_.candidates;
    setup.encodings_end = time_.encodings_end();
    setup.window_seconds = statistics_seconds_ * static_cast<double>(kContext) /
                           static_cast<double>(statistics_.tokens);
    setup.end = [this](double window_seconds) {
      const bool may_retry = options_.budget.kl_max > 0 || options_.budget.speedup > 0;
      return time_.search_end(judge_costs(window_seconds), texts_.holdout.windows.size(),
                              may_retry);
    };
    if (options_.budget.speedup > 0) {
      PARING_TRY(setup.decode_seconds, decode_seconds(original_view_));
      setup.speedup = [this](const model::ModelView& view) { return speedup(view); };
    }
    return setup;
  }

  // Seconds of one decoded token, quickly.
  Result<double> decode_seconds(const model::ModelView& view) {
    measure::BenchOptions quick;
    quick.prefill_tokens = 0;
    quick.decode_tokens = kDecodeTokens;
    quick.busy_repetitions = 0;
    PARING_TRY(const measure::BenchResult speed, measure::bench(view, executor_, probes_, quick));
    return 1.0 / speed.decode.tokens_per_second;
  }

  // Turn by turn, so that a noisy machine treats both alike; the median of the turns.
  Result<double> speedup(const model::ModelView& view) {
    constexpr int kTurns = 3;
    std::vector<double> ratios;
    for (int turn = 0; turn < kTurns; ++turn) {
      PARING_TRY(const double after, decode_seconds(view));
      PARING_TRY(const double before, decode_seconds(original_view_));
      ratios.push_back(before / after);
    }
    std::sort(ratios.begin(), ratios.end());
    return ratios[kTurns / 2];
  }

  // Writes the winner, checks the file against every bound, and takes the next candidate when it
  // misses one.
  Result<void> settle(Search& search) {
    Check check(original_, *evaluator_, executor_, probes_, progress_);
    const std::size_t all = texts_.holdout.windows.size();
    for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
      PARING_TRY_VOID(write_winner(search));
      PARING_TRY(const auto expected, search.encode_winner());
      PARING_TRY(CheckedFile file, check.load(journal_->file(Journal::kWinner), expected->view));
      if (attempt == 0) {
        const JudgeCosts costs = judge_costs(search.window_seconds());
        texts_.holdout = spread(texts_.holdout, time_.holdout_windows(costs, all), 0.5);
        check.prepare(texts_.holdout);
      }
      PARING_TRY_VOID(check.measure_loss(file));
      const Budget& budget = options_.budget;
      if (budget.kl_max > 0 && upper_kl(file.served) > budget.kl_max) {
        PARING_TRY_VOID(search.retry_for_kl(upper_kl(file.served)));
        continue;
      }
      PARING_TRY(const bool is_brief, check.measure_speed(file, time_, 2 * write_seconds_));
      take_figures(file, check);
      const double ratio = result_.after.speed.decode.tokens_per_second /
                           result_.before.speed.decode.tokens_per_second;
      if (budget.speedup > 0 && ratio < budget.speedup) {
        PARING_TRY_VOID(search.retry_for_speed(ratio));
        continue;
      }
      prove_methods(search, *expected);
      PARING_TRY_VOID(check_proofs());
      result_.plans = search.plans();
      result_.candidates = search.candidates();
      take_time(search.time(), is_brief, all);
      texts_.candidates = search.candidate_windows();
      PARING_TRY(const std::uint64_t bytes, certify(file.model.file));
      if (budget.file_bytes != 0 && bytes > budget.file_bytes) {
        PARING_TRY_VOID(search.retry_for_bytes(bytes - budget.file_bytes));
        continue;
      }
      if (budget.memory_bytes != 0 && result_.after.memory_bytes > budget.memory_bytes) {
        return Error{ErrorCode::kInternal,
                     fmt::format("the written model takes {} bytes in use, the budget is {}",
                                 result_.after.memory_bytes, budget.memory_bytes)};
      }
      return {};
    }
    return exhausted(
        fmt::format("{} candidates met the budget in the search and missed it once written",
                    kAttemptsMax),
        "allow a little more, or measure on a quieter machine");
  }

  Result<void> write_winner(Search& search) {
    PARING_TRY(const auto encoded, search.encode_winner());
    const double start = system_clock().monotonic_seconds();
    QuantizeOptions quantize;
    quantize.overwrite = io::Overwrite::kReplace;  // an earlier candidate, in the run's own folder
    quantize.types.resize(original_.model->matrix_count());
    for (const MatrixPlan& plan : search.plans()) quantize.types[plan.index] = plan.chosen;
    quantize.prepared = [&](std::size_t slot) { return encoded->matrices[slot].get(); };
    PARING_TRY_VOID(write_quantized(original_, quantize, journal_->file(Journal::kWinner),
                                    executor_, progress_));
    write_seconds_ = system_clock().monotonic_seconds() - start;
    return {};
  }

  void take_figures(const CheckedFile& file, const Check& check) {
    result_.served = file.served;
    result_.weights = file.weights;
    result_.before.speed = check.original_speed();
    result_.after.speed = file.speed;
    result_.after.weight_bytes = file.weight_bytes;
    result_.after.memory_bytes = memory_of(file.weight_bytes);
    result_.before.perplexity = check.original_served().model.value;
    result_.before.kl = check.original_served().kl_mean;
    result_.before.top1 = check.original_served().top1;
    result_.after.perplexity = file.served.model.value;
    result_.after.kl = file.served.kl_mean;
    result_.after.kl_weights = file.weights.kl_mean;
    result_.after.top1 = file.served.top1;
  }

  void take_time(SearchTime time, bool is_brief, std::size_t holdout_windows) {
    time.statistics_windows = result_.time.statistics_windows;
    time.statistics_windows_wanted = result_.time.statistics_windows_wanted;
    time.holdout_windows = texts_.holdout.windows.size();
    time.holdout_windows_wanted = holdout_windows;
    time.are_speeds_brief = is_brief;
    time.limit_seconds = options_.time_limit_seconds;
    time.recalled = journal_->recalled();
    result_.time = time;
  }

  void prove_methods(const Search& search, const EncodedModel& encoded) {
    double nearest = 0;
    double feedback = 0;
    bool has_lossy = false;
    for (const MatrixPlan& plan : search.plans()) {
      for (const TypeOption& option : plan.options) {
        if (option.type != plan.chosen || option.type == plan.original) continue;
        nearest += plan.kl_per_error * option.error_nearest;
        feedback += plan.kl_per_error * option.error;
        has_lossy = has_lossy || dtype_info(option.type).bits_per_weight() < 8;
      }
    }
    result_.proofs.clear();
    if (!has_lossy) return;  // 8 bits and more leave the methods next to nothing to do
    result_.proofs.push_back({"importance", search.importance_share(), 0});
    result_.proofs.push_back(
        {"error feedback", encoded.changed_share, nearest > 0 ? feedback / nearest : 1.0});
  }

  Result<void> check_proofs() const {
    for (const MethodProof& proof : result_.proofs) {
      if (proof.changed_share >= kChangedShareMin) continue;
      return Error{ErrorCode::kInternal,
                   fmt::format("{} changed {:.2f} % of the encodings, at least {:.0f} % are "
                               "expected: the method had no effect",
                               proof.method, 100 * proof.changed_share, 100 * kChangedShareMin)};
    }
    return {};
  }

  // The certificate holds the file's own size, so its text is made until that size stands still.
  Result<std::uint64_t> certify(const io::ModelFile& winner) {
    constexpr int kRoundsMax = 4;  // the size's digits change at most once or twice
    result_.certificate = make_certificate(original_, texts_, result_, original_sha256_,
                                           engine::weights_sha256(winner));
    for (int round = 0; round < kRoundsMax; ++round) {
      extra_ = {};
      extra_.set(api::kCertificateKey, io::GgufValue::of_string(result_.certificate.to_json()));
      PARING_TRY(const std::uint64_t bytes, bytes_with_metadata(winner, extra_));
      result_.after.file_bytes = bytes;
      if (bytes == result_.certificate.bytes_after.file) break;
      result_.certificate.bytes_after.file = bytes;
    }
    return result_.after.file_bytes;
  }

  // The checked file, with its certificate, under its name.
  Result<void> publish() {
    PARING_TRY(const io::ModelFile winner, engine::open_model(journal_->file(Journal::kWinner)));
    PARING_TRY_VOID(write_with_metadata(winner, extra_, options_.out_path, options_.overwrite));
    PARING_TRY(const io::ModelFile written, engine::open_model(options_.out_path));
    if (engine::weights_sha256(written) != result_.certificate.variant.weights_sha256) {
      return Error{ErrorCode::kInternal,
                   options_.out_path + ": the written weights are not the checked ones",
                   "the disk may be failing; do not use the file"};
    }
    return {};
  }

  Result<void> write_report() {
    return io::write_file(options_.report_path, render_report(result_), options_.overwrite);
  }

  const engine::LoadedModel& original_;
  Executor& executor_;
  const cost::Probes& probes_;
  const OptimizeOptions& options_;
  ProgressSink& progress_;
  model::ModelView original_view_;
  double start_;
  TimePlan time_;
  std::vector<DType> types_;
  FixedCosts fixed_;
  std::unique_ptr<measure::Evaluator> evaluator_;
  RunTexts texts_;
  std::string original_sha256_;
  std::unique_ptr<Journal> journal_;
  Statistics statistics_;
  Statistics given_;  // of an importance matrix that was brought
  double statistics_seconds_ = 0;
  double write_seconds_ = 0;  // of the winner; 0: not yet written
  io::Metadata extra_;        // the certificate
  OptimizeResult result_;
};

}  // namespace

std::string journal_path(const std::string& out_path) { return out_path + ".search"; }

Result<OptimizeResult> optimize(const engine::LoadedModel& original, Executor& executor,
                                const cost::Probes& probes, const OptimizeOptions& options,
                                ProgressSink& progress) {
  PARING_TRY_VOID(check_budget(original, options, executor.threads()));
  Run run(original, executor, probes, options, progress);
  return run.run();
}

}  // namespace paring::shrink
