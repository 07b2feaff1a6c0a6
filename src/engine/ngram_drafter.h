// SPDX-License-Identifier: Apache-2.0
// Guesses that a text goes on as it did the last time (prompt lookup, Saxena 2023; LLMA,
// arXiv:2304.04487): finds the longest end of the sequence that stands earlier in it, prompt or
// answer, and proposes what followed there. Among equally long matches the one goes first that
// continues nearest behind the place that was copied from last, as an edited copy does after a
// change, then the most recent one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/drafter.h"

namespace paring::engine {

// The index of one sequence: for every pair of tokens a chain of the places where it ends. Memory
// grows with the sequence, by about 60 bytes a token.
class NgramIndex {
 public:
  struct Match {
    std::size_t next;    // position that follows the earlier occurrence
    std::size_t length;  // tokens that agree, at most kMatchTokensMax
    bool is_near;        // continues where the last copy was
  };
  // Positions that are compared for one match at most, the most recent ones.
  static constexpr std::size_t kPlacesMax = 512;
  static constexpr std::size_t kMatchTokensMax = 64;
  // How far behind the last copy a single token is enough to go on.
  static constexpr std::size_t kNearTokens = 24;

  // Adds what `tokens` has more than at the last call. REQUIRES: it begins with what it had then.
  void extend(std::span<const std::int32_t> tokens);
  // The best match of the end of `tokens`, which extend() has seen.
  std::optional<Match> find(std::span<const std::int32_t> tokens) const;
  // Says where the sequence was last seen to copy from: a match near it is more likely.
  void align(std::size_t next) { aligned_ = next; }

 private:
  static constexpr std::uint32_t kNone = 0xffffffffU;
  std::optional<Match> find_near(std::span<const std::int32_t> tokens) const;
  std::unordered_map<std::uint64_t, std::uint32_t> last_;  // pair of tokens -> where it ends last
  std::vector<std::uint32_t> previous_;  // by end position: the one before with the same pair
  std::size_t aligned_ = 0;              // 0: nowhere
};

class NgramDrafter : public Drafter {
 public:
  const char* name() const noexcept override { return "ngram"; }
  void propose(std::span<Draft* const> drafts) override;
  void forget(std::uint64_t sequence) override { indexes_.erase(sequence); }
  Cost cost(std::span<Draft* const>, const Speeds&) const override { return {}; }
  bool is_free() const noexcept override { return true; }

 private:
  void propose(Draft& draft);
  std::map<std::uint64_t, NgramIndex> indexes_;
};

}  // namespace paring::engine
