// SPDX-License-Identifier: Apache-2.0
// How many guessed tokens a step should check. The gain of a step of n sequences with k guesses is
//   (n + expected right guesses) / n * t(n) / t(n + k)
// where t is measured on the steps of this run, and the chance that a guess is right is learned
// from what the model said to earlier ones. Decides about speed only. Confined to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "engine/drafter.h"

namespace paring::engine {

// Seconds of steps by what they compute, with decay.
class StepTimes {
 public:
  // Steps after which a time that was not seen again counts as unknown: what is expected of an
  // unknown width is hopeful, so it is tried again where that could pay.
  static constexpr std::uint64_t kStepsKept = 1024;

  // A step of one token of each of `sequences` and of `rows` - `sequences` guesses.
  void observe(std::size_t sequences, std::size_t rows, double seconds);
  // Expected seconds; between known widths they are interpolated, beyond them a row more is taken
  // to cost little, and no step takes longer than a wider one. 0 when nothing is known of steps of
  // so many sequences.
  double seconds(std::size_t sequences, std::size_t rows) const;
  bool knows(std::size_t sequences, std::size_t rows) const;

 private:
  struct Time {
    double seconds = 0;
    std::uint64_t seen = 0;  // step
  };
  using Widths = std::map<std::size_t, Time>;
  bool is_fresh(const Time& time) const { return steps_ - time.seen < kStepsKept; }
  double interpolated(const Widths& widths, std::size_t rows) const;
  std::map<std::size_t, Widths> times_;  // by sequences, then rows
  std::uint64_t steps_ = 0;
};

// The share of right guesses by certainty: Beta posteriors whose counts decay.
class GuessRecord {
 public:
  // `expected`: the share before anything is known.
  explicit GuessRecord(double expected = 0.5) : expected_(expected) {}
  // `usual`: a record that says what is to be expected instead; may be null.
  double chance(std::uint8_t certainty, const GuessRecord* usual) const;
  void observe(std::uint8_t certainty, bool is_right);

 private:
  struct Count {
    double right = 0;
    double all = 0;
  };
  double expected_;
  std::array<Count, kCertaintiesMax> counts_{};
};

// chances[i]: that guess i of one sequence is right when all before it are. Returns for each
// sequence how many of its guesses one step should check, at most `rows_max` together; all 0 where
// that is expected to be fastest, or where t(n) is not known yet.
std::vector<std::size_t> choose_guesses(const StepTimes& times,
                                        std::span<const std::vector<double>> chances,
                                        std::size_t rows_max);

// Expected gain below which plain steps are taken: what is not modelled costs something.
inline constexpr double kGainMin = 1.03;

}  // namespace paring::engine
