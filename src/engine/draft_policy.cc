// SPDX-License-Identifier: Apache-2.0
#include "engine/draft_policy.h"

#include <algorithm>
#include <iterator>

namespace paring::engine {

namespace {

// An unknown width is expected to cost this share of the narrowest step more for each row.
constexpr double kHopefulSlope = 0.04;
// Times follow short steps at once and long ones, which may be a busy moment, slowly; one step
// counts at most as twice what was expected.
constexpr double kFollowShorter = 0.5;
constexpr double kFollowLonger = 0.15;
// A record remembers about 1 / (1 - decay) guesses.
constexpr double kRecordDecay = 0.98;
// What is usual counts as so many guesses.
constexpr double kPriorGuesses = 4;

}  // namespace

void StepTimes::observe(std::size_t sequences, std::size_t rows, double seconds) {
  ++steps_;
  Time& time = times_[sequences][rows];
  if (time.seen == 0 || !is_fresh(time)) {
    time.seconds = seconds;
  } else {
    const double follow = seconds < time.seconds ? kFollowShorter : kFollowLonger;
    time.seconds += follow * (std::min(seconds, 2 * time.seconds) - time.seconds);
  }
  time.seen = steps_;
}

bool StepTimes::knows(std::size_t sequences, std::size_t rows) const {
  const auto widths = times_.find(sequences);
  if (widths == times_.end()) return false;
  const auto time = widths->second.find(rows);
  return time != widths->second.end() && is_fresh(time->second);
}

double StepTimes::seconds(std::size_t sequences, std::size_t rows) const {
  const auto widths = times_.find(sequences);
  if (widths == times_.end()) return 0;
  const double expected = interpolated(widths->second, rows);
  // A step takes no longer than a wider one: of what is measured the shorter is right, because busy
  // moments lengthen steps and nothing shortens them.
  double least = expected;
  for (auto at = widths->second.lower_bound(rows); at != widths->second.end(); ++at) {
    if (is_fresh(at->second)) least = std::min(least, at->second.seconds);
  }
  return least;
}

// From the nearest fresh times on both sides.
double StepTimes::interpolated(const Widths& widths, std::size_t rows) const {
  auto high = widths.lower_bound(rows);
  auto low = high;
  while (high != widths.end() && !is_fresh(high->second)) ++high;
  if (high != widths.end() && high->first == rows) return high->second.seconds;
  while (low != widths.begin() && !is_fresh(std::prev(low)->second)) --low;
  if (low == widths.begin()) return high == widths.end() ? 0 : high->second.seconds;
  --low;
  const auto distance = static_cast<double>(rows - low->first);
  if (high == widths.end()) {
    return low->second.seconds + kHopefulSlope * widths.begin()->second.seconds * distance;
  }
  const double share = distance / static_cast<double>(high->first - low->first);
  return low->second.seconds + share * (high->second.seconds - low->second.seconds);
}

double GuessRecord::chance(std::uint8_t certainty, const GuessRecord* usual) const {
  const double prior = usual == nullptr ? expected_ : usual->chance(certainty, nullptr);
  const Count& count = counts_[certainty];
  return (count.right + kPriorGuesses * prior) / (count.all + kPriorGuesses);
}

void GuessRecord::observe(std::uint8_t certainty, bool is_right) {
  Count& count = counts_[certainty];
  count.right = kRecordDecay * count.right + (is_right ? 1 : 0);
  count.all = kRecordDecay * count.all + 1;
}

std::vector<std::size_t> choose_guesses(const StepTimes& times,
                                        std::span<const std::vector<double>> chances,
                                        std::size_t rows_max) {
  std::vector<std::size_t> counts(chances.size(), 0);
  const std::size_t sequences = chances.size();
  if (!times.knows(sequences, sequences)) return counts;
  // A guess is worth the chance that it and all before it are right, which falls along a sequence:
  // in order of worth the first ones of each sequence come first.
  struct Worth {
    double chance;
    std::size_t sequence;
  };
  std::vector<Worth> worths;
  for (std::size_t s = 0; s < sequences; ++s) {
    double chance = 1;
    for (const double next : chances[s]) worths.push_back({chance *= next, s});
  }
  std::stable_sort(worths.begin(), worths.end(),
                   [](const Worth& a, const Worth& b) { return a.chance > b.chance; });
  worths.resize(std::min(worths.size(), rows_max));
  const auto n = static_cast<double>(sequences);
  const double plain = n / times.seconds(sequences, sequences);
  double best = plain * kGainMin;
  double expected = n;
  std::size_t best_count = 0;
  for (std::size_t k = 0; k < worths.size(); ++k) {
    expected += worths[k].chance;
    const double rate = expected / times.seconds(sequences, sequences + k + 1);
    if (rate <= best) continue;
    best = rate;
    best_count = k + 1;
  }
  for (std::size_t k = 0; k < best_count; ++k) ++counts[worths[k].sequence];
  return counts;
}

}  // namespace paring::engine
