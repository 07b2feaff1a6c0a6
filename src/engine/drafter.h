// SPDX-License-Identifier: Apache-2.0
// Drafter: guesses the next tokens of a sequence, which the model then checks in one step
// (speculator.h). Guesses decide how fast a text comes, never what it says, so a drafter may be
// wrong, late or silent. Confined to the engine's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/sampler.h"

namespace paring::engine {

// How sure a drafter is of a token, on a scale of its own: what a step of it is worth is learned
// from what the model says (draft_policy.h).
inline constexpr std::size_t kCertaintiesMax = 16;

// Most tokens that are guessed at once for one sequence.
inline constexpr std::size_t kDraftTokensMax = 16;

struct DraftToken {
  std::int32_t token = 0;
  std::uint8_t certainty = 0;  // < kCertaintiesMax, the better the higher
};

// What a drafter is asked about one sequence, and its answer.
struct Draft {
  std::uint64_t sequence = 0;      // one number for all calls about it, never given twice
  std::uint64_t prefix_scope = 0;  // what is read of it may be used again within a scope only
  // Prompt and answer so far, not empty; from call to call tokens are only added.
  std::span<const std::int32_t> tokens = {};
  // How the model's tokens will be picked: the same numbers will be drawn for the same positions.
  const Sampler* sampler = nullptr;
  std::size_t wanted = 0;  // tokens at most
  // A drafter to which a token costs time stops where the chance that all so far are right, the
  // product of chances[certainty], falls below chance_min. Empty: it never does.
  std::span<const double> chances = {};
  double chance_min = 0;
  std::vector<DraftToken> proposed = {};  // empty when asked; <= wanted when answered
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  virtual const char* name() const noexcept = 0;
  virtual void propose(std::span<Draft* const> drafts) = 0;
  // The sequence has ended.
  virtual void forget(std::uint64_t sequence) = 0;
  // What propose() is expected to take; zeros where that is next to nothing, or not known at all.
  struct Cost {
    double round_seconds = 0;     // for one more token of each of the drafts
    double catch_up_seconds = 0;  // once, to read what these sequences have and it has not read
  };
  // What the model itself takes, 0: not known yet. A first estimate for one that is smaller.
  struct Speeds {
    double step_seconds = 0;          // one token of each of the drafts
    double prompt_token_seconds = 0;  // one of many
  };
  virtual Cost cost(std::span<Draft* const> drafts, const Speeds& model) const = 0;
  // Whether propose() takes next to no time, ever: it is then asked at every step.
  virtual bool is_free() const noexcept = 0;
};

}  // namespace paring::engine
