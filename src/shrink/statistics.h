// SPDX-License-Identifier: Apache-2.0
// Statistics of a model's activations over calibration text, collected in one pass: for every
// matrix the mean square of each input column (llama.cpp calls it the importance matrix), and its
// inputs' second moments, factored for error feedback.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/text_encoder.h"
#include "measure/compare.h"
#include "measure/windows.h"
#include "model/weights.h"
#include "shrink/input_factor.h"

namespace paring::shrink {

struct Statistics {
  std::string text_name;
  std::string text_sha256;
  std::size_t tokens = 0;
  // [slot][cols], of experts [slot][E * cols]; the embedding's row is that of the head when tied,
  // and empty when it is not. An expert that no token chose has one value for all columns.
  std::vector<std::vector<float>> mean_squares;
  // [slot][E] tokens that chose each expert; empty for other matrices.
  std::vector<std::vector<double>> expert_tokens;
  // [slot] matrices that read the same inputs share a factor: that of slot factor_of[slot]. Empty
  // when not collected, for experts (theirs would be as many as they), and for an untied embedding.
  std::vector<InputFactor> factors;
  std::vector<std::size_t> factor_of;

  std::span<const float> importance(std::size_t slot) const { return mean_squares[slot]; }
  // Null when there is none.
  const InputFactor* factor(std::size_t slot) const {
    if (factors.empty() || factors[factor_of[slot]].empty()) return nullptr;
    return &factors[factor_of[slot]];
  }
};

struct StatisticsOptions {
  // Most bytes of second moments; wide inputs are then cut into blocks. 0: none are collected.
  std::uint64_t moment_bytes_max = 0;
  double damping = 0.01;  // share of the mean square added to the diagonal
  // Of the monotonic clock: no further step begins after it, but `windows_min` windows are read in
  // any case.
  double end = std::numeric_limits<double>::infinity();
  std::size_t windows_min = 1;
};

// The values of experts, `cols` each, that are all zeros become the mean of the others': nothing is
// known of them, and zeros would let an encoder do as it likes.
void fill_unseen_experts(std::vector<float>& mean_squares, std::size_t cols);

// Exact numerics; `tokens` of the result tells how much was read. Internal when a matrix saw only
// zeros: calibration did not run.
Result<Statistics> collect_statistics(measure::Evaluator& evaluator, const model::ModelView& view,
                                      const measure::Windows& windows,
                                      const StatisticsOptions& options, ProgressSink& progress);

// The same of an encoder, over whole texts; its name and hash are the caller's to fill in. The
// encoder must compute in exact numerics.
Result<Statistics> collect_encoder_statistics(engine::TextEncoder& encoder,
                                              const model::ModelView& view,
                                              std::span<const engine::EncodedText> texts,
                                              const StatisticsOptions& options,
                                              ProgressSink& progress);

}  // namespace paring::shrink
