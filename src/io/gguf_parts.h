// SPDX-License-Identifier: Apache-2.0
// Puts the one or several files of a GGUF model together, wherever their headers are read from.
// Internal to io.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/gguf.h"
#include "io/mapped_file.h"
#include "io/model_file.h"

namespace paring::io {

struct GgufPart {
  GgufHeader header;
  std::uint64_t file_bytes = 0;
  MappedFile map{};  // empty when only the header is here
};

struct GgufModel {
  ModelParts parts;
  std::vector<std::string> files;  // by TensorOrigin::map
};

// `open` is called with `path` and, when its header says that the model has more files, with the
// path of each of them. Corrupt when they do not belong together.
Result<GgufModel> open_gguf_model(const std::string& path,
                                  const std::function<Result<GgufPart>(const std::string&)>& open);

}  // namespace paring::io
