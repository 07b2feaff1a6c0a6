// SPDX-License-Identifier: Apache-2.0
#include "io/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>

#include "io/detail/checked_folder.h"
#include "io/json_object.h"
#include "io/printable.h"

namespace paring::io {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeightMap = "weight_map.";

// A list of modules, under one key.
Result<Metadata> read_modules(const CheckedFolder& folder) {
  if (!folder.has(kHfModulesName)) return Metadata();
  PARING_TRY(const MappedFile map, folder.map(kHfModulesName));
  return parse_json_object(fmt::format("{{\"modules\": {}}}", map.text()),
                           folder.name(kHfModulesName));
}

Result<Metadata> read_optional_json(const CheckedFolder& folder, const std::string& file) {
  return folder.has(file) ? folder.read_json(file) : Result<Metadata>(Metadata());
}

Result<MappedFile> map_optional(const CheckedFolder& folder, std::string_view file) {
  return folder.has(file) ? folder.map(file) : Result<MappedFile>(MappedFile());
}

// A shard's name may name nothing but a file of the folder itself.
Result<void> check_shard_name(const std::string& index, const std::string& name) {
  const bool is_plain = name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
                        name.ends_with(".safetensors") && !name.starts_with('.') &&
                        name.size() <= 255;
  if (is_plain) return {};
  return corrupt(fmt::format("{}: '{}' is not the name of a safetensors file of this folder", index,
                             printable(name)),
                 "the index is damaged or hostile; fetch it again");
}

}  // namespace

Result<HfShards> read_hf_index(const Metadata& index) {
  HfShards shards;
  for (const auto& [key, value] : index.entries()) {
    if (!key.starts_with(kWeightMap)) continue;
    PARING_TRY(const std::string shard, index.get_string(key));
    PARING_TRY_VOID(check_shard_name(index.source(), shard));
    shards[shard].insert(key.substr(kWeightMap.size()));
    if (shards.size() > kHfShardsMax) {
      return exhausted(fmt::format("{} names more than {} files", index.source(), kHfShardsMax));
    }
  }
  if (shards.empty()) {
    return corrupt(fmt::format("{}: 'weight_map' is missing or empty", index.source()),
                   "the folder is incomplete; fetch it again");
  }
  return shards;
}

Result<void> add_hf_shard(SafetensorsHeader&& header, const std::string& file,
                          std::uint64_t file_bytes, const std::set<std::string>& names,
                          HfFolder& folder) {
  std::size_t found = 0;
  for (SafetensorsTensor& tensor : header.tensors) {
    // The index decides: what it does not name is not part of the model.
    if (!names.empty() && !names.contains(tensor.name)) continue;
    ++found;
    folder.tensors.push_back({std::move(tensor), folder.files.size()});
  }
  if (!names.empty() && found != names.size()) {
    std::set<std::string> missing = names;
    for (const HfTensor& tensor : folder.tensors) missing.erase(tensor.info.name);
    return corrupt(fmt::format("{}: tensor '{}' is missing, {} says it is here", file,
                               printable(*missing.begin()), kHfIndexName),
                   "the files are of different versions; fetch the folder again");
  }
  folder.files.push_back(file);
  folder.tensor_file_bytes += file_bytes;
  return {};
}

namespace {

Error no_safetensors(const CheckedFolder& folder) {
  const bool has_pickle =
      folder.has("pytorch_model.bin") || folder.has("pytorch_model.bin.index.json");
  return not_found(fmt::format("'{}' holds no '{}' and no '{}'", printable(folder.name("")),
                               kHfSingleName, kHfIndexName),
                   has_pickle ? "pytorch_model.bin can run any program when it is read; get the "
                                "model as safetensors"
                              : "the folder is incomplete; fetch it again");
}

Result<void> add_shard(const CheckedFolder& folder, const std::string& file,
                       const std::set<std::string>& names, HfFolder& out) {
  PARING_TRY(MappedFile map, folder.map(file));
  PARING_TRY(SafetensorsHeader header, parse_safetensors(map.bytes(), folder.name(file)));
  PARING_TRY_VOID(
      add_hf_shard(std::move(header), folder.name(file), map.bytes().size(), names, out));
  out.maps.push_back(std::move(map));
  return {};
}

Result<void> open_tensors(const CheckedFolder& folder, HfFolder& out) {
  HfShards shards;
  if (folder.has(kHfIndexName)) {
    PARING_TRY(const Metadata index, folder.read_json(kHfIndexName));
    PARING_TRY(shards, read_hf_index(index));
  } else if (folder.has(kHfSingleName)) {
    shards[kHfSingleName];
  } else {
    return no_safetensors(folder);
  }
  for (const auto& [file, names] : shards) {
    PARING_TRY_VOID(add_shard(folder, file, names, out));
  }
  return {};
}

}  // namespace

bool is_hf_folder(const std::string& path) {
  std::error_code failed;
  const fs::path folder(path);
  return fs::is_directory(folder, failed) && fs::exists(folder / "config.json", failed) &&
         (fs::exists(folder / kHfSingleName, failed) || fs::exists(folder / kHfIndexName, failed));
}

Result<HfFolder> HfFolder::open(const std::string& path) {
  PARING_TRY(const CheckedFolder folder, CheckedFolder::open(path));
  HfFolder out;
  out.path = path;
  PARING_TRY(out.config, folder.read_json("config.json"));
  PARING_TRY(out.tokenizer_files.generation, map_optional(folder, "generation_config.json"));
  PARING_TRY(out.tokenizer_files.config, map_optional(folder, "tokenizer_config.json"));
  PARING_TRY(out.tokenizer_files.tokenizer, map_optional(folder, "tokenizer.json"));
  PARING_TRY(out.modules, read_modules(folder));
  PARING_TRY(out.pooling,
             read_optional_json(folder, std::string(kHfPoolingFolder) + "/config.json"));
  if (folder.has("chat_template.jinja")) {
    PARING_TRY(const MappedFile source, folder.map("chat_template.jinja"));
    if (source.bytes().size() > kChatTemplateBytesMax) {
      return exhausted(fmt::format("{} has {} bytes, the limit is {}",
                                   folder.name("chat_template.jinja"), source.bytes().size(),
                                   kChatTemplateBytesMax));
    }
    out.chat_template = source.text();
  }
  PARING_TRY_VOID(open_tensors(folder, out));
  return out;
}

}  // namespace paring::io
