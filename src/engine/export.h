// SPDX-License-Identifier: Apache-2.0
// Writes a model with its tokenizer as a folder in Hugging Face layout. Stateless.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "io/model_file.h"
#include "model/hf_export.h"

namespace paring::engine {

struct Exported {
  std::vector<std::string> files;  // names in the folder
  std::uint64_t bytes = 0;         // of all of them
};

// config.json, safetensors (model/hf_export.h), tokenizer.json, tokenizer_config.json,
// generation_config.json. `folder` must exist. Unsupported: as model::export_hf(), and a tokenizer
// whose kind tokenizer.json has no known form for; then nothing is written. InvalidArgument: a file
// exists under Overwrite::kRefuse.
Result<Exported> export_model(const io::ModelFile& file, const std::string& folder,
                              const model::HfExportOptions& options, ProgressSink& progress);

}  // namespace paring::engine
