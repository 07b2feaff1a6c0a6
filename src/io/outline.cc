// SPDX-License-Identifier: Apache-2.0
#include "io/outline.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "io/gguf_parts.h"
#include "io/json_object.h"
#include "io/printable.h"

namespace paring::io {

namespace {

Result<std::uint64_t> size_of(const FileSource& source, const std::string& file) {
  const auto bytes = source.size(file);
  if (!bytes) {
    return not_found(fmt::format("there is no file '{}'", printable(source.name(file))),
                     "the model is incomplete there; choose another");
  }
  return *bytes;
}

Error too_long(const FileSource& source, const std::string& file, std::uint64_t bytes,
               std::uint64_t limit) {
  return exhausted(fmt::format("{}: {} bytes of it would be needed, the limit is {}",
                               source.name(file), bytes, limit),
                   "fetch the model to look into it");
}

Result<std::string> read_text(FileSource& source, const std::string& file) {
  PARING_TRY(const std::uint64_t bytes, size_of(source, file));
  if (bytes > kOutlineJsonBytesMax) return too_long(source, file, bytes, kOutlineJsonBytesMax);
  PARING_TRY(const std::vector<std::byte> data, source.read(file, 0, bytes));
  return std::string(reinterpret_cast<const char*>(data.data()), data.size());
}

// Reads on, twice as far each time, until the header is whole.
Result<GgufPart> read_gguf_header(FileSource& source, const std::string& file) {
  PARING_TRY(const std::uint64_t file_bytes, size_of(source, file));
  std::vector<std::byte> beginning;
  while (true) {
    const std::uint64_t wanted =
        std::min<std::uint64_t>(file_bytes, std::max(2 * beginning.size(), kOutlineFirstBytes));
    if (wanted > kOutlineHeaderBytesMax) {
      return too_long(source, file, wanted, kOutlineHeaderBytesMax);
    }
    PARING_TRY(const std::vector<std::byte> more,
               source.read(file, beginning.size(), wanted - beginning.size()));
    beginning.insert(beginning.end(), more.begin(), more.end());
    PARING_TRY(std::optional<GgufHeader> header,
               parse_gguf_beginning(beginning, file_bytes, source.name(file)));
    if (header) return GgufPart{std::move(*header), file_bytes, {}};
  }
}

Result<void> read_values(FileSource& source, const GgufModel& model,
                         std::span<const char* const> valued, ModelParts& parts) {
  for (std::size_t i = 0; i < parts.tensors.size(); ++i) {
    const TensorInfo& tensor = parts.tensors[i];
    const bool is_wanted = std::any_of(valued.begin(), valued.end(),
                                       [&](const char* name) { return tensor.name == name; });
    if (!is_wanted) continue;
    const std::string& file = model.files[parts.origins[i].map];
    if (tensor.bytes > kOutlineValueBytesMax) {
      return too_long(source, file, tensor.bytes, kOutlineValueBytesMax);
    }
    PARING_TRY(parts.origins[i].made, source.read(file, parts.origins[i].offset, tensor.bytes));
  }
  return {};
}

Result<SafetensorsHeader> read_shard(FileSource& source, const std::string& file,
                                     std::uint64_t file_bytes) {
  const std::string name = source.name(file);
  const std::uint64_t first = std::min<std::uint64_t>(file_bytes, kSafetensorsLengthBytes);
  PARING_TRY(std::vector<std::byte> beginning, source.read(file, 0, first));
  PARING_TRY(const std::uint64_t header_bytes,
             safetensors_header_bytes(beginning, file_bytes, name));
  if (header_bytes > kOutlineHeaderBytesMax) {
    return too_long(source, file, header_bytes, kOutlineHeaderBytesMax);
  }
  PARING_TRY(const std::vector<std::byte> rest, source.read(file, first, header_bytes - first));
  beginning.insert(beginning.end(), rest.begin(), rest.end());
  return parse_safetensors_beginning(beginning, file_bytes, name);
}

}  // namespace

Result<ModelParts> outline_gguf(FileSource& source, const std::string& file,
                                std::span<const char* const> valued) {
  PARING_TRY(GgufModel model, open_gguf_model(file, [&](const std::string& part) {
               return read_gguf_header(source, part);
             }));
  model.parts.has_values = false;
  PARING_TRY_VOID(read_values(source, model, valued, model.parts));
  return std::move(model.parts);
}

Result<HfFolder> outline_hf_config(std::string_view config, const std::string& path) {
  HfFolder folder;
  folder.path = path;
  folder.has_values = false;
  PARING_TRY(folder.config, parse_json_object(config, path));
  return folder;
}

Result<HfFolder> outline_hf_folder(FileSource& source, const std::string& path) {
  PARING_TRY(const std::string text, read_text(source, "config.json"));
  PARING_TRY(HfFolder folder, outline_hf_config(text, source.name("config.json")));
  folder.path = path;
  HfShards shards;
  if (source.size(kHfIndexName)) {
    PARING_TRY(const std::string index, read_text(source, kHfIndexName));
    PARING_TRY(const Metadata entries, parse_json_object(index, source.name(kHfIndexName)));
    PARING_TRY(shards, read_hf_index(entries));
  } else if (source.size(kHfSingleName)) {
    shards[kHfSingleName];
  }
  for (const auto& [file, names] : shards) {
    PARING_TRY(const std::uint64_t bytes, size_of(source, file));
    PARING_TRY(SafetensorsHeader header, read_shard(source, file, bytes));
    PARING_TRY_VOID(add_hf_shard(std::move(header), source.name(file), bytes, names, folder));
  }
  return folder;
}

}  // namespace paring::io
