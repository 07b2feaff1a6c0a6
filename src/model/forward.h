// SPDX-License-Identifier: Apache-2.0
// The forward pass of a decoder, written once over BlockSpec. Runs as one job on the executor: each
// phase is split over workers by output rows, tokens or heads, with a barrier between phases: six a
// layer for the few tokens of a decoding step, whose rows every worker norms and quantizes itself.
//
// Batch invariance: a token's result depends on its sequence's tokens, the weights and the
// numerics, not on the batch, the chunking or the thread count (see kernels/ops.h); fast numerics
// are the exception (model/product.h). Attention
// always reads keys and values back from the cache, so a chunk sees its own tokens as later chunks
// will.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "model/kv_cache.h"
#include "model/product.h"
#include "model/rope.h"
#include "model/taps.h"
#include "model/weights.h"

namespace paring::model {

class Lora;

// Consecutive tokens of one sequence. Its KvSequence must already have been grown by tokens.size():
// they take the last tokens.size() positions of it.
struct Segment {
  KvSequence* sequence;
  std::span<const std::int32_t> tokens;
  // Rows whose logits are wanted: the last `logit_rows` tokens of the segment.
  std::size_t logit_rows = 0;
  // Added to the products of these tokens; null: none. REQUIRES: a rank within
  // ForwardShape::lora_rank.
  const Lora* adapter = nullptr;
};

// Consecutive logit rows, in the order of the segments. `logits` has `rows` rows of `vocabulary`.
struct LogitsChunk {
  std::size_t first;  // index of the first row among all logit rows of the batch
  std::size_t rows;   // <= kLogitRowsMax
  const float* logits;
  std::size_t vocabulary;
  const float* hidden;  // [rows, D] input of the head
};

// Receives logits as they are computed. consume() runs on every worker at once (split the work, use
// worker.barrier()); the chunk stays valid until all have returned.
class LogitsSink {
 public:
  virtual ~LogitsSink() = default;
  virtual void consume(Worker& worker, const LogitsChunk& chunk) = 0;
};

struct ForwardOptions {
  Numerics numerics = Numerics::kServed;
  Taps* taps = nullptr;
  LogitsSink* sink = nullptr;
  // Starts at this layer with `hidden` [T, D] as the residual stream (from a kLayerInput tap), to
  // recompute only what a changed layer can influence. 0 and null: from the tokens.
  std::size_t first_layer = 0;
  const float* hidden = nullptr;
};

inline constexpr std::size_t kLogitRowsMax = 32;

struct ForwardShape {
  std::size_t tokens_max = 0;  // of a step, at least 1
  // The longest sequence that is meant to run: decides between LongRoPE's two sets of divisors, and
  // up to it the attention of single tokens is divided among the workers.
  std::size_t context_tokens = 0;
  std::size_t lora_rank = 0;  // largest rank of any segment's adapter; 0: no adapters
};

struct ForwardBuffers;

// Buffers for steps of up to `tokens_max` tokens. One per executor; not thread-safe.
class Forward {
 public:
  // Exhausted when memory does not suffice.
  static Result<std::unique_ptr<Forward>> create(const BlockSpec& spec, const ForwardShape& shape,
                                                 Executor& executor);
  ~Forward();

  // One step. REQUIRES: total tokens in [1, tokens_max]; token ids below the vocabulary; every
  // segment's sequence grown.
  void run(const ModelView& view, std::span<const Segment> segments, const ForwardOptions& options);

  // Logits of `rows` head inputs [rows, D], for sinks that compare with another head: computes
  // target [rows, V] in exact numerics over this worker's panels; a barrier is needed before it is
  // read. REQUIRES: rows <= kLogitRowsMax.
  static void head_exact(Worker& worker, const ModelView& view, const float* hidden,
                         std::size_t rows, float* target) noexcept;

  std::size_t tokens_max() const noexcept { return tokens_max_; }
  Executor& executor() noexcept { return executor_; }
  std::size_t bytes() const noexcept;
  // What create() would allocate.
  static std::size_t bytes_for(const BlockSpec& spec, const ForwardShape& shape,
                               std::size_t threads);

 private:
  class Step;
  Forward(const BlockSpec& spec, const ForwardShape& shape, Executor& executor);
  BlockSpec spec_;
  std::size_t tokens_max_;
  Executor& executor_;
  std::vector<RopeTable> ropes_;  // as BlockSpec::ropes
  std::unique_ptr<ForwardBuffers> buffers_;
};

}  // namespace paring::model
