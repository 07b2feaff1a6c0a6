// SPDX-License-Identifier: Apache-2.0
// StepRatios: how much longer or shorter the steps of a model take when its weights are others,
// measured on this machine: both models compute the same steps in turns, so that what else the
// machine does slows both down. Plain data; what measures is confined to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "kernels/ops.h"
#include "model/forward.h"
#include "model/weights.h"
#include "shrink/type_choice.h"

namespace paring::advise {

struct StepRatios {
  // Measured at these numbers of tokens, ascending.
  std::vector<double> decode_tokens;
  std::vector<double> decode;  // time with the others over time with the present weights
  std::vector<double> decode_now_s;
  std::vector<double> prompt_tokens;
  std::vector<double> prompt;
  std::vector<double> prompt_now_s;

  // Of a step of `tokens` tokens, `rows` of them with logits: between what was measured by the
  // logarithm of the tokens, beyond it as at the end. 1 when nothing was measured.
  double at(double tokens, double rows) const noexcept;
};

struct TimedModel {
  const model::Model& model;
  kernels::KvType kv_type = kernels::KvType::kQ8;
};

struct StepRatioOptions {
  model::Numerics numerics = model::Numerics::kServed;
  std::size_t sequences_max = 16;  // that are timed together
  std::size_t prompt_tokens_max = 512;
  std::size_t rounds = 3;         // of each kind of step: both models' turns
  double turn_seconds = 0.25;     // of a model, at least one step after the first ones
  std::size_t depth_tokens = 64;  // in front of each generated token
};

// InvalidArgument for models whose numbers of rounds or tokens are 0, Exhausted when memory does
// not suffice for the caches of both.
Result<StepRatios> compare_steps(const TimedModel& now, const TimedModel& then, Executor& executor,
                                 const StepRatioOptions& options);

// The same model with random weights, as `types` (one for each of its matrices) would keep them: as
// large and as fast as the real ones. Exhausted when memory does not suffice, Unsupported for types
// that cannot be written and for mixtures of experts.
Result<std::shared_ptr<const model::Model>> random_weights(const model::Model& like,
                                                           const shrink::TypeMap& types);

}  // namespace paring::advise
