// SPDX-License-Identifier: Apache-2.0
// Pre-tokenizers of tokenizer.json files and their names in GGUF, by definition. For the .cc files
// of this module only.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer_file.h"

namespace paring::text {

// The GGUF name of a byte-level pre-tokenizer. Unsupported, with the definition, when no known
// model has it.
Result<std::string> pre_tokenizer_name(std::span<const PipelineStep> steps, bool ignore_merges);

// Its definition as JSON, for a tokenizer.json. Unsupported when it cannot be said there.
Result<std::string> pre_tokenizer_json(std::string_view gguf_name);

}  // namespace paring::text
