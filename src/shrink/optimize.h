// SPDX-License-Identifier: Apache-2.0
// `paring optimize`: the best types for each tensor under a budget, found by measuring, with the
// loss proved on text that the search never saw. Steps, each in a file of its own:
//   budget       what cannot be is refused before anything is measured
//   statistics   second moments of every matrix's inputs over calibration text
//   encode       rounding to each type, with error feedback; what each loses by those moments
//   sensitivity  KL to the original when one matrix alone takes one type: what a unit of that loss
//                costs; only the layers after it are recomputed; layers in between are interpolated
//                until they are measured as well
//   plans        types for all matrices: least predicted KL within the bounds
//   candidates   sets of types measured end to end; refined by what measured changes tell
//   check        the best is written and checked, as a file, against every bound on held-out text
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/certificate.h"
#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "cost/probes.h"
#include "engine/loaded_model.h"
#include "io/atomic_file.h"
#include "measure/bench.h"
#include "measure/compare.h"
#include "shrink/encode.h"

namespace paring::shrink {

// What the result must keep to; 0 means no such bound. At least one bound must be given.
struct Budget {
  std::uint64_t file_bytes = 0;    // size of the output file
  std::uint64_t memory_bytes = 0;  // weights + key/value cache + buffers at `context_tokens`
  double speedup = 0;              // decode tokens/s, as a multiple of the original's
  double kl_max = 0;               // mean KL to the original on held-out text
  std::size_t context_tokens = 2048;
};

struct OptimizeOptions {
  Budget budget;
  std::string out_path;
  std::string report_path;       // empty: no HTML report
  std::vector<DType> types;      // allowed types; empty: every block type and the original's
  std::string calibration_path;  // empty: the built-in text
  // An importance matrix of llama.cpp's (io/imatrix.h): the importance of the matrices that it
  // names is its, not the calibration text's. Second moments for error feedback, which such a file
  // does not hold, still come from the text. Empty: none.
  std::string imatrix_path;
  // Everything ends within it: what does not fit is left out and told (shortfall.h). It ends sooner
  // when nothing is left to measure. Only where the least that a valid result needs takes longer
  // does the run take longer; the result tells that, too.
  double time_limit_seconds = 15 * 60;
  // Of the monotonic clock: when that time began. 0: with the call.
  double started_seconds = 0;
  // Goes on with what an earlier search for the same output measured and kept; NotFound when it
  // left nothing.
  bool resumes = false;
  bool with_ablation = false;  // also measures what each choice gained
  // Of the model and the report; applies when they are committed.
  io::Overwrite overwrite = io::Overwrite::kRefuse;
};

// A model on this machine, before or after.
struct ModelFigures {
  std::uint64_t file_bytes = 0;
  std::uint64_t weight_bytes = 0;  // matrices and norms, packed
  std::uint64_t memory_bytes = 0;  // weights + cache + buffers at the budget's context
  measure::BenchResult speed;
  double perplexity = 0;  // on the held-out text
  double kl = 0;          // to the original, as served
  double kl_weights = 0;  // to the original, exact numerics
  double top1 = 1;        // agreement, as served
};

// One type that a matrix could take.
struct TypeOption {
  DType type;
  std::uint64_t bytes = 0;         // in the file
  std::uint64_t memory_bytes = 0;  // packed for the kernels
  double error = 0;                // squared error of the outputs, as it would be written
  double error_nearest = 0;        // the same with every weight rounded to nearest
  double predicted_kl = 0;         // of this matrix alone
  bool is_measured = false;
  double seconds = 0;  // of the matrix-vector product on this machine; 0: not measured
};

struct MatrixPlan {
  std::size_t index = 0;  // slot of the model
  std::string name;
  std::size_t rows = 0;
  std::size_t cols = 0;
  DType original = DType::kF32;
  DType chosen = DType::kF32;
  double energy = 0;                // squared norm of the outputs, in the unit of TypeOption::error
  double kl_per_error = 0;          // what a unit of error costs
  bool is_probed = false;           // kl_per_error was measured, not interpolated
  bool is_encoded = false;          // errors are its own, not those of a layer like it
  std::vector<TypeOption> options;  // ascending bytes
};

// One set of types, measured end to end.
struct Candidate {
  std::string name;          // how it came about
  std::vector<DType> types;  // by plan
  Rounding rounding = Rounding::kFeedback;
  bool with_importance = true;
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;
  double predicted_kl = 0;
  double kl = 0;  // measured on search text, exact numerics
  double kl_standard_error = 0;
  double decode_tokens_per_second = 0;  // 0: not timed
  double speedup = 0;                   // of decoding, over the original; 0: not timed
  bool is_winner = false;
};

// What one choice of the search was worth, measured end to end on search text.
struct AblationRow {
  std::string name;
  double kl_alone = 0;    // the plainest recipe with this choice added
  double kl_without = 0;  // the full recipe with this choice taken away
  std::string note;       // how it was taken away
};

struct Ablation {
  double kl_plain = 0;  // one type for all matrices, rounding to nearest, no importance
  double kl_full = 0;
  std::uint64_t plain_bytes = 0;
  std::vector<AblationRow> rows;
  bool is_measured() const { return !rows.empty(); }
};

// Importance that was brought, not collected.
struct GivenImportance {
  std::string text_name;  // as the file says
  std::string sha256;     // of its values
  std::size_t tokens = 0;
  std::size_t matrices = 0;  // that took it; the others keep the calibration text's
};

// Proof that a method did something (DESIGN section 5).
struct MethodProof {
  std::string method;
  double changed_share = 0;  // bytes of codes and scales that it changed
  double loss_ratio = 0;     // loss with it / loss without it
};

// How long the search had, and what it would have measured next.
struct SearchTime {
  double limit_seconds = 0;
  double search_seconds = 0;  // until the last candidate
  std::size_t probes_measured = 0;
  std::size_t probes_wanted = 0;
  std::size_t refinements_measured = 0;
  std::size_t refinements_wanted = 0;
  // Matrices whose encodings' losses were measured, windows of text that were read.
  std::size_t encodings_measured = 0;
  std::size_t encodings_wanted = 0;
  std::size_t statistics_windows = 0;
  std::size_t statistics_windows_wanted = 0;
  std::size_t candidate_windows = 0;
  std::size_t candidate_windows_wanted = 0;
  std::size_t holdout_windows = 0;
  std::size_t holdout_windows_wanted = 0;
  bool are_speeds_brief = false;  // timed on fewer tokens or repetitions than usual
  std::size_t recalled = 0;       // measurements taken over from an earlier run
  std::uint64_t peak_memory_bytes = 0;
  // Nothing that decides the result was left out.
  bool is_complete() const {
    return probes_measured == probes_wanted && refinements_measured == refinements_wanted &&
           encodings_measured == encodings_wanted &&
           statistics_windows == statistics_windows_wanted &&
           candidate_windows == candidate_windows_wanted;
  }
};

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

struct OptimizeResult {
  std::string model_path;
  std::string out_path;
  Budget budget;
  std::vector<DType> types;      // as asked for; empty: every block type
  std::string calibration_path;  // as asked for; empty: the built-in text
  GivenImportance importance;    // 0 matrices: none was brought
  ModelFigures before;
  ModelFigures after;
  measure::Divergence served;   // held-out text, as served
  measure::Divergence weights;  // held-out text, exact numerics
  std::vector<MatrixPlan> plans;
  std::vector<Candidate> candidates;  // in the order they were measured
  std::vector<PhaseTime> phases;
  std::vector<MethodProof> proofs;
  SearchTime time;
  Ablation ablation;
  api::Certificate certificate;
  std::string isa;
  std::size_t threads = 0;
  std::string cpu;
  double seconds = 0;
};

// The folder in which a search keeps what it has measured until it succeeds.
std::string journal_path(const std::string& out_path);

// Nothing is written unless every step succeeded; the file appears atomically. A run that was
// killed is taken up again by the same call; a search whose budget proved impossible, or that time
// cut short, leaves its journal, so that the next one need not measure again.
Result<OptimizeResult> optimize(const engine::LoadedModel& original, Executor& executor,
                                const cost::Probes& probes, const OptimizeOptions& options,
                                ProgressSink& progress);

// The self-contained HTML page (no scripts or styles from elsewhere) that shows a result.
std::string render_report(const OptimizeResult& result);

}  // namespace paring::shrink
