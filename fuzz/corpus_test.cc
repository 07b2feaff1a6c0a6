// SPDX-License-Identifier: Apache-2.0
// Every fuzz target over its seeds and over a fixed sequence of mutations of them: what libFuzzer
// does for minutes in `./test long`, a little of it in each test run, with sanitizers when they are
// built in.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "targets.h"

namespace paring::fuzz {
namespace {

constexpr std::size_t kMutations = 2000;  // of all seeds of a target together
constexpr std::size_t kInputBytesMax = std::size_t{1} << 16;

using Bytes = std::vector<std::byte>;

// splitmix64: the same mutations on every machine and in every run.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }

 private:
  std::uint64_t state_;
};

std::vector<Bytes> seeds_of(const char* name) {
  const auto folder = std::filesystem::path(PARING_SOURCE_DIR) / "fuzz" / "corpus" / name;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    seeds.emplace_back(first, first + text.size());
  }
  return seeds;
}

// Values that length and count fields are most often wrong by.
constexpr std::uint64_t kEdges[] = {0,           1,           0x7f,        0xff,
                                    0x7fff,      0xffff,      0x7fffffff,  0xffffffff,
                                    1ULL << 32U, 1ULL << 60U, 1ULL << 63U, ~0ULL};

void overwrite(Bytes& input, std::size_t at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width && at + i < input.size(); ++i) {
    input[at + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

Bytes mutated(const std::vector<Bytes>& seeds, Numbers& numbers) {
  Bytes input = seeds[numbers.below(seeds.size())];
  const std::size_t changes = 1 + numbers.below(4);
  for (std::size_t i = 0; i < changes; ++i) {
    const std::size_t at = numbers.below(input.size() + 1);
    switch (numbers.below(6)) {
      case 0:  // one bit
        if (at < input.size()) input[at] ^= static_cast<std::byte>(1U << numbers.below(8));
        break;
      case 1:  // one byte
        overwrite(input, at, numbers.next(), 1);
        break;
      case 2:  // a field of 1, 2, 4 or 8 bytes
        overwrite(input, at, kEdges[numbers.below(std::size(kEdges))],
                  std::size_t{1} << numbers.below(4));
        break;
      case 3:  // cut
        input.resize(at);
        break;
      case 4: {  // a piece left out
        const std::size_t bytes = std::min(numbers.below(16), input.size() - at);
        input.erase(input.begin() + static_cast<std::ptrdiff_t>(at),
                    input.begin() + static_cast<std::ptrdiff_t>(at + bytes));
        break;
      }
      default: {  // a piece of another seed put in
        const Bytes& other = seeds[numbers.below(seeds.size())];
        const std::size_t from = numbers.below(other.size() + 1);
        const std::size_t bytes = std::min(numbers.below(64), other.size() - from);
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), begin,
                     begin + static_cast<std::ptrdiff_t>(bytes));
      }
    }
  }
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
  return input;
}

class Corpus : public testing::TestWithParam<Target> {};

TEST_P(Corpus, SeedsAndTheirMutationsBreakNothing) {
  const std::vector<Bytes> seeds = seeds_of(GetParam().name);
  ASSERT_FALSE(seeds.empty());
  GetParam().run({});
  for (const Bytes& seed : seeds) GetParam().run(seed);
  Numbers numbers(1);
  for (std::size_t i = 0; i < kMutations; ++i) {
    // A copy of the exact size, so that a sanitizer sees a read behind the end.
    const Bytes mutation = mutated(seeds, numbers);
    GetParam().run(Bytes(mutation));
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(targets().begin(), targets().end()),
                         [](const testing::TestParamInfo<Target>& target) {
                           return std::string(target.param.name);
                         });

}  // namespace
}  // namespace paring::fuzz
