// SPDX-License-Identifier: Apache-2.0
// PromptBudget: how many prompt tokens a step may compute beside sequences that generate, so that
// those wait at most `ratio` times as long for their next token as without any prompt. Learned from
// the steps' times; what it says changes when tokens come, never which. Confined to one thread.
#pragma once

#include <array>
#include <cstddef>

namespace paring::engine {

// Fewest prompt tokens of a step, so that a prompt always goes on.
inline constexpr std::size_t kPromptTokensMin = 16;

class PromptBudget {
 public:
  PromptBudget(std::size_t tokens_max, double ratio) : tokens_max_(tokens_max), ratio_(ratio) {}

  // Beside `generating` sequences. tokens_max until enough is known.
  std::size_t tokens(std::size_t generating) const;
  // A step took `seconds` for `generating` sequences' tokens and `prompt_tokens`.
  void observe(std::size_t generating, std::size_t prompt_tokens, double seconds);

 private:
  // Of steps without prompts, by the power of two of their sequences; 0: not seen yet.
  static constexpr std::size_t kClasses = 12;
  static std::size_t class_of(std::size_t generating) noexcept;
  double plain_seconds(std::size_t generating) const;

  std::size_t tokens_max_;
  double ratio_;
  std::array<double, kClasses> plain_{};
  double seconds_a_token_ = 0;  // of prompts, lately: it grows with what is in front of them
};

}  // namespace paring::engine
