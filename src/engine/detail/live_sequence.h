// SPDX-License-Identifier: Apache-2.0
// What a batch engine knows of one sample of a request. Private to batch_engine.cc and
// batch_step.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/batch_engine.h"
#include "model/kv_cache.h"

namespace paring::engine {

struct BatchEngine::Live {
  Live(std::shared_ptr<const SequenceRequest> of, std::size_t which, SequenceListener& to,
       model::KvPool& pool)
      : request(std::move(of)),
        sample(which),
        listener(to),
        tokens(request->prompt),
        sequence(pool),
        sampler(request->sampling, stream_of(request->id, which)) {}

  // A token picked at one place of a step.
  struct Pick {
    std::int32_t token = -1;
    bool is_finite = true;  // its logits were
  };

  std::shared_ptr<const SequenceRequest> request;
  std::size_t sample;
  SequenceListener& listener;
  std::uint64_t arrival = 0;
  std::vector<std::int32_t> tokens;  // prompt and answer; during a step its guesses, too
  model::KvSequence sequence;        // what is computed of them
  Sampler sampler;
  Live* leader = nullptr;             // the sample of the same request that computes the prompt
  std::vector<Live*> followers;       // those that wait for this one to do so
  std::size_t part = 0;               // tokens of this step, guesses included; 0: none
  std::vector<std::int32_t> guesses;  // of this step
  std::vector<Pick> picks;            // of this step: behind its last token and behind each guess
  bool is_preempted = false;
  bool is_ended = false;
  double submitted = 0;  // seconds on the monotonic clock
  double admitted = 0;
  double first_token = 0;
  SequenceResult result;

  // The token that follows the first `known` ones.
  std::int32_t pick(std::span<const float> logits, std::size_t known) const {
    return sampler.sample(logits, std::span(tokens).first(known), known);
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
