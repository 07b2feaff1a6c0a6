// SPDX-License-Identifier: Apache-2.0
// What a request was and took, in the histograms of all requests. Thread-safe.
#pragma once

#include <cstddef>

#include "engine/batch_engine.h"

namespace paring::engine {

// Of a sample that ended. What is the prompt's is counted with the first one.
void observe_request(const SequenceRequest& request, std::size_t sample,
                     const SequenceResult& result) noexcept;

}  // namespace paring::engine
