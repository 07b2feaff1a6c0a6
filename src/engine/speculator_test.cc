// SPDX-License-Identifier: Apache-2.0
// What guessing gains and costs, on a machine whose steps take what a formula says.
#include "engine/speculator.h"

#include <gtest/gtest.h>

#include <functional>

namespace paring::engine {
namespace {

// A drafter that is right or wrong as it is told, by the position of the guess; the true text is
// 0, 0, 0, ...
class Oracle : public Drafter {
 public:
  Oracle(std::function<bool(std::size_t)> is_right, Cost cost, double* clock)
      : is_right_(std::move(is_right)), cost_(cost), clock_(clock) {}
  const char* name() const noexcept override { return "oracle"; }
  void propose(std::span<Draft* const> drafts) override {
    *clock_ += std::exchange(cost_.catch_up_seconds, 0);
    for (Draft* draft : drafts) {
      double chance = 1;
      while (draft->proposed.size() < draft->wanted && chance >= draft->chance_min) {
        *clock_ += cost_.round_seconds;
        const bool is_right = is_right_(draft->tokens.size() + draft->proposed.size());
        draft->proposed.push_back({is_right ? 0 : 1, 3});
        chance *= draft->chances[3];
      }
    }
  }
  void forget(std::uint64_t) override {}
  Cost cost(std::span<Draft* const>, const Speeds&) const override { return cost_; }
  bool is_free() const noexcept override { return cost_.round_seconds == 0; }

 private:
  std::function<bool(std::size_t)> is_right_;
  Cost cost_;
  double* clock_;
};

// How many times as fast as plain decoding `count` tokens come when a step takes 1 and `slope` more
// for each guess.
double gain(std::function<bool(std::size_t)> is_right, Drafter::Cost cost, double slope,
            std::size_t count = 2000) {
  double clock = 0;
  std::vector<std::unique_ptr<Drafter>> drafters;
  drafters.push_back(std::make_unique<Oracle>(std::move(is_right), cost, &clock));
  Speculator speculator(std::move(drafters), {.tokens_max = 8});
  std::vector<std::int32_t> tokens = {0};
  while (tokens.size() <= count) {
    Speculation about{.sequence = 1,
                      .tokens = tokens,
                      .guesses_max = 8,
                      .tokens_left = count + 1 - tokens.size()};
    speculator.propose({&about, 1}, 64);
    std::size_t right = 0;
    while (right < about.guesses.size() && about.guesses[right] == 0) ++right;
    const double seconds = 1 + slope * static_cast<double>(about.guesses.size());
    clock += seconds;
    speculator.observe(1, 1 + about.guesses.size(), seconds);
    const std::vector<std::int32_t> picked(right + 1, 0);
    speculator.learn(1, picked);
    tokens.insert(tokens.end(), picked.begin(), picked.end());
  }
  speculator.forget(1);
  return static_cast<double>(tokens.size() - 1) / clock;
}

bool never(std::size_t) { return false; }
bool always(std::size_t) { return true; }
// Four of five tokens, in no order.
bool mostly(std::size_t position) { return position * 2654435761U % 1000 < 800; }

TEST(Speculator, WrongGuessesCostLittle) {
  EXPECT_GT(gain(never, {}, 0.05), 0.97);
  EXPECT_GT(gain(never, {}, 0.5), 0.97);
  EXPECT_GT(gain(never, {.round_seconds = 0.3}, 0.05), 0.97);
  EXPECT_GT(gain(never, {.round_seconds = 0.3, .catch_up_seconds = 15}, 0.05), 0.97);
}

TEST(Speculator, RightGuessesAreTakenAsFarAsTheyPay) {
  EXPECT_GT(gain(always, {}, 0.05), 5.5) << "9 tokens in the time of 1.4";
  EXPECT_GT(gain(mostly, {}, 0.1), 2.1);
  EXPECT_GT(gain(always, {.round_seconds = 0.3}, 0.05), 2.1) << "9 in 1.4 + 2.4";
  EXPECT_GT(gain(mostly, {.round_seconds = 0.2, .catch_up_seconds = 10}, 0.05), 1.4);
}

TEST(Speculator, WhereRowsCostAsMuchAsStepsNothingIsLost) {
  EXPECT_GT(gain(mostly, {}, 1.0), 0.97);
  EXPECT_GT(gain(mostly, {.round_seconds = 0.9}, 0.3), 0.97);
}

// A text that begins with a copy and goes on freely, and one that does it the other way round.
TEST(Speculator, FollowsTheText) {
  const auto first_half = [](std::size_t position) { return position < 1000; };
  const auto second_half = [](std::size_t position) { return position >= 1000; };
  for (const double round : {0.0, 0.2}) {
    const Drafter::Cost cost{.round_seconds = round};
    EXPECT_GT(gain(first_half, cost, 0.05), 1.35) << round;
    EXPECT_GT(gain(second_half, cost, 0.05), 1.35) << round;
  }
}

}  // namespace
}  // namespace paring::engine
