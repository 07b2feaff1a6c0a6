// SPDX-License-Identifier: Apache-2.0
// What keeps a model from being faster, read off its steps and the limits of the machine, and what
// to do about it. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cost/probes.h"
#include "serve/step_history.h"

namespace paring::serve {

// enumerator, name in APIs
#define PARING_BINDINGS(X)                                                 \
  X(kIdle, "idle")       /* nothing to compute most of the time */         \
  X(kQueue, "queue")     /* requests waited though others were computed */ \
  X(kMemory, "memory")   /* reading weights and cache */                   \
  X(kCompute, "compute") /* arithmetic */                                  \
  X(kNeither, "neither") /* steps are far from both limits */              \
  X(kUnknown, "unknown") /* the limits of the machine were not measured */

enum class Binding : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_BINDINGS(PARING_X)
#undef PARING_X
};
const char* binding_name(Binding binding) noexcept;

struct RooflineVerdict {
  Binding binds = Binding::kUnknown;
  double busy_share = 0;    // of the time, in which it was stepped
  double waited_share = 0;  // of that time, while requests waited
  // Of the machine's limits, that its steps reached; absent: not measured, or no steps.
  std::optional<double> memory_share;
  std::optional<double> compute_share;
  std::string sentence;  // what binds
  std::string action;    // what to do
};

// The fastest arithmetic: which one a step used is not told apart.
double peak_operations_per_second(const cost::Probes& probes) noexcept;

// Of all steps of `minutes`, which lie in `elapsed_seconds`; `probes` may be null.
RooflineVerdict judge_steps(const std::vector<StepMinute>& minutes, double elapsed_seconds,
                            const cost::Probes* probes);

}  // namespace paring::serve
