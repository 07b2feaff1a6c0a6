// SPDX-License-Identifier: Apache-2.0
// Log-likelihoods of continuations after a context, many in a step. The cache of a context is
// computed once for all its continuations, and several contexts share a step; by the batch
// invariance of the forward pass each number is, bit for bit, what it would be alone.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"

namespace paring::measure {

struct Likelihood {
  double log_probability = 0;  // of all tokens of the continuation, nats
  bool is_greedy = false;      // each of them is the most likely one
  bool operator==(const Likelihood&) const = default;
};

// A context and its continuations as tokens, encoded as lm-evaluation-harness does it: context and
// continuation are encoded together, and the continuation is what follows as many tokens as the
// context alone has. Blanks at the end of the context count to the continuation.
struct ScoreItem {
  std::vector<std::int32_t> context;  // at least one token
  std::vector<std::vector<std::int32_t>> continuations;
};

// Tokens of a step: enough for matrix products to run at full speed.
inline constexpr std::size_t kScoreTokensMax = 1024;

class Scorer {
 public:
  // Sequences of up to `context_tokens`. `loaded` and `executor` must outlive the result.
  static Result<std::unique_ptr<Scorer>> create(const engine::LoadedModel& loaded,
                                                Executor& executor, const EvalOptions& eval,
                                                std::size_t context_tokens);
  // Bytes of buffers and cache that create() will take.
  static std::size_t bytes_for(const model::BlockSpec& spec, const EvalOptions& eval,
                               std::size_t context_tokens, std::size_t threads);

  // An empty context stands for BOS, or EOS where the model has no BOS. InvalidArgument for a
  // continuation without tokens.
  Result<ScoreItem> encode(std::string_view context,
                           std::span<const std::string> continuations) const;
  // Whether some sequence of `item` is longer than the model reads: its beginning is left out then.
  bool is_cut(const ScoreItem& item) const;
  // One list an item, in order. Corrupt when a log-probability is not a finite number.
  Result<std::vector<std::vector<Likelihood>>> score(std::span<const ScoreItem> items);

 private:
  // Continuations that are computed after one and the same prefix.
  struct Unit {
    std::size_t item = 0;
    std::size_t first = 0;  // continuation of the item
    std::span<const std::int32_t> prefix;
    std::vector<std::span<const std::int32_t>> continuations;
    std::size_t longest() const;
  };
  struct Part;  // of a step
  Scorer(const engine::LoadedModel& loaded, const EvalOptions& eval, std::size_t context_tokens)
      : loaded_(loaded), view_(*loaded.model), eval_(eval), context_(context_tokens) {}
  std::vector<Unit> units_of(std::span<const ScoreItem> items) const;
  Result<void> score_group(std::span<const Unit> units,
                           std::vector<std::vector<Likelihood>>& results);
  Result<void> score_long(const Unit& unit, std::vector<std::vector<Likelihood>>& results);
  Result<void> step(std::span<Part> parts);

  const engine::LoadedModel& loaded_;
  model::ModelView view_;
  EvalOptions eval_;
  std::size_t context_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
};

}  // namespace paring::measure
