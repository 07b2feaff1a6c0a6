// SPDX-License-Identifier: Apache-2.0
// Resolves what a user types as MODEL to the path of a model file. Stateless.
//
//   PARING_TRY(std::string path, hub::resolve_model("smollm2.gguf", progress));
#pragma once

#include <string>
#include <string_view>

#include "base/progress.h"
#include "base/result.h"

namespace paring::hub {

// The path of an existing file, or of a folder with config.json and safetensors. NotFound names the
// path and GGUF files nearby with a similar name. Unsupported: another folder. Content is not
// looked at. hf:OWNER/NAME is looked up in the local cache and fetched if it is not there; errors
// as of pull().
Result<std::string> resolve_model(std::string_view spec,
                                  ProgressSink& progress = silent_progress());

}  // namespace paring::hub
