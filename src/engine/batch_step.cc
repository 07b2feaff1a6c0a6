// SPDX-License-Identifier: Apache-2.0
// The second half of BatchEngine's step: guessing, computing what was planned, and taking tokens.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "engine/batch_engine.h"
#include "engine/detail/live_sequence.h"
#include "engine/finite.h"
#include "model/lora.h"

namespace paring::engine {

namespace {

Error no_token_left() {
  return {ErrorCode::kInternal, "the constraint leaves no token that could come next",
          "report this as a bug"};
}

// A scale that somebody chose is more likely at fault than files.
Error not_finite(const SequenceRequest& request) {
  const model::Lora* adapter = request.adapter.get();
  if (adapter == nullptr) {
    return corrupt("the model's output holds values that are not finite numbers",
                   "its weights are damaged or out of range; get the file again");
  }
  const std::string message = fmt::format(
      "the model's output with the adapter {} at scale {:g} holds values that are not finite "
      "numbers",
      adapter->path(), adapter->scale());
  if (std::abs(adapter->scale()) > 1) {
    return invalid_argument(message, "take a smaller scale; 1 is as the adapter was trained");
  }
  return corrupt(message,
                 "try without the adapter: if that works the adapter is damaged or of another "
                 "model, otherwise the model is");
}

bool is_any(TokenSet set, std::size_t vocabulary) {
  for (std::size_t word = 0; word < set.size(); ++word) {
    const std::size_t first = word * 32;
    if (first >= vocabulary) break;
    const std::size_t count = vocabulary - first;
    const std::uint32_t valid = count >= 32 ? ~0U : (1U << count) - 1;
    if ((set[word] & valid) != 0) return true;
  }
  return false;
}

}  // namespace

TokenPick BatchEngine::Live::pick(std::span<const float> logits, std::size_t known) const {
  TokenPick picked;
  const std::span<const std::int32_t> history = std::span(tokens).first(known);
  if (constraint == nullptr) {
    picked.token = sampler.sample(logits, history, known);
  } else {
    Result<TokenSet> allowed = constraint->allowed();
    if (!allowed) {
      picked.error = std::move(allowed.error());
      return picked;
    }
    if (!is_any(*allowed, logits.size())) {
      picked.error = no_token_left();
      return picked;
    }
    picked.token = sampler.sample(logits, history, known, &*allowed);
  }
  if (!request->told_tokens.empty()) {
    picked.logprobs = logprobs_of(logits, picked.token, request->told_tokens);
  } else if (request->logprobs) {
    picked.logprobs = logprobs_of(logits, picked.token, *request->logprobs);
  }
  return picked;
}

// Picks each row's next token as soon as its logits are there, rows side by side on the workers.
class BatchEngine::SampleSink : public model::LogitsSink {
 public:
  struct Row {
    Live* live;
    std::size_t index;  // in live->picks, or in live->scores
    std::size_t known;  // tokens in front of the one that is picked or scored
    bool is_score = false;
  };
  explicit SampleSink(std::vector<Row> rows) : rows_(std::move(rows)) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    const Range mine = worker.split(chunk.rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      const Row& row = rows_[chunk.first + r];
      const std::span<const float> logits(chunk.logits + r * chunk.vocabulary, chunk.vocabulary);
      Live& live = *row.live;
      if (row.is_score) {
        live.scores[row.index] =
            logprobs_of(logits, live.tokens[row.known], live.request->logprobs.value_or(0));
        continue;
      }
      TokenPick& pick = live.picks[row.index];
      pick.is_finite = are_finite(logits);
      if (!pick.is_finite || live.request->max_tokens == 0) continue;
      pick = live.pick(logits, row.known);
      for (Live* follower : live.followers) {
        follower->picks.assign(1, follower->pick(logits, row.known));
      }
    }
  }

 private:
  std::vector<Row> rows_;
};

// Lets sequences check guesses in this step. Not beside prompts: their many rows already use the
// weights well, so that each guess would cost its full share of a multiply.
void BatchEngine::speculate(const std::vector<Live*>& parts) {
  if (speculator_ == nullptr) return;
  std::vector<Speculation> speculations;
  for (const Live* live : parts) {
    if (live->left() > 0 || live->part != 1 || live->generated() == 0) return;
    // The last token comes from a step's own logits, and is never computed itself.
    const std::size_t left = live->request->max_tokens - live->generated();
    const std::size_t room = options_.context_tokens - live->tokens.size();
    speculations.push_back(
        {.sequence = live->arrival,
         .prefix_scope = live->request->prefix_scope,
         .tokens = live->tokens,
         .sampler = &live->sampler,
         // What a constraint allows is known for the next token only.
         .guesses_max = live->constraint == nullptr ? std::min(left, room) - 1 : 0,
         .tokens_left = left});
  }
  speculator_->propose(speculations, options_.step_tokens - parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    grow_for_guesses(*parts[i], std::move(speculations[i].guesses));
  }
}

