// SPDX-License-Identifier: Apache-2.0
// Resolves what a user types as MODEL to the path of a model file. Stateless.
//
//   PARING_TRY(std::string path, hub::resolve_model("smollm2.gguf"));
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::hub {

// The path of an existing GGUF file. NotFound names the path and GGUF files nearby with a similar
// name. Unsupported: a folder or `hf:owner/name`. The file's content is not looked at.
Result<std::string> resolve_model(std::string_view spec);

}  // namespace paring::hub
