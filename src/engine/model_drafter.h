// SPDX-License-Identifier: Apache-2.0
// Guesses with a smaller model of the same vocabulary (Leviathan et al. 2023, Chen et al. 2023). It
// reads each sequence in a cache of its own, which it cuts back where guesses were wrong, and draws
// with the numbers that the large model will draw with, so that both agree wherever their
// distributions do. All sequences of a step are guessed together. Confined to the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/draft_policy.h"
#include "engine/drafter.h"
#include "engine/loaded_model.h"
#include "engine/prefix_cache.h"
#include "model/forward.h"

namespace paring::engine {

// InvalidArgument naming the first token that the vocabularies spell differently. Tokens that only
// fill a vocabulary up, "[PAD<id>]", may be missing or differ.
Result<void> check_same_vocabulary(const text::Tokenizer& model, const text::Tokenizer& draft);

struct ModelDrafterOptions {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 2048;  // longer sequences are not guessed about
  std::size_t cache_tokens = 2048;    // of all sequences together
  std::size_t sequences_max = 1;      // guessed about together
  std::size_t tokens_max = 8;         // guesses for one sequence
};

class ModelDrafter : public Drafter {
 public:
  // Exhausted when memory does not suffice. `draft` and `executor` must outlive the result; `model`
  // is the one that is guessed about, of which only the size is looked at.
  static Result<std::unique_ptr<ModelDrafter>> create(const model::Model& draft,
                                                      const model::Model& model, Executor& executor,
                                                      const ModelDrafterOptions& options);
  // Bytes of cache and buffers that create() will take.
  static std::size_t bytes_for(const model::BlockSpec& draft, const ModelDrafterOptions& options,
                               std::size_t threads);

  const char* name() const noexcept override { return "model"; }
  void propose(std::span<Draft* const> drafts) override;
  void forget(std::uint64_t sequence) override;
  Cost cost(std::span<Draft* const> drafts, const Speeds& model) const override;
  bool is_free() const noexcept override { return false; }
  const model::KvPool& pool() const noexcept { return *pool_; }

 private:
  // What is read of one sequence.
  struct Reading {
    explicit Reading(model::KvPool& pool) : cache(pool) {}
    std::vector<std::int32_t> tokens;  // of the sequence, and guesses
    std::size_t known = 0;             // of them, not guesses
    model::KvSequence cache;           // of the first cache.length() tokens
    std::uint64_t prefix_scope = 0;
    std::uint64_t asked = 0;  // call that asked about it last
    bool is_lost = false;     // holds a token that this vocabulary does not have
  };
  // A draft in the making.
  struct Job {
    Draft* draft;
    Reading* reading;
    double chance = 1;  // that all guesses are right
    DraftToken picked = {};
    std::size_t part = 0;  // tokens of this step
  };
  class PickSink;

  ModelDrafter(const model::Model& draft, const ModelDrafterOptions& options)
      : view_(draft), options_(options) {}
  Reading& meet(const Draft& draft);
  bool has_room(Reading& reading, std::size_t tokens);
  std::size_t behind(const Draft& draft) const;
  std::vector<Job*> next_parts(std::vector<Job>& jobs);
  void run(std::span<Job*> parts);
  static void take(Job& job);

  model::ModelView view_;
  ModelDrafterOptions options_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
  std::unique_ptr<PrefixCache> prefixes_;
  std::map<std::uint64_t, Reading> readings_;
  std::uint64_t asked_ = 0;        // calls of propose()
  double size_share_ = 1;          // of the large model's weights
  StepTimes rounds_;               // one token of each sequence
  double token_read_seconds_ = 0;  // of a long text; 0: not known yet
};

}  // namespace paring::engine