void BatchEngine::grow_for_guesses(Live& live, std::vector<std::int32_t> guesses) {
  const auto is_token = [this](std::int32_t guess) {
    return guess >= 0 && static_cast<std::size_t>(guess) < model_.spec().vocabulary;
  };
  guesses.erase(std::find_if_not(guesses.begin(), guesses.end(), is_token), guesses.end());
  if (guesses.empty()) return;
  // Grown at once, because growing lets go of what its first position does not see. Nobody gives up
  // a page for guesses: without room there are none.
  live.sequence.truncate(live.sequence.length() - live.part);
  if (!live.sequence.grow(live.part + guesses.size())) {
    PARING_CHECK(live.sequence.grow(live.part).has_value(), "there was room for it before");
    return;
  }
  live.part += guesses.size();
  live.guesses = std::move(guesses);
}

void BatchEngine::compute(const std::vector<Live*>& parts) {
  std::vector<model::Segment> segments;
  std::vector<SampleSink::Row> rows;
  for (Live* live : parts) {
    const std::size_t known = live->tokens.size();
    live->tokens.insert(live->tokens.end(), live->guesses.begin(), live->guesses.end());
    const std::size_t done = live->sequence.length();
    const std::size_t begin = done - live->part;
    live->picks.assign(done == live->tokens.size() ? 1 + live->guesses.size() : 0, {});
    // The logits behind token i score token i + 1.
    const std::size_t scores_end = std::min(done, live->request->prompt.size() - 1) + 1;
    const std::size_t scores_begin = std::max(live->next_score, begin + 1);
    live->scores.assign(scores_end > scores_begin ? scores_end - scores_begin : 0, {});
    segments.push_back({&live->sequence,
                        std::span<const std::int32_t>(live->tokens).subspan(begin, live->part),
                        live->scores.size() + live->picks.size(), live->request->adapter.get()});
    for (std::size_t i = 0; i < live->scores.size(); ++i) {
      rows.push_back({live, i, scores_begin + i, true});
    }
    for (std::size_t i = 0; i < live->picks.size(); ++i) rows.push_back({live, i, known + i});
  }
  SampleSink sink(std::move(rows));
  model::ForwardOptions options;
  options.numerics = options_.numerics;
  options.sink = &sink;
  last_step_ = {};
  last_step_.start_seconds = system_clock().monotonic_seconds();
  forward_->run(view_, segments, options);
  last_step_.seconds = system_clock().monotonic_seconds() - last_step_.start_seconds;
  for (Live* live : parts) live->tokens.resize(live->tokens.size() - live->guesses.size());
  record(parts);
  for (Live* live : parts) {
    if (!live->scores.empty()) tell_scores(*live);
    if (!live->picks.empty()) settle(*live);
  }
}

void BatchEngine::tell_scores(Live& live) {
  const std::vector<api::TokenLogprobs> scores = std::exchange(live.scores, {});
  const std::size_t first = live.next_score;
  live.next_score += scores.size();
  live.listener.on_scores(first, scores);
}

// Who the step was for.
void BatchEngine::meter(const std::vector<Live*>& parts) {
  std::vector<StepMeter::Part> shares;
  for (const Live* live : parts) {
    shares.push_back({.first = live->sequence.length() - live->part,
                      .tokens = live->part,
                      .logits = live->picks.size() + live->scores.size()});
  }
  const std::span<const api::Work> works = meter_.split(shares, last_step_.seconds);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    api::Usage& usage = parts[i]->result.usage;
    (parts[i]->first_token == 0 ? usage.prefill_work : usage.decode_work) += works[i];
    usage.peak_pages = std::max(usage.peak_pages, parts[i]->sequence.pages());
  }
  last_step_.bytes = meter_.total().bytes;
  last_step_.operations = meter_.total().operations;
  metrics().read_bytes.add(static_cast<std::uint64_t>(last_step_.bytes));
  metrics().operations.add(static_cast<std::uint64_t>(last_step_.operations));
}

void BatchEngine::record(const std::vector<Live*>& parts) {
  meter(parts);
  for (const Live* live : parts) {
    const bool decodes = live->generated() > 0 && live->part == 1 + live->guesses.size();
    const auto tokens = static_cast<double>(live->part);
    (decodes ? last_step_.decode_positions : last_step_.prefill_positions) +=
        tokens * (static_cast<double>(live->sequence.length()) - tokens / 2);
    last_step_.rows += live->picks.size() + live->scores.size();
    (decodes ? last_step_.decode_tokens : last_step_.prefill_tokens) +=
        live->part - live->guesses.size();
    last_step_.draft_tokens += live->guesses.size();
  }
  for (const Live* live : parts) {
    const double tokens = static_cast<double>(live->part - live->guesses.size());
    shares_.charge(live->request->tenant, tokens);
  }
  if (last_step_.draft_tokens == 0) {
    prompt_budget_.observe(last_step_.decode_tokens, last_step_.prefill_tokens, last_step_.seconds);
  }
  if (speculator_ != nullptr && last_step_.prefill_tokens == 0) {
    speculator_->observe(parts.size(), parts.size() + last_step_.draft_tokens, last_step_.seconds);
  }
  if (speculator_ != nullptr && last_step_.decode_tokens == 0) {
    speculator_->observe_prompt(last_step_.prefill_tokens, last_step_.seconds);
  }
  metrics().step_seconds.observe(last_step_.seconds);
  metrics().step_tokens.observe(static_cast<double>(
      last_step_.prefill_tokens + last_step_.decode_tokens + last_step_.draft_tokens));
  metrics().prompt_tokens.add(last_step_.prefill_tokens);
  metrics().draft_tokens.add(last_step_.draft_tokens);
}

