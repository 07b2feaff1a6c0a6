// SPDX-License-Identifier: Apache-2.0
// What a row of traffic keeps of a prompt instead of its text, so that advice can tell how often
// requests repeat each other and how prompts begin alike (store::TrafficPromptMarks). Pure.
#pragma once

#include <string>

#include "base/sip_hash.h"
#include "serve/answering.h"
#include "store/traffic_rows.h"

namespace paring::serve {

// Of the first prompt; equal keys mean equal prompts, settings and tenants, whatever computes them.
store::TrafficPromptMarks marks_of(const SipKey& key, const std::string& tenant,
                                   const AnswerPlan& plan);

}  // namespace paring::serve
