// SPDX-License-Identifier: Apache-2.0
// HfFolder: a model folder in Hugging Face layout as it lies there: configurations as Metadata,
// tensors under their own names, the files mapped. What the names mean is the business of
// model/hf_translation.h. Movable; immutable and thread-safe once open.
//
// The folder is hostile: names of shards may not lead out of it, links may not either (but for the
// links of the Hugging Face cache, snapshots/... -> blobs/...).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/mapped_file.h"
#include "io/metadata.h"
#include "io/model_file.h"
#include "io/safetensors.h"

namespace paring::io {

inline constexpr std::size_t kHfShardsMax = 4096;
inline constexpr std::size_t kChatTemplateBytesMax = std::size_t{4} << 20;

struct HfTensor {
  SafetensorsTensor info;
  std::size_t map = 0;  // index into HfFolder::maps
};

struct HfFolder {
  std::string path;
  Metadata config;  // config.json
  TokenizerFiles tokenizer_files;
  std::string chat_template;  // chat_template.jinja; empty when there is none
  std::vector<HfTensor> tensors;
  std::vector<MappedFile> maps;  // one a safetensors file
  std::uint64_t tensor_file_bytes = 0;

  // NotFound: no config.json, no safetensors, a shard missing. InvalidArgument: a file that lies
  // outside the folder. Corrupt, Unsupported, Exhausted: as parse_json_object(),
  // parse_safetensors().
  static Result<HfFolder> open(const std::string& path);
};

// Whether `path` is a folder with a config.json and safetensors under their usual name.
bool is_hf_folder(const std::string& path);

}  // namespace paring::io
