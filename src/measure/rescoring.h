// SPDX-License-Identifier: Apache-2.0
// Rescorer: how far a model was from its original along one answer that it gave, computed a piece
// at a time, so that who has more urgent work can come in between. By the batch invariance of the
// forward pass the model's probabilities are, bit for bit, those by which the answer was picked.
// Not thread-safe.
//
//   PARING_TRY(const auto rescorer, Rescorer::create(original.spec(), model.spec(), executor, {}));
//   PARING_TRY_VOID(rescorer->begin(prompt, answer));
//   while (!rescorer->is_done()) PARING_TRY_VOID(rescorer->step(original, model, 32));
//   const RescoredAnswer found = rescorer->result();
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/executor.h"
#include "base/result.h"
#include "measure/compare.h"
#include "model/forward.h"

namespace paring::engine {
struct LoadedModel;
}

namespace paring::measure {

// Of the tokens of an answer. Divergences are KL(original || model), nats.
struct RescoredAnswer {
  std::size_t tokens = 0;
  double kl_sum = 0;
  double kl_max = 0;
  std::size_t same_top = 0;  // tokens where both hold the same one for the most likely
  // The first token of the answer that the original did not hold for the most likely, where the
  // model did: what a greedy answer of the original would have had in its place differs from here
  // on. Absent: there is none.
  std::optional<std::size_t> first_changed;
  // ln(probability of the answer for the original / for the model).
  double log_ratio = 0;
};

// A divergence compares probabilities token by token: both models must mean the same by each.
// InvalidArgument: they do not.
Result<void> check_same_vocabulary(const engine::LoadedModel& model,
                                   const engine::LoadedModel& original);

class Rescorer {
 public:
  struct Options {
    EvalOptions model = {};                // how the model was served
    EvalOptions original = kExactOptions;  // what it is compared with
    std::size_t context_tokens = 4096;     // longest prompt and answer
    std::size_t piece_tokens_max = 128;    // of a step, at least 1
  };
  // Exhausted when memory does not suffice. `executor` must outlive the result.
  static Result<std::unique_ptr<Rescorer>> create(const model::BlockSpec& original,
                                                  const model::BlockSpec& model, Executor& executor,
                                                  const Options& options);
  // Bytes that create() will take, about.
  static std::size_t bytes_for(const model::BlockSpec& original, const model::BlockSpec& model,
                               std::size_t threads, const Options& options);

  // Another answer; what was under way is dropped. InvalidArgument: no prompt, no answer, longer
  // than the context.
  Result<void> begin(std::span<const std::int32_t> prompt, std::span<const std::int32_t> answer);
  // Goes on by up to `tokens` tokens (1 to piece_tokens_max) with either model, in turns. Corrupt
  // when a score is not a finite number; Exhausted by a cache; the answer is dropped then.
  // REQUIRES: !is_done(); the models of create().
  Result<void> step(const model::ModelView& original, const model::ModelView& model,
                    std::size_t tokens);
  bool is_done() const noexcept { return done_ + 1 >= tokens_.size(); }
  void drop();
  // REQUIRES: is_done() after begin().
  const RescoredAnswer& result() const noexcept { return result_; }

 private:
  struct Side {
    EvalOptions eval;
    std::unique_ptr<model::Forward> forward;
    std::unique_ptr<model::KvPool> pool;
    std::unique_ptr<model::KvSequence> sequence;
  };
  // Of the piece that the original has been through and the model has not.
  struct Piece {
    std::size_t tokens = 0;
    std::size_t rows = 0;  // scored: all or none
    std::vector<float> hidden;
    std::vector<double> log_sums;
    std::vector<double> losses;
    std::vector<std::int32_t> top;
  };
  explicit Rescorer(const Options& options) : options_(options) {}
  static Result<void> prepare(Side& side, const model::BlockSpec& spec, Executor& executor,
                              const Options& options);
  std::size_t piece_of(std::size_t tokens) const noexcept;
  Result<void> run(Side& side, const model::ModelView& view, model::ForwardOptions options);
  Result<void> step_original(const model::ModelView& original);
  Result<void> step_model(const model::ModelView& original, const model::ModelView& model);

  Options options_;
  Side original_;
  Side model_;
  AlignedBuffer original_logits_;
  std::vector<std::int32_t> tokens_;  // prompt and answer
  std::size_t answer_at_ = 0;         // its first token
  std::size_t done_ = 0;              // tokens that both have been through
  Piece piece_;
  RescoredAnswer result_;
};

}  // namespace paring::measure
