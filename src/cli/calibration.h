// SPDX-License-Identifier: Apache-2.0
// Statistics over calibration text for the commands that quantize.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "cli/context.h"
#include "shrink/statistics.h"

namespace paring::cli {

inline constexpr std::size_t kCalibrationContext = 512;  // tokens of a window

// `text_path` empty: the built-in text. `windows_max`: at most so many windows, spread evenly; 0:
// all.
Result<shrink::Statistics> collect_calibration(Context& context, const engine::LoadedModel& model,
                                               const std::string& text_path,
                                               std::size_t windows_max = 0);

}  // namespace paring::cli
