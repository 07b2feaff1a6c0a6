// SPDX-License-Identifier: Apache-2.0
#include "shrink/optimize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "base/version.h"
#include "cost/machine.h"
#include "engine/generator.h"
#include "engine/identity.h"
#include "engine/open_model.h"
#include "io/atomic_file.h"
#include "kernels/ops.h"
#include "measure/builtin_text.h"
#include "quant/format.h"
#include "shrink/search.h"

namespace paring::shrink {

namespace {

constexpr std::size_t kContext = 512;       // tokens a window
constexpr std::size_t kProbeContext = 128;  // of a window that probes single matrices
// Kept free in the file for the certificate, whose length is known only at the end.
constexpr std::uint64_t kCertificateBytesReserved = 20'000;
constexpr std::size_t kDecodeTokens = 48;  // of a quick timing during the search
constexpr std::size_t kCalibrationBytesMax = std::size_t{64} << 20;

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

Result<void> check_budget(const Budget& budget) {
  if (budget.file_bytes == 0 && budget.memory_bytes == 0 && budget.speedup == 0 &&
      budget.kl_max == 0) {
    return invalid_argument("no budget was given",
                            "name at least one of --file, --memory, --speed, --kl");
  }
  if (!(budget.speedup >= 0) || !(budget.kl_max >= 0) || !std::isfinite(budget.speedup) ||
      !std::isfinite(budget.kl_max)) {
    return invalid_argument("speed and KL budgets must be positive numbers");
  }
  return {};
}

Result<std::vector<DType>> allowed_types(const OptimizeOptions& options) {
  if (options.types.empty()) {
    return std::vector<DType>{DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0};
  }
  for (const DType type : options.types) {
    PARING_TRY(const quant::Format* format, quant::require_format(type));
    (void)format;
  }
  return options.types;
}

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
        original_view_(*original.model) {}

  Result<OptimizeResult> run() {
    const double start = system_clock().monotonic_seconds();
    Phases phases(result_.phases);
    PARING_TRY_VOID(prepare());
    phases.done("preparation");
    PARING_TRY_VOID(measure_before());
    phases.done("speed of the original");
    Search search(original_, executor_, *evaluator_, progress_);
    PARING_TRY_VOID(search.collect(calibration_, probes_text_));
    phases.done("statistics");
    PARING_TRY_VOID(search.plan(search_options()));
    phases.done("encodings and kernel times");
    PARING_TRY_VOID(search.measure_losses());
    phases.done("sensitivity");
    PARING_TRY_VOID(search.find(
        options_.budget, [this](const model::ModelView& view) { return decode_seconds(view); }));
    phases.done("candidates");
    PARING_TRY(const auto winner, search.encode(search.winner().types));
    PARING_TRY_VOID(check_winner(winner->view));
    phases.done("check on held-out text");
    PARING_TRY_VOID(measure_after(winner->view, search));
    phases.done("speed of the result");
    fill_certificate(*winner, search);
    PARING_TRY_VOID(write(search, winner->weights_sha256));
    phases.done("writing");
    result_.plans = std::move(search.plans());
    result_.candidates = std::move(search.candidates());
    result_.seconds = system_clock().monotonic_seconds() - start;
    if (!options_.report_path.empty()) {
      PARING_TRY_VOID(write_report());
    }
    return std::move(result_);
  }

 private:
  Result<void> prepare() {
    const model::BlockSpec& spec = original_.model->spec();
    PARING_TRY(evaluator_, measure::Evaluator::create(spec, kContext, executor_));
    std::string text(measure::calibration_text());
    std::string name = "built-in calibration text";
    if (!options_.calibration_path.empty()) {
      PARING_TRY(text, read_small_file(options_.calibration_path, kCalibrationBytesMax));
      name = options_.calibration_path;
    }
    PARING_TRY(probes_text_, measure::cut_windows(*original_.tokenizer, original_.add_bos, name,
                                                  text, {.context = kProbeContext}));
    PARING_TRY(calibration_, measure::cut_windows(*original_.tokenizer, original_.add_bos,
                                                  std::move(name), text, {.context = kContext}));
    PARING_TRY(holdout_, measure::cut_windows(*original_.tokenizer, original_.add_bos,
                                              "built-in held-out text", measure::holdout_text(),
                                              {.context = kContext}));
    result_.model_path = original_.path;
    result_.out_path = options_.out_path;
    result_.budget = options_.budget;
    result_.isa = kernels::kernels().isa;
    result_.threads = executor_.threads();
    result_.cpu = cost::read_machine().cpu;
    return {};
  }

