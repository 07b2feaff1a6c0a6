// SPDX-License-Identifier: Apache-2.0
#include "io/model_file.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "io/gguf_split.h"
#include "io/printable.h"
#include "quant/format.h"

namespace paring::io {

namespace {

// Widens F16 and BF16 to F32; F32 is copied.
std::vector<std::byte> to_f32(std::span<const std::byte> stored, DType type, std::uint64_t values) {
  std::vector<std::byte> out(values * sizeof(float));
  if (type == DType::kF32) {
    std::memcpy(out.data(), stored.data(), out.size());
    return out;
  }
  const auto format = quant::require_format(type);
  PARING_CHECK(format.has_value(), "an origin's type has a decoder");
  (*format)->decode(stored.data(), reinterpret_cast<float*>(out.data()), values);
  return out;
}

void add_to_each(std::span<std::byte> f32, float added) {
  for (std::size_t at = 0; at < f32.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, f32.data() + at, sizeof(value));
    value += added;
    std::memcpy(f32.data() + at, &value, sizeof(value));
  }
}

// Row 2j of a head is row j of its first half, row 2j + 1 is row j of its second half: the rotated
// pairs (j, j + D/2) of Hugging Face's layout become neighbours.
std::vector<std::byte> halves_to_pairs(std::span<const std::byte> source, std::uint64_t rows,
                                       std::uint64_t heads) {
  const std::uint64_t head_rows = rows / heads;
  const std::uint64_t half = head_rows / 2;
  const std::uint64_t row_bytes = source.size() / rows;
  std::vector<std::byte> out(source.size());
  for (std::uint64_t row = 0; row < rows; ++row) {
    const std::uint64_t head = row / head_rows;
    const std::uint64_t in_head = row % head_rows;
    const std::uint64_t from = head * head_rows + in_head % 2 * half + in_head / 2;
    std::memcpy(out.data() + row * row_bytes, source.data() + from * row_bytes, row_bytes);
  }
  return out;
}

}  // namespace

ModelFile::ModelFile(ModelParts parts) : parts_(std::move(parts)) {
  PARING_CHECK(parts_.origins.size() == parts_.tensors.size(), "one origin a tensor");
  index_.reserve(parts_.tensors.size());
  for (std::size_t i = 0; i < parts_.tensors.size(); ++i) {
    const TensorInfo& tensor = parts_.tensors[i];
    const TensorOrigin& from = parts_.origins[i];
    PARING_CHECK(index_.emplace(tensor.name, i).second, "a tensor's name is unique");
    PARING_CHECK(from.stored == tensor.type || tensor.type == DType::kF32,
                 "values are widened to F32 only");
    PARING_CHECK(from.added == 0 || tensor.type == DType::kF32, "a constant is added in F32");
  }
}

namespace {

// One file's tensors, and its map.
void add_file(GgufHeader&& header, MappedFile&& map, ModelParts& parts) {
  parts.file_bytes += map.bytes().size();
  for (TensorInfo& tensor : header.tensors) {
    parts.origins.push_back(
        {.map = parts.maps.size(), .offset = tensor.offset, .stored = tensor.type});
    parts.tensors.push_back(std::move(tensor));
  }
  parts.maps.push_back(std::move(map));
}

struct OpenFile {
  MappedFile map;
  GgufHeader header;
  std::uint64_t split_count = 1;
};

Result<OpenFile> open_file(const std::string& path) {
  OpenFile file;
  PARING_TRY(file.map, MappedFile::open(path));
  PARING_TRY(file.header, parse_gguf(file.map.bytes(), path));
  PARING_TRY(file.split_count, file.header.metadata.u64_or(kSplitCountKey, 1));
  if (file.split_count > kGgufSplitsMax) {
    return corrupt(fmt::format("{}: '{}' is {}, the limit is {}", path, kSplitCountKey,
                               file.split_count, kGgufSplitsMax));
  }
  return file;
}

// File `number` (from 0) of a model in `count` files.
Result<OpenFile> open_part(const std::string& prefix, std::uint64_t number, std::uint64_t count) {
  const std::string path = split_path(prefix, number + 1, count);
  auto file = open_file(path);
  if (!file) {
    return std::move(file.error())
        .with_context(fmt::format("file {} of {} of a split model", number + 1, count));
  }
  PARING_TRY(const std::uint64_t found, file->header.metadata.get_u64(kSplitNumberKey));
  if (found != number || file->split_count != count) {
    return corrupt(fmt::format("{}: says it is file {} of {} ({}, {}), its name says {} of {}",
                               path, found + 1, file->split_count, kSplitNumberKey, kSplitCountKey,
                               number + 1, count),
                   "the file was renamed or belongs to another model");
  }
  return file;
}

Result<void> check_names(const ModelParts& parts, std::uint64_t tensors) {
  if (parts.tensors.size() != tensors) {
    return corrupt(fmt::format("{}: '{}' is {}, the files hold {} tensors", parts.path,
                               kSplitTensorsKey, tensors, parts.tensors.size()),
                   "the files belong to different models; fetch them again");
  }
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : parts.tensors) {
    if (names.insert(tensor.name).second) continue;
    return corrupt(
        fmt::format("{}: tensor '{}' is in two of the files", parts.path, printable(tensor.name)));
  }
  return {};
}

