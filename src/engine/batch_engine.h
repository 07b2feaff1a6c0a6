// SPDX-License-Identifier: Apache-2.0
// Continuous batching (Orca, OSDI 2022, sec. 3): sequences join and leave between steps. A step
// computes one token of every sequence that generates and, within a budget of tokens, parts of
// prompts; prefixes that were computed before are shared (prefix_cache.h); when the cache of keys
// and values is full, unused prefixes are forgotten first, then the least urgent sequence is set
// back to what is cached of it and waits. With a speculator a step may also compute guesses of the
// tokens that come next, and gives as many tokens as were right (speculator.h). Whatever happens, a
// sequence's tokens are those of its run alone, bit for bit.
//
//   engine->submit(request, listener);       // from the engine's thread
//   while (engine->step()) {}                // until nothing is left to do
//
// Confined to one thread, which also calls the listeners; cancellation alone may come from others.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "api/request.h"
#include "api/step.h"
#include "base/executor.h"
#include "base/result.h"
#include "engine/fair_share.h"
#include "engine/prefix_cache.h"
#include "engine/prompt_budget.h"
#include "engine/sampler.h"
#include "engine/speculator.h"
#include "engine/step_meter.h"
#include "engine/token_constraint.h"
#include "model/forward.h"
#include "model/lora.h"

namespace paring::engine {

// Tokens in, tokens out; text is the listener's affair.
struct SequenceRequest {
  std::uint64_t id = 0;  // random stream; sample k > 0 has the stream stream_of(id, k)
  std::vector<std::int32_t> prompt = {};
  std::size_t max_tokens = 256;  // 0: the prompt is scored only
  std::size_t samples = 1;       // answers to one prompt, which is computed once
  api::Sampling sampling = {};
  int priority = 0;          // higher goes first, and sets back lower ones when there is no room
  std::uint64_t tenant = 0;  // among equally urgent ones, tenants take turns
  double weight = 1;         // a tenant's share, relative to others
  double deadline = 0;       // on the monotonic clock, in seconds; 0: none
  // With each token, its log-probability and those of this many likeliest ones.
  std::optional<std::size_t> logprobs = std::nullopt;
  // With each token, the log-probabilities of these instead of the likeliest ones.
  std::vector<std::int32_t> told_tokens = {};
  // The log-probabilities of prompt tokens from this one on, but never of the first.
  std::optional<std::size_t> scored_from = std::nullopt;
  // What limits the tokens of a sample; empty: nothing.
  std::function<std::unique_ptr<TokenConstraint>(std::size_t sample)> constraint = nullptr;
  // Prefixes are shared within a scope only, and only with the same adapter.
  std::uint64_t prefix_scope = 0;
  std::shared_ptr<const model::Lora> adapter = nullptr;  // null: the model as it is
  // Set by any thread to end the request within a step; null: cannot be cancelled.
  std::shared_ptr<const std::atomic<bool>> cancelled = nullptr;
};

std::uint64_t stream_of(std::uint64_t id, std::size_t sample) noexcept;

enum class SequenceEnd : std::uint8_t {
  kStopped,  // the listener said so
  kMaxTokens,
  kContextFull,
  kCancelled,
  kDeadline,
  kFailed,  // see the error
};

struct SequenceResult {
  SequenceEnd end = SequenceEnd::kStopped;
  api::Usage usage;
  double queue_seconds = 0;  // until it was first let in
  std::size_t preemptions = 0;
  Error error;  // of kFailed
};

class SequenceListener {
 public:
  virtual ~SequenceListener() = default;
  // Each token of a sample as it is picked, the one that ends the text included. False: this was
  // the last.
  virtual bool on_token(std::size_t sample, std::int32_t token) = 0;
  // In front of on_token(), when the request wants them.
  virtual void on_logprobs(std::size_t sample, const api::TokenLogprobs& logprobs);
  // Of the prompt's tokens `first`, `first` + 1, ...; in order, once, when the request wants them.
  virtual void on_scores(std::size_t first, std::span<const api::TokenLogprobs> scores);
  // Once for each sample, after its last token. May submit, must not step.
  virtual void on_end(std::size_t sample, const SequenceResult& result) = 0;
};

struct BatchOptions {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 2048;  // of one sequence, prompt and answer
  std::size_t cache_tokens = 8192;    // of all sequences and cached prefixes together
  std::size_t step_tokens = 512;      // computed in one step at most
  // Prompt tokens in a step that also generates: bounds how long those who generate wait. Fewer
  // when that many would take longer than mixed_step_ratio times a step without any.
  std::size_t mixed_prompt_tokens = 128;
  double mixed_step_ratio = 2.0;
  std::size_t sequences_max = 64;            // computed together
  std::size_t waiting_max = 1024;            // samples that wait for their turn
  std::size_t waiting_tokens_max = 1 << 20;  // of their prompts together
  std::size_t lora_rank = 0;  // largest of the adapters that requests bring; 0: they bring none
  bool has_prefix_cache = true;
};

struct TokenPick;

class BatchEngine {
 public:
  // InvalidArgument for bounds that contradict each other, Exhausted when memory does not suffice.
  // `model` and `executor` must outlive the result. Without a speculator each step gives a sequence
  // one token.
  static Result<std::unique_ptr<BatchEngine>> create(
      const model::Model& model, Executor& executor, const BatchOptions& options,
      std::unique_ptr<Speculator> speculator = nullptr);
  ~BatchEngine();
  // Bytes of cache and buffers that create() will take, a speculator's not counted.
  static std::size_t bytes_for(const model::BlockSpec& spec, const BatchOptions& options,
                               std::size_t threads);

