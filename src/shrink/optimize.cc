// SPDX-License-Identifier: Apache-2.0
#include "shrink/optimize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

namespace paring::shrink {

namespace {

constexpr std::size_t kDecodeTokens = 48;  // of a quick timing during the search
constexpr int kAttemptsMax = 5;            // winners that are written and checked
// Second moments of all inputs; a model that would need more has its wide inputs cut into blocks.
constexpr std::uint64_t kMomentBytesMax = std::uint64_t{1'500} << 20;
constexpr double kSpeedCheckSeconds = 20;  // both models' figures at the end

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
        start_(system_clock().monotonic_seconds()) {}

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
    journal_->remove();
    return std::move(result_);
  }

 private:
  Result<void> prepare() {
    PARING_TRY(evaluator_,
               measure::Evaluator::create(original_.model->spec(), kContext, executor_));
    PARING_TRY(texts_, cut_texts(original_, options_, *evaluator_));
    PARING_TRY(types_, allowed_types(options_));
    PARING_TRY_VOID(read_importance());
    PARING_TRY(fixed_, fixed_costs(original_, options_.budget, executor_.threads()));
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
    return {};
  }

  // Everything that a measurement depends on; the budget is not among it.
  std::string journal_key() const {
    std::string key = fmt::format("{} {} {} {} {} {} {} {} {}", version(), version_commit(),
                                  original_sha256_, texts_.calibration.sha256,
                                  texts_.statistics.windows.size(), texts_.probes.windows.size(),
                                  texts_.candidates.windows.size(), result_.isa, kMomentBytesMax);
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

  Result<void> collect() {
    const std::string path = journal_->file(Journal::kStatistics);
    PARING_TRY(statistics_seconds_,
               journal_->recall_or("statistics seconds", [&]() -> Result<double> {
                 const double start = system_clock().monotonic_seconds();
                 PARING_TRY(statistics_, collect_now());
                 save(path);
                 return system_clock().monotonic_seconds() - start;
               }));
    if (statistics_.tokens > 0) return {};
    if (auto saved = load_statistics(path)) {
      statistics_ = std::move(*saved);
      return {};
    }
    PARING_TRY(statistics_, collect_now());
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

  Result<Statistics> collect_now() {
    return collect_statistics(*evaluator_, original_view_, texts_.statistics,
                              {.moment_bytes_max = kMomentBytesMax}, progress_);
  }

  // When the search must end so that check, figures and writing still fit the limit.
  double search_end() const {
    const double per_token = statistics_seconds_ / static_cast<double>(statistics_.tokens);
    const auto held_out = static_cast<double>(texts_.holdout.windows.size() * kContext);
    return start_ + options_.time_limit_seconds - 4 * per_token * held_out - kSpeedCheckSeconds;
  }

  Result<SearchSetup> search_setup() {
    SearchSetup setup;
    setup.types = types_;
    setup.budget = options_.budget;
    setup.fixed = fixed_;
    setup.probe_windows = texts_.probes;
    setup.candidate_windows = texts_.candidates;
    setup.end = search_end();
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
    check.prepare(texts_.holdout);
    for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
      PARING_TRY_VOID(write_winner(search));
      PARING_TRY(const auto expected, search.encode_winner());
      PARING_TRY(CheckedFile file, check.load(journal_->file(Journal::kWinner), expected->view));
      PARING_TRY_VOID(check.measure_loss(file));
      const Budget& budget = options_.budget;
      if (budget.kl_max > 0 && upper_kl(file.served) > budget.kl_max) {
        PARING_TRY_VOID(search.retry_for_kl(upper_kl(file.served)));
        continue;
      }
      PARING_TRY_VOID(check.measure_speed(file));
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
      result_.time = search.time();
      result_.time.limit_seconds = options_.time_limit_seconds;
      result_.time.recalled = journal_->recalled();
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
    QuantizeOptions quantize;
    quantize.overwrite = io::Overwrite::kReplace;  // an earlier candidate, in the run's own folder
    quantize.types.resize(original_.model->matrix_count());
    for (const MatrixPlan& plan : search.plans()) quantize.types[plan.index] = plan.chosen;
    quantize.prepared = [&](std::size_t slot) { return encoded->matrices[slot].get(); };
    PARING_TRY_VOID(write_quantized(original_, quantize, journal_->file(Journal::kWinner),
                                    executor_, progress_));
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
    PARING_TRY(io::AtomicFile file,
               io::AtomicFile::create(options_.report_path, options_.overwrite));
    PARING_TRY_VOID(file.write(render_report(result_)));
    return file.commit();
  }

  const engine::LoadedModel& original_;
  Executor& executor_;
  const cost::Probes& probes_;
  const OptimizeOptions& options_;
  ProgressSink& progress_;
  model::ModelView original_view_;
  double start_;
  std::vector<DType> types_;
  FixedCosts fixed_;
  std::unique_ptr<measure::Evaluator> evaluator_;
  RunTexts texts_;
  std::string original_sha256_;
  std::unique_ptr<Journal> journal_;
  Statistics statistics_;
  Statistics given_;  // of an importance matrix that was brought
  double statistics_seconds_ = 0;
  io::Metadata extra_;  // the certificate
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
