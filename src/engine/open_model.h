// SPDX-License-Identifier: Apache-2.0
// Opens what a MODEL names: the one place that knows every kind of model file. Stateless.
#pragma once

#include <string>

#include "base/result.h"
#include "io/model_file.h"

namespace paring::engine {

// Checks the whole structure and maps the tensors; reads none of them. Errors as
// io::ModelFile::open_gguf(). `path` comes from hub::resolve_model().
Result<io::ModelFile> open_model(const std::string& path);

}  // namespace paring::engine
