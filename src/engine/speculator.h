// SPDX-License-Identifier: Apache-2.0
// Speculation: before a step it asks drafters what may come next and decides how much of that the
// step should check; after it, it learns who was right and what the step cost. The engine checks
// guesses by picking a token at each of their places, with the numbers that plain decoding would
// draw there, and keeps those that are the same: the text is that of plain decoding, at any
// temperature and whatever the drafters say (ADR 21). Confined to the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/draft_policy.h"
#include "engine/drafter.h"

namespace paring::engine {

struct SpeculatorOptions {
  std::size_t tokens_max = 8;  // guesses for a sequence in one step, 1 to kDraftTokensMax
  // All guesses are checked, whether or not it pays: to measure and to test.
  bool is_forced = false;
};

// A sequence that gets its next token in the coming step.
struct Speculation {
  std::uint64_t sequence = 0;
  std::uint64_t prefix_scope = 0;
  std::span<const std::int32_t> tokens = {};  // as Draft::tokens
  const Sampler* sampler = nullptr;
  std::size_t guesses_max = 0;  // that cache and context have room for
  std::size_t tokens_left = 0;  // until its end at the latest
  std::vector<std::int32_t> guesses = {};
};

class Speculator {
 public:
  // Drafters that are not free are asked where the others do not do as well. Never null.
  Speculator(std::vector<std::unique_ptr<Drafter>> drafters, const SpeculatorOptions& options);

  std::size_t tokens_max() const noexcept { return options_.tokens_max; }
  // Fills in the guesses of all sequences of a step, at most `rows_max` together.
  void propose(std::span<Speculation> speculations, std::size_t rows_max);
  // The tokens that a sequence got since propose() was asked about it, one at least.
  void learn(std::uint64_t sequence, std::span<const std::int32_t> picked);
  // Seconds of a step that propose() was asked about, proposing not counted.
  void observe(std::size_t sequences, std::size_t rows, double seconds);
  // Seconds of a step that computed only prompt tokens.
  void observe_prompt(std::size_t tokens, double seconds);
  void forget(std::uint64_t sequence);

  // What a step of so many sequences without guesses is expected to take; 0: not known yet.
  double plain_seconds(std::size_t sequences) const { return times_.seconds(sequences, sequences); }

 private:
  struct Guesser {
    std::unique_ptr<Drafter> drafter;
    GuessRecord usual;       // by certainty, of all sequences
    GuessRecord places;      // by place in the draft
    double idle_budget = 0;  // seconds that trying it again may cost
  };
  // What one drafter said last about one sequence, and how right it usually is there.
  struct Opinion {
    std::vector<DraftToken> tokens;
    GuessRecord record;
  };
  using Opinions = std::vector<Opinion>;  // by drafter

  void ask(std::size_t guesser, std::span<Speculation> speculations, std::size_t wanted,
           double chance_min);
  std::vector<double> chances(std::size_t guesser, const Opinion& opinion,
                              std::size_t guesses_max) const;
  std::vector<std::vector<double>> best_chances(std::span<Speculation> speculations,
                                                std::vector<std::size_t>* chosen) const;
  struct Plan {
    std::size_t tokens = 0;
    double chance_min = 0;
  };
  Plan plan(const Guesser& guesser, std::span<Speculation> speculations, double rate_else) const;
  double rate(std::span<const std::vector<double>> chances,
              std::span<const std::size_t> counts) const;

  SpeculatorOptions options_;
  std::vector<Guesser> guessers_;  // those that are free first
  std::map<std::uint64_t, Opinions> opinions_;
  StepTimes times_;
  double prompt_token_seconds_ = 0;  // 0: not known yet
};

}  // namespace paring::engine