// Takes the tokens that this step picked: one, and one more for each guess that is what was picked
// in its place. What was computed of wrong guesses is cut off.
void BatchEngine::settle(Live& live) {
  const std::vector<std::int32_t> guesses = std::exchange(live.guesses, {});
  const std::vector<TokenPick> picks = std::exchange(live.picks, {});
  std::size_t right = 0;
  while (right < guesses.size() && picks[right].is_finite && picks[right].token == guesses[right]) {
    ++right;
  }
  const TokenPick& last = picks[right];
  const bool is_picked = last.is_finite && !last.error && live.request->max_tokens > 0;
  std::vector<std::int32_t> picked(guesses.begin(),
                                   guesses.begin() + static_cast<std::ptrdiff_t>(right));
  if (is_picked) picked.push_back(last.token);
  live.sequence.truncate(live.tokens.size() + right);
  account(live, guesses.size(), right, picked);
  if (last.is_finite) split_samples(live);
  for (std::size_t i = 0; i < picked.size(); ++i) {
    take_token(live, picks[i]);
    if (live.is_ended) return;
  }
  if (is_picked) return;
  if (last.error) return end(live, SequenceEnd::kFailed, *last.error);
  if (last.is_finite) return end(live, SequenceEnd::kMaxTokens);  // wanted no token at all
  for (Live* follower : live.followers) {
    end(*follower, SequenceEnd::kFailed, not_finite(*follower->request));
  }
  end(live, SequenceEnd::kFailed, not_finite(*live.request));
}

// What the guesses of a sequence were good for.
void BatchEngine::account(Live& live, std::size_t guesses, std::size_t right,
                          std::span<const std::int32_t> picked) {
  if (speculator_ == nullptr) return;
  speculator_->learn(live.arrival, picked);
  last_step_.accepted_tokens += right;
  metrics().accepted_tokens.add(right);
  metrics().drafts.add(guesses > 0 ? 1 : 0);
  if (live.generated() == 0) return;  // the prompt's own step
  api::Speculation& total = live.result.usage.speculation;
  ++total.steps;
  total.drafts += guesses > 0 ? 1 : 0;
  total.drafted_tokens += guesses;
  total.accepted_tokens += right;
  const double plain = guesses > 0 ? speculator_->plain_seconds(last_step_.decode_tokens) : 0;
  total.plain_seconds +=
      plain > 0 ? plain * static_cast<double>(picked.size()) : last_step_.seconds;
}

// The other samples of a prompt go on from where its first one is, each with a token of its own.
void BatchEngine::split_samples(Live& leader) {
  if (leader.followers.empty()) return;
  keep_prefix(leader);
  for (Live* follower : std::exchange(leader.followers, {})) {
    follower->leader = nullptr;
    follower->admitted = leader.admitted;
    follower->result.usage.cached_tokens = leader.sequence.length();
    if (running_.size() < options_.sequences_max) {
      follower->sequence.fork(leader.sequence);
      running_.push_back(take_waiting(follower));
    }
    if (follower->request->max_tokens == 0) {
      end(*follower, SequenceEnd::kMaxTokens);
      continue;
    }
    const TokenPick pick = std::exchange(follower->picks, {}).front();
    if (pick.error) {
      end(*follower, SequenceEnd::kFailed, *pick.error);
    } else {
      take_token(*follower, pick);
    }
  }
  std::sort(running_.begin(), running_.end(),
            [](const auto& a, const auto& b) { return a->is_before(*b); });
}

void BatchEngine::take_token(Live& live, const TokenPick& pick) {
  const double now = system_clock().monotonic_seconds();
  if (live.first_token == 0) {
    live.first_token = now;
    metrics().first_token_seconds.observe(now - live.submitted);
    keep_prefix(live);
  } else {
    metrics().inter_token_seconds.observe(now - live.last_token);
  }
  live.last_token = now;
  live.tokens.push_back(pick.token);
  metrics().generation_tokens.add();
  if (live.constraint != nullptr) {
    if (Result<void> accepted = live.constraint->accept(pick.token); !accepted) {
      return end(live, SequenceEnd::kFailed, std::move(accepted.error()));
    }
  }
  if (pick.logprobs) live.listener.on_logprobs(live.sample, *pick.logprobs);
  if (!live.listener.on_token(live.sample, pick.token)) return end(live, SequenceEnd::kStopped);
  if (live.generated() == live.request->max_tokens) return end(live, SequenceEnd::kMaxTokens);
  if (live.tokens.size() >= options_.context_tokens) end(live, SequenceEnd::kContextFull);
}

}  // namespace paring::engine
