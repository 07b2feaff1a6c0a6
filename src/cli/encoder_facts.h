// SPDX-License-Identifier: Apache-2.0
// What `paring inspect` says of an encoder in the place of a decoder's head and cache.
#pragma once

#include "cli/inspection.h"
#include "cli/table.h"

namespace paring::cli {

// REQUIRES (of both): found.spec is that of an encoder.
Json encoder_json(const Inspection& found);
void add_encoder_facts(const Inspection& found, Facts& facts);

}  // namespace paring::cli
