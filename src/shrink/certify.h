// SPDX-License-Identifier: Apache-2.0
// The certificate of a result, from what was measured. Pure.
#pragma once

#include <string>

#include "api/certificate.h"
#include "engine/loaded_model.h"
#include "shrink/optimize.h"
#include "shrink/run_texts.h"

namespace paring::shrink {

// `original_sha256` and `weights_sha256`: identities of the original's and the result's weights.
api::Certificate make_certificate(const engine::LoadedModel& original, const RunTexts& texts,
                                  const OptimizeResult& result, const std::string& original_sha256,
                                  const std::string& weights_sha256);

// What the JSON of the certificate of a run with these options takes at most, whatever will be
// measured. Reads the importance matrix, if one is given, for the name of its text.
Result<std::uint64_t> certificate_bytes_max(const engine::LoadedModel& original,
                                            const OptimizeOptions& options);

}  // namespace paring::shrink
