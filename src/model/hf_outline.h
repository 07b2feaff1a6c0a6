// SPDX-License-Identifier: Apache-2.0
// The tensors that a config.json implies, for folders of which nothing else is at hand. By the
// tables of arch/ (hf_mapping.h), so that translate_hf() reads the result as it reads a folder.
// Stateless.
#pragma once

#include "base/result.h"
#include "io/hf_folder.h"

namespace paring::model {

// Fills folder.tensors with names, types and shapes. All are of the type that config.json names
// ("torch_dtype" or "dtype"), F32 without one, as transformers writes them. Unsupported: as
// translate_hf(), a type that is none of F32, F16, BF16, or biases that no table has. Corrupt: a
// hyper-parameter that cannot be. REQUIRES: !folder.has_values, no tensors.
Result<void> imply_hf_tensors(io::HfFolder& folder);

}  // namespace paring::model
