// SPDX-License-Identifier: Apache-2.0
// What a batch engine knows of one sample of a request. Private to batch_engine.cc and
// batch_step.cc.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/batch_engine.h"
#include "model/kv_cache.h"

namespace paring::engine {

// A token picked at one place of a step.
struct TokenPick {
  std::int32_t token = -1;
  bool is_finite = true;                      // its logits were
  std::optional<Error> error = std::nullopt;  // of the constraint
  std::optional<api::TokenLogprobs> logprobs = std::nullopt;
};

struct BatchEngine::Live {
  Live(std::shared_ptr<const SequenceRequest> of, std::size_t which, SequenceListener& to,
       model::KvPool& pool)
      : request(std::move(of)),
        sample(which),
        listener(to),
        tokens(request->prompt),
        sequence(pool),
        sampler(request->sampling, stream_of(request->id, which), request->prompt.size()) {
    // One sample tells them for all.
    if (request->scored_from && which == 0)
      next_score = std::max<std::size_t>(1, *request->scored_from);
  }

  std::shared_ptr<const SequenceRequest> request;
  std::size_t sample;
  SequenceListener& listener;
  std::uint64_t arrival = 0;
  std::vector<std::int32_t> tokens;  // prompt and answer; during a step its guesses, too
  model::KvSequence sequence;        // what is computed of them
  Sampler sampler;
  std::unique_ptr<TokenConstraint> constraint = nullptr;  // null: none
  Live* leader = nullptr;             // the sample of the same request that computes the prompt
  std::vector<Live*> followers;       // those that wait for this one to do so
  std::size_t part = 0;               // tokens of this step, guesses included; 0: none
  std::vector<std::int32_t> guesses;  // of this step
  std::vector<TokenPick> picks;       // of this step: behind its last token and behind each guess
  std::vector<api::TokenLogprobs> scores;  // of this step
  // The first prompt token whose score is not told yet; behind the prompt when there are none.
  std::size_t next_score = std::numeric_limits<std::size_t>::max();
  std::size_t prompt_steps = 0;  // that its prompt was, or could have been, part of
  bool is_preempted = false;
  bool is_ended = false;
  double submitted = 0;  // seconds on the monotonic clock
  double admitted = 0;
  double first_token = 0;
  double last_token = 0;
  SequenceResult result;

  // The token that follows the first `known` ones.
  TokenPick pick(std::span<const float> logits, std::size_t known) const;
  // Tokens whose keys and values may come from a cache. Scores need the logits in front of a token.
  std::span<const std::int32_t> adoptable() const {
    return std::span(tokens).first(std::min(tokens.size(), next_score));
  }
  std::size_t generated() const { return tokens.size() - request->prompt.size(); }
  std::size_t left() const { return tokens.size() - sequence.length(); }
  bool is_cancelled() const { return request->cancelled != nullptr && request->cancelled->load(); }
  // Whether this goes before `other`.
  bool is_before(const Live& other) const {
    if (request->priority != other.request->priority) {
      return request->priority > other.request->priority;
    }
    return arrival < other.arrival;
  }
};

}  // namespace paring::engine
