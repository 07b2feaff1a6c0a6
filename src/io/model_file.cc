// SPDX-License-Identifier: Apache-2.0
#include "io/model_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "io/gguf_parts.h"
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

// Rows first..first+count-1 of a tensor whose heads are stored half by half. Row 2j of a head is
// row j of its first half, row 2j + 1 is row j of its second half: the rotated pairs (j, j + D/2)
// of Hugging Face's layout become neighbours.
std::vector<std::byte> halves_to_pairs(std::span<const std::byte> stored, std::uint64_t head_rows,
                                       std::uint64_t row_bytes, std::uint64_t first,
                                       std::uint64_t count) {
  const std::uint64_t half = head_rows / 2;
  std::vector<std::byte> out(count * row_bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t head = (first + i) / head_rows;
    const std::uint64_t in_head = (first + i) % head_rows;
    const std::uint64_t from = head * head_rows + in_head % 2 * half + in_head / 2;
    std::memcpy(out.data() + i * row_bytes, stored.data() + from * row_bytes, row_bytes);
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
    const bool is_changed = from.stored != tensor.type || from.added != 0 || from.paired_heads != 0;
    PARING_CHECK(from.pieces.empty() || (!is_changed && tensor.rows() % from.pieces.size() == 0),
                 "pieces are matrices of as many rows each, as they are");
    PARING_CHECK(from.added == 0 || tensor.type == DType::kF32, "a constant is added in F32");
  }
}

Result<ModelFile> ModelFile::open_gguf(const std::string& path) {
  PARING_TRY(GgufModel model,
             open_gguf_model(path, [](const std::string& file) -> Result<GgufPart> {
               GgufPart part;
               PARING_TRY(part.map, MappedFile::open(file));
               PARING_TRY(part.header, parse_gguf(part.map.bytes(), file));
               part.file_bytes = part.map.bytes().size();
               return part;
             }));
  return ModelFile(std::move(model.parts));
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
  PARING_CHECK(parts_.has_values, "an outline's tensors have no values");
  std::uint64_t bytes = tensor.bytes;
  if (from.stored != tensor.type) {
    const auto row_bytes = dtype_row_bytes(from.stored, tensor.columns());
    PARING_CHECK(row_bytes.has_value(), "an origin's row is whole blocks");
    bytes = *row_bytes * tensor.rows();
  }
  return parts_.maps[from.map].bytes().subspan(from.offset, bytes);
}

Result<void> ModelFile::check_unchanged() const {
  for (const MappedFile& map : parts_.maps) PARING_TRY_VOID(map.check_unchanged());
  return {};
}

namespace {

// A vector's rows are its values.
std::uint64_t row_count(const TensorInfo& tensor) {
  return tensor.shape.size() == 1 ? tensor.columns() : tensor.rows();
}

}  // namespace

template <typename Visit>
void ModelFile::visit_pieces(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count,
                             const Visit& visit) const {
  PARING_CHECK(parts_.has_values, "an outline's tensors have no values");
  const TensorOrigin& from = origin(tensor);
  const std::uint64_t rows = tensor.rows() / from.pieces.size();
  const std::uint64_t row_bytes = tensor.bytes / tensor.rows();
  while (count > 0) {
    const TensorPiece& piece = from.pieces[first / rows];
    const std::uint64_t some = std::min(count, rows - first % rows);
    visit(piece, piece.offset + first % rows * row_bytes, some * row_bytes);
    first += some;
    count -= some;
  }
}

TensorBytes ModelFile::data(const TensorInfo& tensor) const {
  return read_rows(tensor, 0, row_count(tensor));
}

TensorBytes ModelFile::rows(const TensorInfo& tensor, std::uint64_t first,
                            std::uint64_t count) const {
  PARING_CHECK(tensor.shape.size() > 1, "a vector has no rows");
  return read_rows(tensor, first, count);
}

TensorBytes ModelFile::read_pieces(const TensorInfo& tensor, std::uint64_t first,
                                   std::uint64_t count) const {
  std::vector<std::span<const std::byte>> parts;
  visit_pieces(tensor, first, count,
               [&](const TensorPiece& piece, std::uint64_t offset, std::uint64_t bytes) {
                 parts.push_back(parts_.maps[piece.map].bytes().subspan(offset, bytes));
               });
  if (parts.size() == 1) return TensorBytes(parts.front());
  std::vector<std::byte> joined;
  joined.reserve(tensor.bytes / tensor.rows() * count);
  for (const auto& part : parts) joined.insert(joined.end(), part.begin(), part.end());
  return TensorBytes(std::move(joined));
}

TensorBytes ModelFile::read_rows(const TensorInfo& tensor, std::uint64_t first,
                                 std::uint64_t count) const {
  const TensorOrigin& from = origin(tensor);
  const std::uint64_t rows = row_count(tensor);
  PARING_CHECK(first <= rows && count <= rows - first, "rows of the tensor");
  if (!from.pieces.empty()) return read_pieces(tensor, first, count);
  const std::span<const std::byte> all = stored_bytes(tensor, from);
  const std::uint64_t row_bytes = rows == 0 ? 0 : all.size() / rows;
  const std::span<const std::byte> stored = all.subspan(first * row_bytes, count * row_bytes);
  const bool is_widened = from.stored != tensor.type || from.added != 0;
  if (!is_widened && from.paired_heads == 0) return TensorBytes(stored);
  std::vector<std::byte> bytes;
  if (from.paired_heads != 0) {
    bytes = halves_to_pairs(all, rows / from.paired_heads, row_bytes, first, count);
  }
  if (is_widened) {
    const std::uint64_t values = rows == 0 ? 0 : tensor.values() / rows * count;
    bytes = to_f32(from.paired_heads != 0 ? bytes : stored, from.stored, values);
  }
  if (from.added != 0) add_to_each(bytes, from.added);
  return TensorBytes(std::move(bytes));
}

void ModelFile::release(const TensorInfo& tensor) const {
  const TensorOrigin& from = origin(tensor);
  if (!from.made.empty() || !parts_.has_values) return;
  if (!from.pieces.empty()) return release_rows(tensor, 0, tensor.rows());
  parts_.maps[from.map].release(from.offset, stored_bytes(tensor, from).size());
}

void ModelFile::release_rows(const TensorInfo& tensor, std::uint64_t first,
                             std::uint64_t count) const {
  const TensorOrigin& from = origin(tensor);
  if (!from.made.empty() || !parts_.has_values || tensor.rows() == 0) return;
  if (!from.pieces.empty()) {
    visit_pieces(tensor, first, count,
                 [&](const TensorPiece& piece, std::uint64_t offset, std::uint64_t bytes) {
                   parts_.maps[piece.map].release(offset, bytes);
                 });
    return;
  }
  const std::uint64_t row_bytes = stored_bytes(tensor, from).size() / tensor.rows();
  parts_.maps[from.map].release(from.offset + first * row_bytes, count * row_bytes);
}

}  // namespace paring::io
