// SPDX-License-Identifier: Apache-2.0
// Every fuzz target over its seeds and over a fixed sequence of mutations of them, with sanitizers
// when they are built in: a few thousand in each test run, PARING_FUZZ_INPUTS of them over all
// targets in `./test long`, where what libFuzzer found before (PARING_FUZZ_CORPUS) is among the
// seeds. An input that ends the program is left as finding-<target> in the working directory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "targets.h"

namespace paring::fuzz {
namespace {

constexpr std::size_t kMutations = 2000;  // of all seeds of a target together, by default
constexpr double kInputSecondsMax = 20;   // sanitizers and busy machines included
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

void add_seeds(const std::filesystem::path& folder, std::vector<Bytes>& seeds) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    seeds.emplace_back(first, first + text.size());
  }
}

std::vector<Bytes> seeds_of(const char* name) {
  std::vector<Bytes> seeds;
  add_seeds(std::filesystem::path(PARING_SOURCE_DIR) / "fuzz" / "corpus" / name, seeds);
  if (const char* found = std::getenv("PARING_FUZZ_CORPUS")) {
    const auto folder = std::filesystem::path(found) / (std::string(name) + "_fuzz");
    if (std::filesystem::is_directory(folder)) add_seeds(folder, seeds);
  }
  return seeds;
}

std::size_t inputs_of(const Target& target) {
  const char* total = std::getenv("PARING_FUZZ_INPUTS");
  if (total == nullptr) return kMutations;
  std::size_t shares = 0;
  for (const Target& each : targets()) shares += each.share;
  std::size_t inputs = 0;
  std::from_chars(total, total + std::strlen(total), inputs);
  return inputs * target.share / shares + 1;
}

// The input that is being run, for a signal handler.
const std::byte* running = nullptr;
std::size_t running_bytes = 0;
const char* running_target = "";

void leave_finding(int number) {
  char name[64] = "finding-";
  std::size_t at = 8;
  for (const char* c = running_target; *c != '\0' && at + 1 < sizeof(name); ++c) name[at++] = *c;
  const int file = ::open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file >= 0) [[maybe_unused]]
    const auto written = ::write(file, running, running_bytes);
  std::signal(number, SIG_DFL);
  ::raise(number);
}

void run_input(const Target& target, const Bytes& input) {
  running = input.data();
  running_bytes = input.size();
  const auto begin = std::chrono::steady_clock::now();
  target.run(input);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  if (taken.count() <= kInputSecondsMax) return;
  std::fprintf(stderr, "an input took %.1f s\n", taken.count());
  std::abort();
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
  running_target = GetParam().name;
  for (const int number : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) {
    std::signal(number, leave_finding);
  }
  run_input(GetParam(), {});
  for (const Bytes& seed : seeds) run_input(GetParam(), seed);
  Numbers numbers(1);
  const std::size_t count = inputs_of(GetParam());
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    // A copy of the exact size, so that a sanitizer sees a read behind the end.
    const Bytes mutation = mutated(seeds, numbers);
    run_input(GetParam(), Bytes(mutation));
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  std::printf("  %s: %zu inputs of %zu seeds in %.0f s\n", GetParam().name, count, seeds.size(),
              taken.count());
}

INSTANTIATE_TEST_SUITE_P(Targets, Corpus, testing::ValuesIn(targets().begin(), targets().end()),
                         [](const testing::TestParamInfo<Target>& target) {
                           return std::string(target.param.name);
                         });

}  // namespace
}  // namespace paring::fuzz
