// SPDX-License-Identifier: Apache-2.0
// What is fuzzed: one function a parser, from bytes to a checked result. libFuzzer drives them
// (entry.cc), and the tests run them over the seeds and their mutations (corpus_test.cc). A target
// aborts, or a sanitizer does, when something is wrong; what the bytes are refused for is no
// matter.
#pragma once

#include <cstddef>
#include <span>

namespace paring::fuzz {

struct Target {
  const char* name;  // of the program <name>_fuzz and of the seeds' folder corpus/<name>
  void (*run)(std::span<const std::byte> input);
  std::size_t share;  // of the inputs of a long run: slow targets get fewer
};

std::span<const Target> targets() noexcept;
// Null when there is none of that name.
const Target* find_target(const char* name) noexcept;

}  // namespace paring::fuzz
