// SPDX-License-Identifier: Apache-2.0
#include "io/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>

#include "io/json_object.h"
#include "io/printable.h"

namespace paring::io {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWeightMap = "weight_map.";

// Opens files of one folder, and only of it.
class Folder {
 public:
  static Result<Folder> open(const std::string& path) {
    std::error_code failed;
    Folder folder;
    folder.path_ = path;
    folder.real_ = fs::canonical(path, failed);
    if (failed) {
      return not_found(
          fmt::format("the folder '{}' cannot be opened: {}", printable(path), failed.message()));
    }
    return folder;
  }

  std::string name(std::string_view file) const { return (fs::path(path_) / file).string(); }

  bool has(std::string_view file) const {
    std::error_code failed;  // an unreadable file is found out when it is opened
    return fs::exists(fs::symlink_status(fs::path(real_) / file, failed));
  }

  Result<MappedFile> map(std::string_view file) const {
    const std::string shown = printable(name(file));
    std::error_code failed;
    const fs::path target = fs::canonical(real_ / file, failed);
    if (failed) {
      return not_found(fmt::format("'{}' cannot be opened: {}", shown, failed.message()),
                       "the folder is incomplete; fetch it again");
    }
    const bool is_inside =
        target.parent_path() == real_ || target.parent_path() == real_ / kHfPoolingFolder;
    if (!is_inside && !is_blob(target)) {
      return invalid_argument(fmt::format("'{}' is a link to '{}', outside of its folder", shown,
                                          printable(target.string())),
                              "copy the file into the folder, or name the folder that it lies in");
    }
    return MappedFile::open(name(file));
  }

 private:
  // The Hugging Face cache: <root>/snapshots/<revision>/<file> -> <root>/blobs/<hash>.
  bool is_blob(const fs::path& target) const {
    const fs::path snapshots = real_.parent_path();
    return snapshots.filename() == "snapshots" &&
           target.parent_path() == snapshots.parent_path() / "blobs";
  }

  std::string path_;  // as given, for messages
  fs::path real_;
};

Result<Metadata> read_json(const Folder& folder, std::string_view file) {
  PARING_TRY(const MappedFile map, folder.map(file));
  return parse_json_object(map.text(), folder.name(file));
}

// A list of modules, under one key.
Result<Metadata> read_modules(const Folder& folder) {
  if (!folder.has(kHfModulesName)) return Metadata();
  PARING_TRY(const MappedFile map, folder.map(kHfModulesName));
  return parse_json_object(fmt::format("{{\"modules\": {}}}", map.text()),
                           folder.name(kHfModulesName));
}

Result<Metadata> read_optional_json(const Folder& folder, const std::string& file) {
  return folder.has(file) ? read_json(folder, file) : Result<Metadata>(Metadata());
}

Result<MappedFile> map_optional(const Folder& folder, std::string_view file) {
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

Error no_safetensors(const Folder& folder) {
  const bool has_pickle =
      folder.has("pytorch_model.bin") || folder.has("pytorch_model.bin.index.json");
  return not_found(fmt::format("'{}' holds no '{}' and no '{}'", printable(folder.name("")),
                               kHfSingleName, kHfIndexName),
                   has_pickle ? "pytorch_model.bin can run any program when it is read; get the "
                                "model as safetensors"
                              : "the folder is incomplete; fetch it again");
}

Result<void> add_shard(const Folder& folder, const std::string& file,
                       const std::set<std::string>& names, HfFolder& out) {
  PARING_TRY(MappedFile map, folder.map(file));
  PARING_TRY(SafetensorsHeader header, parse_safetensors(map.bytes(), folder.name(file)));
  PARING_TRY_VOID(
      add_hf_shard(std::move(header), folder.name(file), map.bytes().size(), names, out));
  out.maps.push_back(std::move(map));
  return {};
}

Result<void> open_tensors(const Folder& folder, HfFolder& out) {
  HfShards shards;
  if (folder.has(kHfIndexName)) {
    PARING_TRY(const Metadata index, read_json(folder, kHfIndexName));
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
  PARING_TRY(const Folder folder, Folder::open(path));
  HfFolder out;
  out.path = path;
  PARING_TRY(out.config, read_json(folder, "config.json"));
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
