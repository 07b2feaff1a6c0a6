// SPDX-License-Identifier: Apache-2.0
#include "serve/roofline.h"

#include <fmt/format.h>

#include <algorithm>

namespace paring::serve {

namespace {

constexpr double kIdleBelow = 0.1;     // of the time computed: nothing to gain by computing faster
constexpr double kQueueFrom = 0.25;    // of the time computed, with requests that wait
constexpr double kNeitherBelow = 0.3;  // of both limits
constexpr double kBeyond = 1.05;       // of a limit: more than error of measurement

constexpr const char* kNames[] = {
#define PARING_X(name, text) text,
    PARING_BINDINGS(PARING_X)
#undef PARING_X
};

int percent(double share) { return static_cast<int>(100 * share + 0.5); }

Binding roof_of(const RooflineVerdict& verdict) {
  if (!verdict.memory_share || !verdict.compute_share) return Binding::kUnknown;
  if (std::max(*verdict.memory_share, *verdict.compute_share) < kNeitherBelow) {
    return Binding::kNeither;
  }
  return *verdict.memory_share >= *verdict.compute_share ? Binding::kMemory : Binding::kCompute;
}

// What its steps are at, in words.
std::string roof_words(const RooflineVerdict& verdict) {
  switch (roof_of(verdict)) {
    case Binding::kMemory:
      return fmt::format(
          "steps read at {} % of the memory bandwidth and use {} % of the arithmetic{}",
          percent(*verdict.memory_share), percent(*verdict.compute_share),
          *verdict.memory_share > kBeyond
              ? " (above 100 %: part of the weights is read from caches)"
              : "");
    case Binding::kCompute:
      return fmt::format("steps compute at {} % of the peak and use {} % of the memory bandwidth",
                         percent(*verdict.compute_share), percent(*verdict.memory_share));
    case Binding::kNeither:
      return fmt::format("steps reach {} % of the memory bandwidth and {} % of the arithmetic only",
                         percent(*verdict.memory_share), percent(*verdict.compute_share));
    default:
      return "how near steps are to the machine's limits is not known";
  }
}

std::string action_of(Binding binds) {
  switch (binds) {
    case Binding::kIdle:
      return "Nothing has to be faster. What is idle can be saved: a smaller machine, or more "
             "models on "
             "this one.";
    case Binding::kQueue:
      return "Requests wait for a place or for pages of the cache. Allow more sequences at once "
             "(--sequences-max) and more cache (--cache-tokens), or start another replica.";
    case Binding::kMemory:
      return "Read less for each token: weights of fewer bits (paring optimize), more sequences in "
             "a "
             "step, guesses (speculation), or memory with more bandwidth. More cores do not help.";
    case Binding::kCompute:
      return "Compute less: let prefixes and answers come from caches, shorten prompts, take a "
             "smaller "
             "model, or more cores. Weights of fewer bits do not help much.";
    case Binding::kNeither:
      return "Look for other programs on the CPUs, a CPU limit of the container, fewer threads "
             "than "
             "cores (--threads), or a model so small that each step's fixed cost is most of it.";
    case Binding::kUnknown:
      return "Run `paring info` on this machine and start the server again.";
  }
  return "";
}

}  // namespace

const char* binding_name(Binding binding) noexcept {
  return kNames[static_cast<std::size_t>(binding)];
}

double peak_operations_per_second(const cost::Probes& probes) noexcept {
  return std::max({probes.int8_operations_per_second, probes.f32_operations_per_second,
                   probes.bf16_operations_per_second});
}

RooflineVerdict judge_steps(const std::vector<StepMinute>& minutes, double elapsed_seconds,
                            const cost::Probes* probes) {
  StepTotals all;
  for (const StepMinute& minute : minutes) {
    for (const StepTotals& kind : minute.kinds) all += kind;
  }
  RooflineVerdict verdict;
  if (elapsed_seconds > 0) verdict.busy_share = std::min(1.0, all.seconds / elapsed_seconds);
  if (all.seconds > 0) verdict.waited_share = all.waited_seconds / all.seconds;
  if (probes != nullptr && all.seconds > 0) {
    const double peak = peak_operations_per_second(*probes);
    if (probes->read_bytes_per_second > 0) {
      verdict.memory_share = all.bytes / probes->read_bytes_per_second / all.seconds;
    }
    if (peak > 0) verdict.compute_share = all.operations / peak / all.seconds;
  }
  if (all.steps == 0) {
    verdict.binds = Binding::kIdle;
    verdict.sentence = "Idle: nothing was computed in this time.";
  } else if (verdict.waited_share >= kQueueFrom) {
    verdict.binds = Binding::kQueue;
    verdict.sentence =
        fmt::format("Queue: requests waited during {} % of the time that it computed; {}.",
                    percent(verdict.waited_share), roof_words(verdict));
  } else if (verdict.busy_share < kIdleBelow) {
    verdict.binds = Binding::kIdle;
    verdict.sentence = fmt::format("Idle: it computed in {:.1f} % of the time; {}.",
                                   100 * verdict.busy_share, roof_words(verdict));
  } else {
    verdict.binds = roof_of(verdict);
    constexpr const char* kHeads[] = {"Idle", "Queue", "Memory", "Compute", "Neither", "Unknown"};
    verdict.sentence = fmt::format("{}: it computed in {} % of the time; {}.",
                                   kHeads[static_cast<std::size_t>(verdict.binds)],
                                   percent(verdict.busy_share), roof_words(verdict));
  }
  verdict.action = action_of(verdict.binds);
  return verdict;
}

}  // namespace paring::serve