// Whatever part `path` names, the model is read from the first on.
Result<void> open_parts(const std::string& path, std::uint64_t count, ModelParts& parts) {
  const auto prefix = split_prefix(path, count);
  if (!prefix) {
    return invalid_argument(
        fmt::format("'{}' is one of {} files of a split model, whose names must end in "
                    "-00001-of-{:05}.gguf",
                    printable(path), count, count),
        "give the files their names back");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    PARING_TRY(OpenFile file, open_part(*prefix, i, count));
    if (i == 0) parts.metadata = std::move(file.header.metadata);
    add_file(std::move(file.header), std::move(file.map), parts);
  }
  PARING_TRY(const std::uint64_t tensors, parts.metadata.get_u64(kSplitTensorsKey));
  PARING_TRY_VOID(check_names(parts, tensors));
  for (const char* key : {kSplitNumberKey, kSplitCountKey, kSplitTensorsKey}) {
    parts.metadata.erase(key);
  }
  return {};
}

}  // namespace

Result<ModelFile> ModelFile::open_gguf(const std::string& path) {
  PARING_TRY(OpenFile file, open_file(path));
  ModelParts parts;
  parts.path = path;
  parts.layout = fmt::format("GGUF v{}", file.header.version);
  if (file.split_count > 1) {
    parts.layout += fmt::format(" in {} files", file.split_count);
    PARING_TRY_VOID(open_parts(path, file.split_count, parts));
  } else {
    parts.metadata = std::move(file.header.metadata);
    add_file(std::move(file.header), std::move(file.map), parts);
  }
  return ModelFile(std::move(parts));
}

const TensorInfo* ModelFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &parts_.tensors[found->second];
}

const TensorOrigin& ModelFile::origin(const TensorInfo& tensor) const {
  const auto index = static_cast<std::size_t>(&tensor - parts_.tensors.data());
  PARING_DCHECK(index < parts_.origins.size(), "a tensor of this file");
  return parts_.origins[index];
}

std::span<const std::byte> ModelFile::stored_bytes(const TensorInfo& tensor,
                                                   const TensorOrigin& from) const {
  if (!from.made.empty()) return from.made;
  std::uint64_t bytes = tensor.bytes;
  if (from.stored != tensor.type) {
    const auto row_bytes = dtype_row_bytes(from.stored, tensor.columns());
    PARING_CHECK(row_bytes.has_value(), "an origin's row is whole blocks");
    bytes = *row_bytes * tensor.rows();
  }
  return parts_.maps[from.map].bytes().subspan(from.offset, bytes);
}

TensorBytes ModelFile::data(const TensorInfo& tensor) const {
  const TensorOrigin& from = origin(tensor);
  const std::span<const std::byte> stored = stored_bytes(tensor, from);
  const bool is_widened = from.stored != tensor.type || from.added != 0;
  if (!is_widened && from.paired_heads == 0) return TensorBytes(stored);
  std::vector<std::byte> bytes;
  if (is_widened) bytes = to_f32(stored, from.stored, tensor.values());
  if (from.added != 0) add_to_each(bytes, from.added);
  if (from.paired_heads != 0) {
    // A vector's rows are its values.
    const std::uint64_t rows = tensor.shape.size() == 1 ? tensor.columns() : tensor.rows();
    bytes = halves_to_pairs(is_widened ? bytes : stored, rows, from.paired_heads);
  }
  return TensorBytes(std::move(bytes));
}

void ModelFile::release(const TensorInfo& tensor) const {
  const TensorOrigin& from = origin(tensor);
  if (!from.made.empty()) return;
  parts_.maps[from.map].release(from.offset, stored_bytes(tensor, from).size());
}

}  // namespace paring::io
