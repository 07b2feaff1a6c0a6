// SPDX-License-Identifier: Apache-2.0
#include "engine/speculator.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace paring::engine {

namespace {

// Share of the time of steps that may go into finding out whether a drafter pays that did not.
constexpr double kTrialShare = 0.02;
// A drafter that has to read a sequence first must earn that back within so many tokens.
constexpr std::size_t kEarnBackTokens = 256;
// Right guesses that are expected of a drafter that takes time: of a model that somebody chose.
constexpr double kModelChance = 0.8;

// Steps of fewer prompt tokens say little about what each of many takes.
constexpr std::size_t kPromptTokensMin = 32;

// Expected right guesses among the first `count`.
double expected_right(std::span<const double> chances, std::size_t count) {
  double sum = 0;
  double all = 1;
  for (std::size_t i = 0; i < count; ++i) sum += all *= chances[i];
  return sum;
}

}  // namespace

Speculator::Speculator(std::vector<std::unique_ptr<Drafter>> drafters,
                       const SpeculatorOptions& options)
    : options_(options) {
  PARING_CHECK(options.tokens_max > 0 && options.tokens_max <= kDraftTokensMax,
               "a draft has a token at least and a limit");
  std::stable_partition(drafters.begin(), drafters.end(),
                        [](const auto& drafter) { return drafter->is_free(); });
  for (auto& drafter : drafters) {
    const GuessRecord record(drafter->is_free() ? 0.5 : kModelChance);
    guessers_.push_back({.drafter = std::move(drafter), .usual = record, .places = record});
  }
}

void Speculator::ask(std::size_t guesser, std::span<Speculation> speculations, std::size_t wanted,
                     double chance_min) {
  std::vector<Draft> drafts(speculations.size());
  std::vector<std::vector<double>> chances(speculations.size());
  std::vector<Draft*> asked;
  for (std::size_t i = 0; i < speculations.size(); ++i) {
    const Speculation& about = speculations[i];
    const std::size_t tokens = std::min(wanted, about.guesses_max);
    if (tokens == 0) continue;
    const Opinion& opinion = opinions_[about.sequence][guesser];
    for (std::size_t c = 0; c < kCertaintiesMax; ++c) {
      chances[i].push_back(
          opinion.record.chance(static_cast<std::uint8_t>(c), &guessers_[guesser].usual));
    }
    drafts[i] = {.sequence = about.sequence,
                 .prefix_scope = about.prefix_scope,
                 .tokens = about.tokens,
                 .sampler = about.sampler,
                 .wanted = tokens,
                 .chances = chances[i],
                 .chance_min = chance_min};
    asked.push_back(&drafts[i]);
  }
  if (asked.empty()) return;
  guessers_[guesser].drafter->propose(asked);
  for (Draft* draft : asked) {
    draft->proposed.resize(std::min(draft->proposed.size(), draft->wanted));
    opinions_[draft->sequence][guesser].tokens = std::move(draft->proposed);
  }
}

std::vector<double> Speculator::chances(std::size_t guesser, const Opinion& opinion,
                                        std::size_t guesses_max) const {
  std::vector<double> chances;
  for (const DraftToken& guess : opinion.tokens) {
    if (chances.size() == guesses_max) break;
    chances.push_back(opinion.record.chance(guess.certainty, &guessers_[guesser].usual));
  }
  return chances;
}

// Of each sequence the opinion that promises most.
std::vector<std::vector<double>> Speculator::best_chances(std::span<Speculation> speculations,
                                                          std::vector<std::size_t>* chosen) const {
  std::vector<std::vector<double>> best(speculations.size());
  chosen->assign(speculations.size(), 0);
  for (std::size_t i = 0; i < speculations.size(); ++i) {
    const Opinions& opinions = opinions_.at(speculations[i].sequence);
    for (std::size_t g = 0; g < guessers_.size(); ++g) {
      std::vector<double> mine = chances(g, opinions[g], speculations[i].guesses_max);
      if (expected_right(mine, mine.size()) <= expected_right(best[i], best[i].size())) continue;
      best[i] = std::move(mine);
      (*chosen)[i] = g;
    }
  }
  return best;
}

// Tokens a second that a step with these guesses is expected to give.
double Speculator::rate(std::span<const std::vector<double>> chances,
                        std::span<const std::size_t> counts) const {
  double tokens = static_cast<double>(chances.size());
  std::size_t rows = chances.size();
  for (std::size_t i = 0; i < chances.size(); ++i) {
    tokens += expected_right(chances[i], counts[i]);
    rows += counts[i];
  }
  const double seconds = times_.seconds(chances.size(), rows);
  return seconds > 0 ? tokens / seconds : 0;
}

