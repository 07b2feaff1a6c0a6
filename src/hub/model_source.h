// SPDX-License-Identifier: Apache-2.0
// Resolves what a user types as MODEL or ADAPTER to the path of a file or folder. Stateless.
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

// The same without the network: Unavailable for what is not in the local cache.
Result<std::string> find_model(std::string_view spec);

// The same of a LoRA adapter: an existing file, a folder with adapter_config.json, or
// hf:OWNER/NAME[:FILE].
Result<std::string> resolve_adapter(std::string_view spec,
                                    ProgressSink& progress = silent_progress());
Result<std::string> find_adapter(std::string_view spec);

}  // namespace paring::hub
