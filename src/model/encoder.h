// SPDX-License-Identifier: Apache-2.0
// The forward pass of an encoder (EncoderSpec), written once over BlockSpec: whole texts at once,
// attention in both directions, no cache. Texts of a step lie behind each other without padding.
// Runs as one job on the executor: each phase is split over workers by output rows, tokens, or
// (text, head), with a barrier between phases.
//
// Batch invariance: the states of a text depend on its tokens, the weights and the numerics, not on
// the other texts, their order or the thread count (see kernels/ops.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/executor.h"
#include "base/result.h"
#include "model/forward.h"
#include "model/taps.h"
#include "model/weights.h"

namespace paring::model {

// A text as it is encoded, special tokens included.
struct EncoderText {
  std::span<const std::int32_t> tokens;
  std::span<const std::uint8_t> types;  // of each token; empty: all 0
};

struct EncoderOptions {
  Numerics numerics = Numerics::kServed;
  Taps* taps = nullptr;
};

struct EncoderBuffers;

// Buffers for steps of up to `tokens_max` tokens. One per executor; not thread-safe.
class Encoder {
 public:
  // Exhausted when memory does not suffice. REQUIRES: spec.encoder, tokens_max > 0.
  static Result<std::unique_ptr<Encoder>> create(const BlockSpec& spec, std::size_t tokens_max,
                                                 Executor& executor);
  ~Encoder();

  // The last layer's states [T, D], row t = token t of the texts behind each other. Valid until the
  // next run. REQUIRES: T in [1, tokens_max]; every text has 1 to context_max tokens; ids below the
  // vocabulary, types below token_types.
  std::span<const float> run(const ModelView& view, std::span<const EncoderText> texts,
                             const EncoderOptions& options);

  std::size_t tokens_max() const noexcept { return tokens_max_; }
  Executor& executor() noexcept { return executor_; }
  // What create() would allocate.
  static std::size_t bytes_for(const BlockSpec& spec, std::size_t tokens_max, std::size_t threads);

 private:
  class Step;
  Encoder(const BlockSpec& spec, std::size_t tokens_max, Executor& executor);
  BlockSpec spec_;
  std::size_t tokens_max_;
  Executor& executor_;
  std::unique_ptr<EncoderBuffers> buffers_;
};

// One vector of a text's states [tokens, D] into out [D]. REQUIRES: pooling != kNone, tokens > 0.
void pool(Pooling pooling, const float* states, std::size_t tokens, std::size_t width, float* out);
// Divides by the length; a vector of zeros stays.
void normalize(float* vector, std::size_t width);

// Outputs of the classification head, [rows, labels], of the states of first tokens, [rows, D]: in
// f32 in all numerics. REQUIRES: labels != 0.
void classify(const Model& model, const float* states, std::size_t rows, float* outputs);

}  // namespace paring::model
