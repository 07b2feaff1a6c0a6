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
#include <map>
#include <set>
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

inline constexpr const char* kHfSingleName = "model.safetensors";
inline constexpr const char* kHfModulesName = "modules.json";
inline constexpr const char* kHfPoolingFolder = "1_Pooling";
inline constexpr const char* kHfIndexName = "model.safetensors.index.json";

struct HfTensor {
  SafetensorsTensor info;
  std::size_t file = 0;  // index into HfFolder::files and maps
};

struct HfFolder {
  std::string path;
  Metadata config;  // config.json
  TokenizerFiles tokenizer_files;
  // Of sentence-transformers: modules.json as the one key "modules", and 1_Pooling/config.json. No
  // entries where the folder has none.
  Metadata modules;
  Metadata pooling;
  std::string chat_template;  // chat_template.jinja; empty when there is none
  std::vector<HfTensor> tensors;
  std::vector<std::string> files;  // of safetensors, as messages call them
  std::vector<MappedFile> maps;    // of these; none without has_values
  std::uint64_t tensor_file_bytes = 0;
  bool has_values = true;  // false: an outline (io/outline.h)

  // NotFound: no config.json, no safetensors, a shard missing. InvalidArgument: a file that lies
  // outside the folder. Corrupt, Unsupported, Exhausted: as parse_json_object(),
  // parse_safetensors().
  static Result<HfFolder> open(const std::string& path);
};

// Names of a folder's safetensors files, and the tensors that each must hold: its own index. A file
// without names gives all of its tensors.
using HfShards = std::map<std::string, std::set<std::string>>;
// `index`: model.safetensors.index.json. Corrupt: no files, or names that are no plain file names.
// Exhausted: more than kHfShardsMax.
Result<HfShards> read_hf_index(const Metadata& index);
// Adds the tensors of one file to `folder`. Corrupt when one of `names` is missing.
Result<void> add_hf_shard(SafetensorsHeader&& header, const std::string& file,
                          std::uint64_t file_bytes, const std::set<std::string>& names,
                          HfFolder& folder);

// Whether `path` is a folder with a config.json and safetensors under their usual name.
bool is_hf_folder(const std::string& path);

}  // namespace paring::io