  std::uint64_t step_memory() const {
    const std::size_t context =
        std::min(options_.budget.context_tokens, original_.model->spec().context_max);
    return engine::Generator::bytes_for(original_.model->spec(),
                                        {.numerics = model::Numerics::kServed,
                                         .kv_type = kernels::KvType::kQ8,
                                         .context_tokens = context},
                                        executor_.threads());
  }

  Result<void> measure_before() {
    PARING_TRY(result_.before.speed,
               measure::bench(original_view_, executor_, probes_, measure::BenchOptions{}));
    result_.before.file_bytes = original_.file.file_bytes();
    result_.before.memory_bytes = original_.model->weight_bytes() + step_memory();
    PARING_TRY(const double seconds, decode_seconds(original_view_));
    original_decode_seconds_ = seconds;
    return {};
  }

  // Seconds of one decoded token, quickly.
  Result<double> decode_seconds(const model::ModelView& view) {
    measure::BenchOptions quick;
    quick.prefill_tokens = 0;
    quick.decode_tokens = kDecodeTokens;
    PARING_TRY(const measure::BenchResult speed, measure::bench(view, executor_, probes_, quick));
    return 1.0 / speed.decode.tokens_per_second;
  }

  SearchOptions search_options() const {
    SearchOptions search;
    search.types = types_;
    search.decode_seconds = original_decode_seconds_;
    std::uint64_t matrices = 0;
    for (std::size_t i = 0; i < original_.model->matrix_count(); ++i) {
      matrices += original_.file.find(original_.model->slot(i).name)->bytes;
    }
    search.fixed_bytes = original_.file.file_bytes() - matrices + kCertificateBytesReserved;
    search.fixed_memory = step_memory();
    return search;
  }

  // The winner against the original on text that neither calibration nor the search has seen.
  Result<void> check_winner(const model::ModelView& winner) {
    PARING_TRY(const measure::BaseRun base,
               measure::BaseRun::create(*evaluator_, original_view_, holdout_,
                                        measure::kExactOptions, progress_));
    PARING_TRY(result_.weights,
               measure::compare(*evaluator_, base, winner, measure::kExactOptions, progress_));
    PARING_TRY(result_.served, measure::compare(*evaluator_, base, winner, {}, progress_));
    PARING_TRY(const measure::Divergence before,
               measure::compare(*evaluator_, base, original_view_, {}, progress_));
    result_.before.perplexity = before.model.value;
    result_.before.kl = before.kl_mean;
    result_.before.top1 = before.top1;
    result_.after.perplexity = result_.served.model.value;
    result_.after.kl = result_.served.kl_mean;
    result_.after.kl_weights = result_.weights.kl_mean;
    result_.after.top1 = result_.served.top1;
    const double bound = options_.budget.kl_max;
    if (bound > 0 && result_.served.kl_mean > bound) {
      return exhausted(
          fmt::format(
              "on held-out text the KL is {:.5f} (weights alone {:.5f}), the budget asks for {}",
              result_.served.kl_mean, result_.weights.kl_mean, bound),
          "allow more KL, or more bytes");
    }
    return {};
  }

  // Speeds of both models, turn by turn, so that a noisy machine treats them alike.
  Result<void> measure_after(const model::ModelView& winner, const Search& search) {
    PARING_TRY(result_.after.speed,
               measure::bench(winner, executor_, probes_, measure::BenchOptions{}));
    PARING_TRY(result_.before.speed,
               measure::bench(original_view_, executor_, probes_, measure::BenchOptions{}));
    std::uint64_t weights = original_.model->weight_bytes();
    for (std::size_t i = 0; i < original_.model->matrix_count(); ++i) {
      weights -= original_.model->matrix(i).bytes();
      weights += winner.matrix(i).bytes();
    }
    result_.after.memory_bytes = weights + step_memory();
    (void)search;
    return {};
  }

