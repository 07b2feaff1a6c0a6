// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/ops.h"

namespace paring::engine {

Result<void> check_sampling(const api::Sampling& sampling) {
  const auto check = [](const char* name, double value, double low, double high) -> Result<void> {
    if (value >= low && value <= high) return {};  // false for NaN
    return invalid_argument(
        fmt::format("{} is {}, it must be between {} and {}", name, value, low, high));
  };
  PARING_TRY_VOID(check("temperature", sampling.temperature, 0.0, 100.0));
  PARING_TRY_VOID(check("top_p", sampling.top_p, 0.0, 1.0));
  PARING_TRY_VOID(check("min_p", sampling.min_p, 0.0, 1.0));
  PARING_TRY_VOID(check("repetition_penalty", sampling.repetition_penalty, 0.01, 100.0));
  PARING_TRY_VOID(check("frequency_penalty", sampling.frequency_penalty, -2.0, 2.0));
  PARING_TRY_VOID(check("presence_penalty", sampling.presence_penalty, -2.0, 2.0));
  if (sampling.logit_bias.size() > kLogitBiasMax) {
    return invalid_argument(fmt::format("logit_bias has {} entries, at most {} are taken",
                                        sampling.logit_bias.size(), kLogitBiasMax));
  }
  for (const api::TokenBias& entry : sampling.logit_bias) {
    PARING_TRY_VOID(check("a value of logit_bias", entry.bias, -100.0, 100.0));
  }
  return {};
}

std::int32_t most_likely(std::span<const float> logits) noexcept {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

api::TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token,
                               std::span<const std::int32_t> told) {
  const double norm = kernels::kernels().log_sum_exp(logits.data(), logits.size());
  const auto entry = [&](std::int32_t t) {
    return api::TokenLogprob{t, static_cast<float>(logits[static_cast<std::size_t>(t)] - norm)};
  };
  api::TokenLogprobs result{.token = entry(token), .top = {}};
  for (const std::int32_t t : told) result.top.push_back(entry(t));
  return result;
}

api::TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token, std::size_t top) {
  std::vector<std::int32_t> best;  // a heap, the least likely in front
  const auto is_likelier = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  for (std::size_t t = 0; t < logits.size() && top > 0; ++t) {
    const auto id = static_cast<std::int32_t>(t);
    if (best.size() == top) {
      if (!is_likelier(id, best.front())) continue;
      std::pop_heap(best.begin(), best.end(), is_likelier);
      best.pop_back();
    }
    best.push_back(id);
    std::push_heap(best.begin(), best.end(), is_likelier);
  }
  std::sort(best.begin(), best.end(), is_likelier);
  return logprobs_of(logits, token, best);
}

bool Sampler::adjusts() const noexcept {
  return sampling_.repetition_penalty != 1.0 || sampling_.frequency_penalty != 0.0 ||
         sampling_.presence_penalty != 0.0 || !sampling_.logit_bias.empty();
}

void Sampler::adjust(std::span<float> logits, std::span<const std::int32_t> history) const {
  if (sampling_.repetition_penalty != 1.0) {
    // As in CTRL (arXiv:1909.05858, sec. 4.1), once per distinct token; negative logits are
    // multiplied so that the penalty always lowers them.
    const std::size_t window = std::min(history.size(), kPenaltyWindowTokens);
    std::vector<std::int32_t> recent(history.end() - static_cast<std::ptrdiff_t>(window),
                                     history.end());
    std::sort(recent.begin(), recent.end());
    recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
    const auto penalty = static_cast<float>(sampling_.repetition_penalty);
    for (const std::int32_t token : recent) {
      float& logit = logits[static_cast<std::size_t>(token)];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (sampling_.frequency_penalty != 0.0 || sampling_.presence_penalty != 0.0) {
    // As OpenAI defines them: over the answer alone, subtracted from logits.
    const auto answer = history.subspan(std::min(prompt_tokens_, history.size()));
    std::vector<std::int32_t> said(answer.begin(), answer.end());
    std::sort(said.begin(), said.end());
    for (std::size_t i = 0; i < said.size();) {
      std::size_t end = i;
      while (end < said.size() && said[end] == said[i]) ++end;
      logits[static_cast<std::size_t>(said[i])] -= static_cast<float>(
          sampling_.frequency_penalty * static_cast<double>(end - i) + sampling_.presence_penalty);
      i = end;
    }
  }
  for (const api::TokenBias& entry : sampling_.logit_bias) {
    logits[static_cast<std::size_t>(entry.token)] += entry.bias;
  }
}

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history,
                             std::uint64_t position, const TokenSet* allowed) const {
  thread_local std::vector<float> scratch;  // one a worker instead of one a sequence
  if (adjusts() || allowed != nullptr) {
    scratch.assign(logits.begin(), logits.end());
    adjust(scratch, history);
    for (std::size_t t = 0; allowed != nullptr && t < scratch.size(); ++t) {
      const std::uint32_t word = t / 32 < allowed->size() ? (*allowed)[t / 32] : 0;
      if ((word >> (t % 32) & 1U) == 0) scratch[t] = -std::numeric_limits<float>::infinity();
    }
    logits = scratch;
  }
  // Ties go to the lower id, so that the order is total and the result reproducible.
  if (sampling_.temperature == 0.0) return most_likely(logits);
  return draw(logits, position);
}

std::int32_t Sampler::draw(std::span<const float> logits, std::uint64_t position) const {
  struct Candidate {
    float logit;
    std::int32_t token;
  };
  thread_local std::vector<Candidate> candidates;
  thread_local std::vector<double> weights;
  const double top = logits[static_cast<std::size_t>(most_likely(logits))];
  const double least = std::max(sampling_.min_p, kNegligibleWeight);
  // A little below the bound, which the weights themselves decide.
  const auto floor = static_cast<float>(top + std::log(least) * sampling_.temperature * 1.0001);
  candidates.clear();
  for (std::size_t t = 0; t < logits.size(); ++t) {
    if (logits[t] >= floor) candidates.push_back({logits[t], static_cast<std::int32_t>(t)});
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (sampling_.top_k != 0 && sampling_.top_k < candidates.size()) {
    const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(sampling_.top_k);
    std::nth_element(candidates.begin(), end, candidates.end(), before);
    candidates.erase(end, candidates.end());
  }
  if (sampling_.top_p < 1.0 || sampling_.top_k != 0) {
    std::sort(candidates.begin(), candidates.end(), before);
  }
  weights.clear();
  double total = 0;
  for (const Candidate& candidate : candidates) {
    double weight = std::exp((candidate.logit - top) / sampling_.temperature);
    if (weight < least) weight = 0;
    weights.push_back(weight);
    total += weight;
  }
  std::size_t count = weights.size();
  double kept = total;
  if (sampling_.top_p < 1.0) {
    kept = 0;
    count = 0;
    while (count < weights.size() && (count == 0 || kept < sampling_.top_p * total)) {
      kept += weights[count++];
    }
  }
  RandomStream stream({sampling_.seed, sequence_, static_cast<std::uint32_t>(position)});
  double left = stream.uniform() * kept;
  std::int32_t last = candidates.front().token;
  for (std::size_t i = 0; i < count; ++i) {
    if (weights[i] == 0) continue;
    last = candidates[i].token;
    left -= weights[i];
    if (left < 0) break;
  }
  return last;
}

}  // namespace paring::engine
