// SPDX-License-Identifier: Apache-2.0
// Advice as JSON: what `paring advise --json` prints and GET /v1/advice answers. Pure.
#pragma once

#include <string>

#include "advise/advisor.h"

namespace paring::advise {

// One object; advice is numbered from 1, recommended ones first.
std::string advice_json(const TrafficSample& sample, const AdviceReport& report);

}  // namespace paring::advise
