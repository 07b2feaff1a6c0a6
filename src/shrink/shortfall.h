// SPDX-License-Identifier: Apache-2.0
// What a search left out for want of time, in sentences for whoever reads the result. Pure.
#pragma once

#include <string>
#include <vector>

#include "shrink/optimize.h"

namespace paring::shrink {

// One sentence a step that was cut short, without a full stop; empty when nothing was.
std::vector<std::string> shortfall(const SearchTime& time);
// Why the run took longer than it was given; empty when it did not (by more than a tenth).
std::string overrun(const SearchTime& time, double run_seconds);
// A time limit that would do more, as it can be typed: "10min".
std::string longer_limit(double limit_seconds);

}  // namespace paring::shrink
