// SPDX-License-Identifier: Apache-2.0
// Models known by their headers alone: metadata, names, types and shapes of all tensors, without
// their values (ModelFile::has_values() is false). For planning with models that are not here.
// Stateless.
//
//   PARING_TRY(io::ModelParts parts, io::outline_gguf(source, "model-Q4_K_M.gguf", {}));
//   PARING_TRY(io::HfFolder folder, io::outline_hf_folder(source, "hf:owner/name"));
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/file_source.h"
#include "io/hf_folder.h"
#include "io/model_file.h"

namespace paring::io {

// Of headers over a network; those of real models have up to some 20 MB.
inline constexpr std::size_t kOutlineHeaderBytesMax = std::size_t{64} << 20;
inline constexpr std::size_t kOutlineFirstBytes = std::size_t{1} << 20;
inline constexpr std::size_t kOutlineJsonBytesMax = std::size_t{32} << 20;
inline constexpr std::size_t kOutlineValueBytesMax = std::size_t{1} << 20;

// A GGUF model, in one file or several. `valued`: names of small tensors whose values are read as
// well, where the model has them. Errors as ModelFile::open_gguf() and of the source; Exhausted
// beyond the limits above.
Result<ModelParts> outline_gguf(FileSource& source, const std::string& file,
                                std::span<const char* const> valued);

// config.json and the headers of all safetensors files; no tokenizer. A folder without safetensors
// has no tensors in the end. `path`: the folder as messages call it. Errors as HfFolder::open().
Result<HfFolder> outline_hf_folder(FileSource& source, const std::string& path);

// A folder of which there is but the text of config.json.
Result<HfFolder> outline_hf_config(std::string_view config, const std::string& path);

}  // namespace paring::io
