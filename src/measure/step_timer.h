// SPDX-License-Identifier: Apache-2.0
// StepTimer: how long single steps of a model take on this machine, by what is in them, driven
// through the engine's continuous batching as a server drives it. Confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/batch_engine.h"
#include "model/weights.h"

namespace paring::measure {

// What a step computes: one token for each of some sequences, or else a prompt.
struct StepLoad {
  std::size_t sequences = 0;
  std::size_t prompt_tokens = 0;
  friend bool operator==(const StepLoad&, const StepLoad&) = default;
};

struct StepTimerOptions {
  kernels::KvType kv_type = kernels::KvType::kQ8;
  model::Numerics numerics = model::Numerics::kServed;
  std::size_t sequences_max = 1;
  std::size_t prompt_tokens_max = 1;
  // In front of each generated token; fewer for many sequences (kDepthTokensMax).
  std::size_t depth_tokens = 64;
};

class StepTimer {
 public:
  // InvalidArgument for options of 0, Exhausted when memory does not suffice. `model` and
  // `executor` must outlive the timer.
  static Result<std::unique_ptr<StepTimer>> create(const model::Model& model, Executor& executor,
                                                   const StepTimerOptions& options);
  // Adds to `times` the seconds of such steps, one after the other for about `seconds`, but at
  // least one. The first ones do not count: they find the caches as somebody else left them.
  // InvalidArgument for a load that is empty, of both kinds, or beyond the options.
  Result<void> run(const StepLoad& load, double seconds, std::vector<double>& times);

  // Of all sequences together.
  static constexpr std::size_t kDepthTokensMax = 8192;
  static constexpr std::size_t kStepsMax = 64;  // of single tokens in one run

 private:
  explicit StepTimer(const StepTimerOptions& options) : options_(options) {}
  Result<void> generate(std::size_t sequences, double seconds, std::vector<double>& times);
  Result<void> read_prompts(std::size_t tokens, double seconds, std::vector<double>& times);
  std::vector<std::int32_t> random(std::size_t tokens, std::uint64_t stream) const;

  StepTimerOptions options_;
  std::size_t vocabulary_ = 0;
  std::uint64_t prompts_ = 0;  // that were read
  std::unique_ptr<engine::BatchEngine> engine_;
};

}  // namespace paring::measure
