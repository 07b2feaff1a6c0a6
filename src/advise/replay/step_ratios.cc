// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/step_ratios.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "base/random.h"
#include "measure/statistics.h"
#include "measure/step_timer.h"
#include "quant/format.h"

namespace paring::advise {

namespace {

double between(const std::vector<double>& at, const std::vector<double>& values, double x) {
  if (values.empty()) return 1;
  if (x >= at.back()) return values.back();
  const auto above = std::ranges::upper_bound(at, x);
  if (above == at.begin()) return values.front();
  const auto i = static_cast<std::size_t>(above - at.begin());
  const double share = std::log(x / at[i - 1]) / std::log(at[i] / at[i - 1]);
  return values[i - 1] + share * (values[i] - values[i - 1]);
}

struct PairOfTimes {
  double now_s = 0;
  double ratio = 1;
};

// The ratio of medians over all turns.
Result<PairOfTimes> time_both(measure::StepTimer& now, measure::StepTimer& then,
                              const measure::StepLoad& load, const StepRatioOptions& options) {
  std::vector<double> nows;
  std::vector<double> thens;
  for (std::size_t round = 0; round < options.rounds; ++round) {
    PARING_TRY_VOID(now.run(load, options.turn_seconds, nows));
    PARING_TRY_VOID(then.run(load, options.turn_seconds, thens));
  }
  const double now_s = measure::median(nows);
  return PairOfTimes{.now_s = now_s, .ratio = now_s > 0 ? measure::median(thens) / now_s : 1};
}

}  // namespace

double StepRatios::at(double tokens, double rows) const noexcept {
  const double generated = std::min(rows, tokens);
  const double of_prompts = tokens - generated;
  if (of_prompts <= 0) return between(decode_tokens, decode, tokens);
  if (generated <= 1) return between(prompt_tokens, prompt, tokens);
  // Both kinds, by the time they take.
  const double generating = between(decode_tokens, decode_now_s, generated);
  const double reading = between(prompt_tokens, prompt_now_s, of_prompts);
  const double all = generating + reading;
  return all > 0 ? (generating * between(decode_tokens, decode, generated) +
                    reading * between(prompt_tokens, prompt, tokens)) /
                       all
                 : 1;
}

Result<StepRatios> compare_steps(const TimedModel& now, const TimedModel& then, Executor& executor,
                                 const StepRatioOptions& options) {
  if (options.rounds == 0 || options.sequences_max == 0 || options.prompt_tokens_max == 0) {
    return invalid_argument("steps are compared over at least one round, sequence and token", "");
  }
  const auto timer = [&](const TimedModel& of) {
    return measure::StepTimer::create(of.model, executor,
                                      {.kv_type = of.kv_type,
                                       .numerics = options.numerics,
                                       .sequences_max = options.sequences_max,
                                       .prompt_tokens_max = options.prompt_tokens_max,
                                       .depth_tokens = options.depth_tokens});
  };
  PARING_TRY(const std::unique_ptr<measure::StepTimer> first, timer(now));
  PARING_TRY(const std::unique_ptr<measure::StepTimer> second, timer(then));
  StepRatios ratios;
  for (std::size_t count = 1; count <= options.sequences_max; count *= 2) {
    PARING_TRY(const PairOfTimes times, time_both(*first, *second, {.sequences = count}, options));
    ratios.decode_tokens.push_back(static_cast<double>(count));
    ratios.decode.push_back(times.ratio);
    ratios.decode_now_s.push_back(times.now_s);
  }
  constexpr std::size_t kFirstPrompt = 8;
  constexpr std::size_t kPromptStep = 4;
  for (std::size_t count = std::min(kFirstPrompt, options.prompt_tokens_max);
       count <= options.prompt_tokens_max; count *= kPromptStep) {
    PARING_TRY(const PairOfTimes times,
               time_both(*first, *second, {.prompt_tokens = count}, options));
    ratios.prompt_tokens.push_back(static_cast<double>(count));
    ratios.prompt.push_back(times.ratio);
    ratios.prompt_now_s.push_back(times.now_s);
  }
  return ratios;
}

Result<std::shared_ptr<const model::Model>> random_weights(const model::Model& like,
                                                           const shrink::TypeMap& types) {
  constexpr std::size_t kDistinctRows = 16;
  constexpr std::size_t kAlignment = 64;
  const std::span<const model::MatrixSlot> slots = like.slots();
  std::size_t bytes = 0;
  std::vector<std::size_t> offsets;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    PARING_TRY(const std::size_t packed,
               kernels::packed_bytes(types[i], slots[i].rows, slots[i].cols));
    offsets.push_back(bytes);
    bytes += (packed + kAlignment - 1) / kAlignment * kAlignment;
  }
  // One piece, as of a model that was loaded: with huge pages it is faster.
  PARING_TRY(AlignedBuffer memory, AlignedBuffer::create(bytes));
  std::map<std::pair<DType, std::size_t>, std::vector<std::byte>> rows_of;
  std::vector<std::byte> encoded;
  std::vector<kernels::PackedMatrix> matrices;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const model::MatrixSlot& slot = slots[i];
    PARING_TRY(const quant::Format* const format, quant::require_format(types[i]));
    PARING_TRY(const std::size_t row_bytes, dtype_row_bytes(types[i], slot.cols));
    std::vector<std::byte>& rows = rows_of[{types[i], slot.cols}];
    if (rows.empty()) {
      rows.resize(kDistinctRows * row_bytes);
      RandomStream random({.seed = 11, .sequence = slot.cols});
      std::vector<float> values(slot.cols);
      for (std::size_t row = 0; row < kDistinctRows; ++row) {
        constexpr double kDeviation = 0.03;
        for (float& value : values) value = static_cast<float>(kDeviation * random.normal());
        format->encode(values.data(), nullptr, rows.data() + row * row_bytes, slot.cols);
      }
    }
    encoded.resize(slot.rows * row_bytes);
    for (std::size_t row = 0; row < slot.rows; ++row) {
      std::memcpy(encoded.data() + row * row_bytes, rows.data() + row % kDistinctRows * row_bytes,
                  row_bytes);
    }
    PARING_TRY(kernels::PackedMatrix packed,
               kernels::place_packed(types[i], slot.rows, slot.cols, memory.data() + offsets[i]));
    kernels::pack_panels(packed, encoded.data(), {0, packed.panels()});
    matrices.push_back(std::move(packed));
  }
  return model::Model::with_matrices(like, std::move(memory), std::move(matrices));
}

}  // namespace paring::advise
