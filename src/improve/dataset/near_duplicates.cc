// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/near_duplicates.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "advise/diagnosis/words.h"

namespace paring::improve {

namespace {

constexpr std::size_t kRows = kBands * kBandRows;

// SplitMix64's last steps.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

std::uint64_t hash_of(std::string_view text, std::uint64_t from) {
  std::uint64_t hash = from ^ 0xCBF29CE484222325U;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return mixed(hash);
}

// The same on every machine and at every time.
const std::array<std::pair<std::uint64_t, std::uint64_t>, kRows>& row_hashes() {
  static const auto hashes = [] {
    std::array<std::pair<std::uint64_t, std::uint64_t>, kRows> made;
    for (std::size_t i = 0; i < kRows; ++i) {
      made[i] = {mixed(2 * i + 1) | 1U, mixed(0x9E3779B97F4A7C15U * (i + 1))};
    }
    return made;
  }();
  return hashes;
}

// Blanks between characters of scripts that write none: those of three bytes from U+2E80 on, but
// for Hangul, which does, and those of four.
std::string with_blanks(std::string_view text) {
  std::string spaced;
  spaced.reserve(text.size() * 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t bytes = c >= 0xF0 ? 4 : (c >= 0xE3 && c <= 0xE9) ? 3 : 1;
    if (bytes == 1 || i + bytes > text.size()) {
      spaced += text[i];
      continue;
    }
    spaced += ' ';
    spaced += text.substr(i, bytes);
    spaced += ' ';
    i += bytes - 1;
  }
  return spaced;
}

}  // namespace

std::vector<std::uint64_t> word_runs(std::string_view text) {
  std::vector<std::string> words = advise::words_of(with_blanks(text));
  // Punctuation alone, or an article: itself.
  if (words.empty()) words.emplace_back(text);
  std::vector<std::uint64_t> runs;
  const std::size_t length = std::min(kRunWords, words.size());
  for (std::size_t i = 0; i + length <= words.size(); ++i) {
    std::uint64_t hash = 0;
    for (std::size_t k = 0; k < length; ++k) hash = hash_of(words[i + k], hash);
    runs.push_back(hash);
  }
  std::ranges::sort(runs);
  runs.erase(std::unique(runs.begin(), runs.end()), runs.end());
  return runs;
}

double jaccard(const std::vector<std::uint64_t>& a, const std::vector<std::uint64_t>& b) {
  std::size_t shared = 0;
  for (std::size_t i = 0, k = 0; i < a.size() && k < b.size();) {
    if (a[i] == b[k]) ++shared;
    const bool moves_a = a[i] <= b[k];
    const bool moves_b = b[k] <= a[i];
    i += moves_a ? 1 : 0;
    k += moves_b ? 1 : 0;
  }
  const std::size_t all = a.size() + b.size() - shared;
  return all == 0 ? 1 : static_cast<double>(shared) / static_cast<double>(all);
}

NearDuplicates::Bands NearDuplicates::bands_of(const std::vector<std::uint64_t>& runs) {
  std::array<std::uint64_t, kRows> least;
  least.fill(std::numeric_limits<std::uint64_t>::max());
  const auto& hashes = row_hashes();
  for (const std::uint64_t run : runs) {
    for (std::size_t i = 0; i < kRows; ++i) {
      least[i] = std::min(least[i], hashes[i].first * run + hashes[i].second);
    }
  }
  Bands bands;
  for (std::size_t b = 0; b < kBands; ++b) {
    std::uint64_t hash = mixed(b + 1);
    for (std::size_t r = 0; r < kBandRows; ++r) hash = mixed(hash ^ least[b * kBandRows + r]);
    bands[b] = hash;
  }
  return bands;
}

std::optional<std::size_t> NearDuplicates::add(std::string_view prompt, std::string_view answer) {
  Kept now{word_runs(prompt), word_runs(answer)};
  const Bands bands = bands_of(now.prompt);
  std::set<std::size_t, std::greater<>> candidates;  // the newest first
  for (const std::uint64_t band : bands) {
    const auto bucket = buckets_.find(band);
    if (bucket == buckets_.end()) continue;
    // A bucket is ascending: what is beyond the bound in it cannot be among the newest of all.
    const std::size_t taken = std::min(bucket->second.size(), kComparisonsMax + 1);
    candidates.insert(bucket->second.end() - static_cast<std::ptrdiff_t>(taken),
                      bucket->second.end());
  }
  std::size_t compared = 0;
  for (const std::size_t place : candidates) {
    if (++compared > kComparisonsMax) {
      ++given_up_;
      break;
    }
    const Kept& other = kept_[place];
    if (jaccard(other.answer, now.answer) >= kNearJaccard &&
        jaccard(other.prompt, now.prompt) >= kNearJaccard) {
      return place;
    }
  }
  for (const std::uint64_t band : bands) buckets_[band].push_back(kept_.size());
  kept_.push_back(std::move(now));
  return std::nullopt;
}

}  // namespace paring::improve
