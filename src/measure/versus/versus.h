// SPDX-License-Identifier: Apache-2.0
// Speed of this engine beside another one's, measured in one run that alternates A B B A ..., so
// that whatever happens to the machine happens to both. Each side measures while the other sleeps.
// Figures are medians of the pairs' ratios with an interval (MedianInterval). The peer runs at the
// fastest flags that a short search finds for each case.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "cost/probes.h"
#include "engine/loaded_model.h"
#include "measure/bench.h"
#include "measure/statistics.h"
#include "measure/versus/agreement.h"
#include "measure/versus/peer.h"

namespace paring::measure {

struct VersusOptions {
  std::vector<SpeedCase> cases = default_cases();
  std::size_t pairs = 7;
  double search_seconds = 60;  // for the peer's fastest flags, of each case; the first flags are
                               // always tried
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
};

// One turn of one side. Short runs are repeated until they take kSliceSeconds together.
struct Slice {
  double seconds = 0;  // of one run, the mean
  // Share of the machine's CPU time that neither side used in the slice, nor the idle loop.
  double foreign_share = 0;
};
inline constexpr double kSliceSeconds = 0.5;
inline constexpr std::size_t kSliceRunsMax = 16;

struct Pair {
  Slice ours;
  Slice theirs;
  // A pair with more work of others than this is repeated, as often as there are pairs in all.
  bool is_quiet() const {
    return ours.foreign_share <= kForeignMax && theirs.foreign_share <= kForeignMax;
  }
  static constexpr double kForeignMax = 0.1;
};

struct VersusRow {
  SpeedCase speed_case;
  PhaseSpeed ours;                    // median of the pairs that count
  double peer_tokens_per_second = 0;  // the same
  MedianInterval ratio;               // ours / theirs
  std::vector<double> ratios;         // of the pairs that count, as measured
  std::size_t pairs_measured = 0;
  bool is_busy = false;  // too few pairs found the machine quiet: all of them count
  PeerFlags flags;       // fastest ones found
  std::size_t flags_tried = 0;
  std::size_t flags_known = 0;        // would have been tried with more time
  std::uint64_t peak_bytes = 0;       // memory of this process while the case ran, 0: not known
  std::uint64_t peer_peak_bytes = 0;  // of the peer
  // Most CPU time, in CPUs, that a side took while the other one measured.
  double own_idle_cpus = 0;
  double peer_idle_cpus = 0;
};

struct VersusResult {
  std::vector<VersusRow> rows;
  std::vector<Agreement> agreements;  // one for each way of computing that a row uses
  std::vector<std::string> left_out;  // cases longer than the model's context
};

// The pairs that count: those that were quiet when there are `wanted` of them, else all. Pure.
std::vector<Pair> pairs_that_count(const std::vector<Pair>& measured, std::size_t wanted);

// Flags to try after `start`, in the order of what they promise. Pure.
std::vector<std::function<void(PeerFlags&)>> flag_changes(const SpeedCase& speed_case,
                                                          std::size_t threads,
                                                          std::size_t processors);

// Errors of the peer, of check_agreement(), Exhausted; InvalidArgument when no case fits the
// model's context.
Result<VersusResult> compare_speed(const engine::LoadedModel& model, Executor& executor,
                                   const cost::Probes& probes, Peer& peer,
                                   const VersusOptions& options, ProgressSink& progress);

}  // namespace paring::measure
