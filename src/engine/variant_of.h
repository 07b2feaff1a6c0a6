// SPDX-License-Identifier: Apache-2.0
// The variant of a loaded model without adapters. Reads every weight once, at the speed of SHA-256.
#pragma once

#include <string>

#include "api/variant.h"
#include "engine/loaded_model.h"

namespace paring::engine {

// `numerics` ("served", "exact", "fast"), `kv_type` ("q8", ...) and `isa_family` as in
// api::Variant.
api::Variant variant_of(const LoadedModel& loaded, std::string numerics, std::string kv_type,
                        std::string isa_family);

}  // namespace paring::engine