  // InvalidArgument for a request that can never run, Exhausted when too many wait. The listener
  // must live until its last on_end().
  Result<void> submit(SequenceRequest request, SequenceListener& listener);
  // Computes one step. False: nothing was left to do.
  bool step();

  const api::StepRecord& last_step() const noexcept { return last_step_; }
  std::size_t running() const noexcept { return running_.size(); }
  std::size_t waiting() const noexcept { return waiting_.size(); }
  std::size_t waiting_tokens() const noexcept { return waiting_tokens_; }
  const model::KvPool& pool() const noexcept { return *pool_; }
  // Forgets all cached prefixes.
  void clear_prefixes();

 private:
  struct Live;
  class SampleSink;
  using LiveList = std::vector<std::unique_ptr<Live>>;

  BatchEngine(const model::Model& model, const BatchOptions& options);
  Result<void> check(const SequenceRequest& request) const;
  void drop_cancelled();
  void admit();
  std::vector<Live*> turns() const;
  bool let_in(Live& live);
  bool set_back_for(const Live& live);
  std::unique_ptr<Live> take_waiting(const Live* live);
  bool waits_for_prefix(const Live& live) const;
  bool has_room(const Live& live) const;
  bool make_room(Live& live, std::size_t tokens);
  Live* least_urgent_but(const Live& live) const;
  void preempt(Live& live);
  std::vector<Live*> order() const;
  std::vector<Live*> plan();
  void speculate(const std::vector<Live*>& parts);
  void grow_for_guesses(Live& live, std::vector<std::int32_t> guesses);
  void compute(const std::vector<Live*>& parts);
  void record(const std::vector<Live*>& parts);
  void meter(const std::vector<Live*>& parts);
  void settle(Live& live);
  void account(Live& live, std::size_t guesses, std::size_t right,
               std::span<const std::int32_t> picked);
  void tell_scores(Live& live);
  void split_samples(Live& leader);
  void take_token(Live& live, const TokenPick& pick);
  void end(Live& live, SequenceEnd how, Error error = {});
  void sweep();
  void enqueue(std::unique_ptr<Live> live);
  void keep_prefix(const Live& live);

  const model::Model& model_;
  model::ModelView view_;
  BatchOptions options_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
  std::unique_ptr<PrefixCache> prefixes_;
  std::unique_ptr<Speculator> speculator_;     // null: no guesses
  std::deque<std::unique_ptr<Live>> waiting_;  // by priority, then arrival
  LiveList running_;                           // the same order
  std::size_t waiting_tokens_ = 0;             // of waiting prompts
  FairShare shares_;
  PromptBudget prompt_budget_;
  StepMeter meter_;
  std::uint64_t arrivals_ = 0;
  api::StepRecord last_step_;
};

}  // namespace paring::engine