  void fill_certificate(const EncodedModel& winner, const Search& search) {
    api::Certificate& certificate = result_.certificate;
    const io::Metadata& metadata = original_.file.metadata();
    certificate.original_name = metadata.string_or("general.name", "").has_value()
                                    ? metadata.string_or("general.name", "").value()
                                    : std::string();
    certificate.original_sha256 = engine::weights_sha256(original_.file);
    certificate.variant = {.weights_sha256 = winner.weights_sha256,
                           .tokenizer_sha256 = engine::tokenizer_sha256(metadata),
                           .chat_template_sha256 = engine::chat_template_sha256(metadata),
                           .numerics = "served",
                           .kv_type = "q8",
                           .isa_family = result_.isa,
                           .adapters = {},
                           .prompt_version = {},
                           .index_version = {}};
    certificate.texts = {{"calibration", calibration_.name, calibration_.sha256,
                          calibration_.windows.size() * kContext},
                         {"held_out", holdout_.name, holdout_.sha256, holdout_.scored_tokens()}};
    certificate.served = result_.served;
    certificate.weights_only = result_.weights;
    certificate.perplexity = {result_.served.base.value, result_.served.model.value,
                              std::exp(result_.served.log_ratio),
                              result_.served.log_ratio_standard_error};
    certificate.bytes_before = {result_.before.file_bytes, original_.model->weight_bytes(),
                                result_.before.memory_bytes};
    certificate.bytes_after = {search.winner().file_bytes,
                               result_.after.memory_bytes - step_memory(),
                               result_.after.memory_bytes};
    certificate.host = {result_.cpu, result_.isa, result_.threads};
    certificate.speed_before = speed_of(result_.before.speed);
    certificate.speed_after = speed_of(result_.after.speed);
    certificate.budget = {options_.budget.file_bytes, options_.budget.memory_bytes,
                          options_.budget.speedup, options_.budget.kl_max,
                          options_.budget.context_tokens};
    const TypeMap types = search.winner_types();
    for (std::size_t i = 0; i < types.size(); ++i) {
      certificate.recipe.push_back({original_.model->slot(i).name, dtype_name(types[i])});
    }
    certificate.tool_version = version();
    certificate.date = format_utc(system_clock().wall_seconds());
  }

  static api::CertificateSpeed speed_of(const measure::BenchResult& speed) {
    return {speed.prefill.tokens_per_second, speed.prefill.limit_share,
            speed.decode.tokens_per_second, speed.decode.limit_share};
  }

  // The certificate holds the file's own size, so its text is made until that size stands still.
  Result<void> write(const Search& search, const std::string& expected_sha256) {
    QuantizeOptions quantize;
    quantize.types = search.winner_types();
    quantize.statistics = &search.statistics();
    constexpr int kRoundsMax = 4;  // the size's digits change at most once or twice
    for (int round = 0; round < kRoundsMax; ++round) {
      quantize.extra.set(api::kCertificateKey,
                         io::GgufValue::of_string(result_.certificate.to_json()));
      PARING_TRY(const std::uint64_t bytes, quantized_file_bytes(original_, quantize));
      if (bytes == result_.certificate.bytes_after.file) break;
      result_.certificate.bytes_after.file = bytes;
    }
    result_.after.file_bytes = result_.certificate.bytes_after.file;
    if (options_.budget.file_bytes != 0 && result_.after.file_bytes > options_.budget.file_bytes) {
      return Error{ErrorCode::kInternal,
                   fmt::format("the file would take {} bytes, the budget is {}",
                               result_.after.file_bytes, options_.budget.file_bytes)};
    }
    PARING_TRY_VOID(write_quantized(original_, quantize, options_.out_path, executor_, progress_));
    // What was measured must be what was written.
    PARING_TRY(const io::ModelFile written, engine::open_model(options_.out_path));
    if (engine::weights_sha256(written) != expected_sha256) {
      return Error{ErrorCode::kInternal,
                   options_.out_path + ": the written weights are not the measured ones",
                   "the disk may be failing; do not use the file"};
    }
    return {};
  }

  Result<void> write_report() {
    PARING_TRY(io::AtomicFile file,
               io::AtomicFile::create(options_.report_path, io::Overwrite::kReplace));
    PARING_TRY_VOID(file.write(render_report(result_)));
    return file.commit();
  }

 public:
  void set_types(std::vector<DType> types) { types_ = std::move(types); }

 private:
  const engine::LoadedModel& original_;
  Executor& executor_;
  const cost::Probes& probes_;
  const OptimizeOptions& options_;
  ProgressSink& progress_;
  model::ModelView original_view_;
  std::vector<DType> types_;
  std::unique_ptr<measure::Evaluator> evaluator_;
  measure::Windows calibration_;
  measure::Windows probes_text_;
  measure::Windows holdout_;
  double original_decode_seconds_ = 0;
  OptimizeResult result_;
};

}  // namespace

Result<OptimizeResult> optimize(const engine::LoadedModel& original, Executor& executor,
                                const cost::Probes& probes, const OptimizeOptions& options,
                                ProgressSink& progress) {
  PARING_TRY_VOID(check_budget(options.budget));
  PARING_TRY(std::vector<DType> types, allowed_types(options));
  Run run(original, executor, probes, options, progress);
  run.set_types(std::move(types));
  return run.run();
}

}  // namespace paring::shrink
