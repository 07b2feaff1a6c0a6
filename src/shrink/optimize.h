// SPDX-License-Identifier: Apache-2.0
// `paring optimize`: the best types for each tensor under a budget, found by measuring, with the
// loss proved on text that the search never saw. Steps, each in a file of its own:
//   statistics   mean square of every matrix's inputs over calibration text (imatrix)
//   sensitivity  KL to the original when one matrix alone takes one type; only the layers after it
//                are recomputed; other types extrapolated by weighted error; the most sensitive
//                matrices measured again in the types that matter
//   allocate     types for all matrices: least predicted KL under the byte budget
//   optimize     candidates measured end to end, the best written, checked on held-out text
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
#include "measure/bench.h"
#include "measure/compare.h"

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
};

// A model on this machine, before or after.
struct ModelFigures {
  std::uint64_t file_bytes = 0;
  std::uint64_t memory_bytes = 0;  // weights + cache + buffers as measured
  measure::BenchResult speed;
  double perplexity = 0;  // on the held-out text
  double kl = 0;          // to the original, as served
  double kl_weights = 0;  // to the original, exact numerics
  double top1 = 1;        // agreement, as served
};

// One type that a matrix could take.
struct TypeOption {
  DType type;
  std::uint64_t bytes = 0;
  double error = 0;         // importance-weighted squared error of the weights
  double predicted_kl = 0;  // of this matrix alone
  bool is_measured = false;
  double seconds = 0;  // of the matrix-vector product on this machine
};

struct MatrixPlan {
  std::size_t index = 0;  // slot of the model
  std::string name;
  std::size_t rows = 0;
  std::size_t cols = 0;
  DType original = DType::kF32;
  DType chosen = DType::kF32;
  std::vector<TypeOption> options;  // ascending bytes
};

// One set of types, measured end to end.
struct Candidate {
  std::string name;          // how it came about
  std::vector<DType> types;  // by plan
  std::uint64_t file_bytes = 0;
  double predicted_kl = 0;
  double kl = 0;  // measured on search text, exact numerics
  double kl_standard_error = 0;
  double decode_tokens_per_second = 0;  // 0: not timed
  bool is_winner = false;
};

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

struct OptimizeResult {
  std::string model_path;
  std::string out_path;
  Budget budget;
  ModelFigures before;
  ModelFigures after;
  measure::Divergence served;   // held-out text, as served
  measure::Divergence weights;  // held-out text, exact numerics
  std::vector<MatrixPlan> plans;
  std::vector<Candidate> candidates;  // in the order they were measured
  std::vector<PhaseTime> phases;
  api::Certificate certificate;
  std::string isa;
  std::size_t threads = 0;
  std::string cpu;
  double seconds = 0;
};

// Nothing is written unless every step succeeded; the file appears atomically.
Result<OptimizeResult> optimize(const engine::LoadedModel& original, Executor& executor,
                                const cost::Probes& probes, const OptimizeOptions& options,
                                ProgressSink& progress);

// The self-contained HTML page (no scripts or styles from elsewhere) that shows a result.
std::string render_report(const OptimizeResult& result);

}  // namespace paring::shrink