// How many tokens of each sequence a drafter that takes time should guess, 0: none.
Speculator::Plan Speculator::plan(const Guesser& guesser, std::span<Speculation> speculations,
                                  double rate_else) const {
  const std::size_t n = speculations.size();
  if (!times_.knows(n, n)) return {};
  std::vector<Draft> drafts;
  std::size_t left = 0;
  for (const Speculation& about : speculations) {
    drafts.push_back(
        {.sequence = about.sequence, .prefix_scope = about.prefix_scope, .tokens = about.tokens});
    left += std::min(about.tokens_left, kEarnBackTokens);
  }
  std::vector<Draft*> asked;
  for (Draft& draft : drafts) asked.push_back(&draft);
  const Drafter::Cost cost =
      guesser.drafter->cost(asked, {times_.seconds(n, n), prompt_token_seconds_});
  const auto sequences = static_cast<double>(n);
  const double later = static_cast<double>(std::max<std::size_t>(left, 1));
  Plan best;
  double best_rate = rate_else * kGainMin;
  double chance = 1;
  double tokens = sequences;
  for (std::size_t k = 1; k <= options_.tokens_max; ++k) {
    chance *= guesser.places.chance(static_cast<std::uint8_t>(k - 1), nullptr);
    tokens += sequences * chance;
    const double seconds = times_.seconds(n, n + n * k) +
                           cost.round_seconds * static_cast<double>(k) +
                           cost.catch_up_seconds * tokens / later;
    if (tokens / seconds <= best_rate) continue;
    best_rate = tokens / seconds;
    // One more token pays while its chance is worth more than the time it takes.
    const double more = cost.round_seconds + times_.seconds(n, n + n) - times_.seconds(n, n);
    best = {k, more * best_rate / sequences};
  }
  if (best.tokens > 0) return {options_.tokens_max, best.chance_min};
  // Not worth it as far as is known. Now and then one token is guessed nevertheless, and judged by
  // the token that comes.
  if (guesser.idle_budget < cost.round_seconds + cost.catch_up_seconds) return {};
  return {1, 0};
}

void Speculator::propose(std::span<Speculation> speculations, std::size_t rows_max) {
  for (Speculation& about : speculations) {
    about.guesses.clear();
    Opinions& opinions = opinions_[about.sequence];
    opinions.resize(guessers_.size());
    for (Opinion& opinion : opinions) opinion.tokens.clear();
    about.guesses_max = std::min(about.guesses_max, options_.tokens_max);
  }
  std::vector<std::size_t> chosen;
  std::vector<std::vector<double>> chances;
  std::vector<std::size_t> counts;
  const auto choose = [&] {
    chances = best_chances(speculations, &chosen);
    counts = choose_guesses(times_, chances, rows_max);
  };
  for (std::size_t g = 0; g < guessers_.size(); ++g) {
    if (guessers_[g].drafter->is_free() || options_.is_forced) {
      ask(g, speculations, options_.tokens_max, 0);
      continue;
    }
    choose();
    const Plan plan = this->plan(guessers_[g], speculations, rate(chances, counts));
    if (plan.tokens == 0) continue;
    guessers_[g].idle_budget = 0;
    ask(g, speculations, plan.tokens, plan.chance_min);
  }
  choose();
  std::size_t rows = rows_max;
  for (std::size_t i = 0; i < speculations.size(); ++i) {
    const Opinion& opinion = opinions_[speculations[i].sequence][chosen[i]];
    const std::size_t count = std::min(options_.is_forced ? chances[i].size() : counts[i], rows);
    rows -= count;
    for (std::size_t k = 0; k < count; ++k) {
      speculations[i].guesses.push_back(opinion.tokens[k].token);
    }
  }
}

void Speculator::learn(std::uint64_t sequence, std::span<const std::int32_t> picked) {
  const auto found = opinions_.find(sequence);
  if (found == opinions_.end()) return;
  for (std::size_t g = 0; g < found->second.size(); ++g) {
    Opinion& opinion = found->second[g];
    // Those that were not checked are judged as well, by the tokens that came.
    const std::size_t known = std::min(opinion.tokens.size(), picked.size());
    for (std::size_t i = 0; i < known; ++i) {
      const bool is_right = opinion.tokens[i].token == picked[i];
      opinion.record.observe(opinion.tokens[i].certainty, is_right);
      guessers_[g].usual.observe(opinion.tokens[i].certainty, is_right);
      guessers_[g].places.observe(static_cast<std::uint8_t>(i), is_right);
      if (!is_right) break;
    }
    opinion.tokens.clear();
  }
}

void Speculator::observe(std::size_t sequences, std::size_t rows, double seconds) {
  times_.observe(sequences, rows, seconds);
  for (Guesser& guesser : guessers_) guesser.idle_budget += kTrialShare * seconds;
}

void Speculator::observe_prompt(std::size_t tokens, double seconds) {
  if (tokens < kPromptTokensMin) return;
  prompt_token_seconds_ = seconds / static_cast<double>(tokens);
}

void Speculator::forget(std::uint64_t sequence) {
  if (opinions_.erase(sequence) == 0) return;
  for (Guesser& guesser : guessers_) guesser.drafter->forget(sequence);
}

}  // namespace paring::engine
