// SPDX-License-Identifier: Apache-2.0
// This engine's side of a comparison: one case, prepared and then timed again and again as
// llama_worker.py does it for the peer. Confined to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "cost/probes.h"
#include "measure/bench.h"
#include "measure/versus/speed_case.h"
#include "model/forward.h"

namespace paring::measure {

// The tokens of a case, the same for both sides: a prompt for each sequence, and those that are
// decoded.
struct CaseTokens {
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::int32_t> tail;
};
CaseTokens case_tokens(const SpeedCase& speed_case, std::size_t vocabulary);

class OwnSide {
 public:
  virtual ~OwnSide() = default;
  // Seconds of what the case times, after a short warm-up.
  virtual Result<double> run() = 0;
  // Beside the limit that the machine's probes give.
  virtual PhaseSpeed speed(const cost::Probes& probes, double seconds) const = 0;

  // Ran once. Exhausted when memory does not suffice. `view`, `executor` and `tokens` must outlive
  // the result.
  static Result<std::unique_ptr<OwnSide>> create(const model::ModelView& view, Executor& executor,
                                                 const BenchOptions& computing,
                                                 const SpeedCase& speed_case,
                                                 const CaseTokens& tokens);
};

}  // namespace paring::measure
