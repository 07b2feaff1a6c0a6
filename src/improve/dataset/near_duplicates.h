// SPDX-License-Identifier: Apache-2.0
// NearDuplicates: finds, among many prompts with their answers, those that say nearly the same:
// runs of kRunWords words, compared by MinHash with locality-sensitive hashing (Broder 1997; Indyk
// and Motwani 1998) and then exactly. A pair is a near duplicate when prompts and answers are each
// at least kNearJaccard alike. Deterministic. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace paring::improve {

inline constexpr std::size_t kRunWords = 5;
inline constexpr double kNearJaccard = 0.8;  // shared runs by all runs
// A pair of that likeness is a candidate with a probability of 1 - (1 - 0.8^5)^20 = 0.9996.
inline constexpr std::size_t kBands = 20;
inline constexpr std::size_t kBandRows = 5;
// Of one text with earlier ones: prompts that share a long document are all candidates.
inline constexpr std::size_t kComparisonsMax = 1024;

// Hashes of the runs of a text, ascending, each once. Letters in one case, punctuation aside; a
// character of Chinese, Japanese or Korean counts as a word; a shorter text is one run.
std::vector<std::uint64_t> word_runs(std::string_view text);
// Shared elements by all elements. REQUIRES: ascending, each once. 1 for two empty ones.
double jaccard(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b);

class NearDuplicates {
 public:
  // The place (0, 1, ... in the order of calls that returned nothing) of an earlier pair that this
  // one is nearly equal to, the newest; else nothing, and the pair is kept.
  std::optional<std::size_t> add(std::string_view prompt, std::string_view answer);
  // How many texts had more candidates than were compared.
  std::size_t given_up() const { return given_up_; }

 private:
  struct Kept {
    std::vector<std::uint64_t> prompt;
    std::vector<std::uint64_t> answer;
  };
  using Bands = std::array<std::uint64_t, kBands>;
  static Bands bands_of(const std::vector<std::uint64_t>& runs);

  std::vector<Kept> kept_;
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> buckets_;
  std::size_t given_up_ = 0;
};

}  // namespace paring::improve
