// SPDX-License-Identifier: Apache-2.0
#include "shrink/shortfall.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"

namespace paring::shrink {

std::vector<std::string> shortfall(const SearchTime& time) {
  std::vector<std::string> lines;
  if (time.statistics_windows < time.statistics_windows_wanted) {
    lines.push_back(
        fmt::format("activations were collected over {} of {} windows of calibration "
                    "text",
                    time.statistics_windows, time.statistics_windows_wanted));
  }
  if (time.encodings_measured < time.encodings_wanted) {
    lines.push_back(
        fmt::format("losses of types: {} of {} tensors measured, the others taken from "
                    "the nearest measured layer",
                    time.encodings_measured, time.encodings_wanted));
  }
  if (time.probes_measured < time.probes_wanted) {
    lines.push_back(
        fmt::format("sensitivity: {} of {} tensors measured, the others interpolated "
                    "from the nearest measured layers",
                    time.probes_measured, time.probes_wanted));
  }
  if (time.refinements_measured < time.refinements_wanted) {
    lines.push_back(fmt::format("refinement: {} of {} kinds of tensors measured together",
                                time.refinements_measured, time.refinements_wanted));
  }
  if (time.candidate_windows < time.candidate_windows_wanted) {
    lines.push_back(fmt::format("candidates were compared on {} of {} windows of search text",
                                time.candidate_windows, time.candidate_windows_wanted));
  }
  if (time.holdout_windows < time.holdout_windows_wanted) {
    lines.push_back(
        fmt::format("the result was judged on {} of {} windows of held-out text: its "
                    "figures have wider intervals",
                    time.holdout_windows, time.holdout_windows_wanted));
  }
  if (time.are_speeds_brief) lines.emplace_back("speeds were timed more briefly than usual");
  return lines;
}

std::string overrun(const SearchTime& time, double run_seconds) {
  constexpr double kTolerance = 1.1;
  if (run_seconds <= kTolerance * time.limit_seconds) return {};
  return fmt::format(
      "what a checked result needs took longer on this machine than estimated: {}, {} were given",
      format_duration(run_seconds), format_duration(time.limit_seconds));
}

std::string longer_limit(double limit_seconds) {
  constexpr double kMinutes[] = {1, 3, 10, 30, 60};
  for (const double minutes : kMinutes) {
    if (minutes * 60 >= 2 * limit_seconds) return fmt::format("{:.0f}min", minutes);
  }
  return fmt::format("{:.0f}h", std::ceil(2 * limit_seconds / 3600));
}

}  // namespace paring::shrink
