// SPDX-License-Identifier: Apache-2.0
#include "engine/open_model.h"

namespace paring::engine {

Result<io::ModelFile> open_model(const std::string& path) { return io::ModelFile::open_gguf(path); }

}  // namespace paring::engine
