// SPDX-License-Identifier: Apache-2.0
// Opens what a MODEL names: the one place that knows every kind of model file. Stateless.
#pragma once

#include <string>

#include "base/result.h"
#include "io/file_source.h"
#include "io/model_file.h"

namespace paring::engine {

// Checks the whole structure and maps the tensors; reads none of them. Errors as
// io::ModelFile::open_gguf(). `path` comes from hub::resolve_model().
Result<io::ModelFile> open_model(const std::string& path);

// The same by headers alone (io/outline.h), of a model that is not here: a GGUF file of `source`,
// or, with an empty `file`, the folder itself, whose tensors follow from its config.json when it
// has no safetensors. Of a folder no tokenizer is read. `path`: what messages call it.
Result<io::ModelFile> outline_model(io::FileSource& source, const std::string& file,
                                    const std::string& path);
// The model that a config.json describes. Errors as model::imply_hf_tensors().
Result<io::ModelFile> outline_config(const std::string& path);

// Adds what to do to an error of a damaged file that does not say: shapes, token ids, merges and
// numbers that do not fit together.
template <typename T>
Result<T> with_damage_hint(Result<T> result) {
  if (!result && result.error().hint.empty() && result.error().code == ErrorCode::kCorrupt) {
    result.error().hint = "the file is damaged or was written by a faulty tool; fetch it again";
  }
  return result;
}

}  // namespace paring::engine
