// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_split.h"

#include <fmt/format.h>

#include <unordered_set>
#include <utility>

#include "io/gguf.h"
#include "io/printable.h"

namespace paring::io {

namespace {

constexpr std::string_view kEnding = ".gguf";

GgufValue of_u16(std::uint64_t value) { return {GgufValueType::kU16, value}; }

}  // namespace

std::string split_path(const std::string& prefix, std::uint64_t number, std::uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number, count);
}

std::optional<std::string> split_prefix(std::string_view path, std::uint64_t count) {
  const std::string tail = fmt::format("-of-{:05}.gguf", count);
  constexpr std::size_t kNumberBytes = 6;  // "-00002"
  if (!path.ends_with(tail) || path.size() <= tail.size() + kNumberBytes) return std::nullopt;
  const std::string_view rest = path.substr(0, path.size() - tail.size());
  const std::string_view number = rest.substr(rest.size() - kNumberBytes);
  if (number.front() != '-' ||
      number.find_first_not_of("0123456789", 1) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(rest.substr(0, rest.size() - kNumberBytes));
}

GgufSplitWriter GgufSplitWriter::create(std::string path, Overwrite overwrite,
                                        std::uint64_t file_bytes_max) {
  GgufSplitWriter writer;
  writer.path_ = std::move(path);
  writer.overwrite_ = overwrite;
  writer.file_bytes_max_ = file_bytes_max;
  return writer;
}

// The first file has the metadata, the others only what makes them parts of it.
Metadata GgufSplitWriter::metadata_of(std::size_t file, std::size_t files) const {
  Metadata metadata;
  if (file == 0) {
    metadata = metadata_;
  } else if (const GgufValue* alignment = metadata_.find("general.alignment")) {
    metadata.set("general.alignment", *alignment);
  }
  if (files == 1) return metadata;
  metadata.set(kSplitNumberKey, of_u16(file));
  metadata.set(kSplitCountKey, of_u16(files));
  metadata.set(kSplitTensorsKey, GgufValue::of_i32(static_cast<std::int32_t>(tensors_.size())));
  return metadata;
}

// Where each file's tensors end: as many in a file as fit.
Result<std::vector<std::size_t>> GgufSplitWriter::plan() const {
  if (file_bytes_max_ == 0) return std::vector<std::size_t>{tensors_.size()};
  PARING_TRY(const std::uint64_t whole, gguf_file_bytes(metadata_, tensors_));
  if (whole <= file_bytes_max_) return std::vector<std::size_t>{tensors_.size()};
  const std::span<const TensorDeclaration> tensors(tensors_);
  std::vector<std::size_t> ends;
  std::size_t begin = 0;
  while (begin < tensors.size()) {
    if (ends.size() == kGgufSplitsMax) {
      return invalid_argument(fmt::format("files of at most {} bytes would be more than {}",
                                          file_bytes_max_, kGgufSplitsMax),
                              "allow larger files");
    }
    const Metadata metadata = metadata_of(ends.size(), 2);
    // The size grows with the number of tensors: search for the last that fits.
    std::size_t fits = begin;
    std::size_t too_many = tensors.size() + 1;
    while (too_many - fits > 1) {
      const std::size_t middle = (fits + too_many) / 2;
      PARING_TRY(const std::uint64_t bytes,
                 gguf_file_bytes(metadata, tensors.subspan(begin, middle - begin)));
      (bytes <= file_bytes_max_ ? fits : too_many) = middle;
    }
    if (fits == begin) {
      PARING_TRY(const std::uint64_t bytes, gguf_file_bytes(metadata, tensors.subspan(begin, 1)));
      return invalid_argument(
          fmt::format("a file with tensor '{}'{} has {} bytes, the limit for a file is {}",
                      printable(tensors[begin].name), ends.empty() ? " and the metadata" : "",
                      bytes, file_bytes_max_),
          "allow larger files");
    }
    ends.push_back(fits);
    begin = fits;
  }
  return ends;
}

Result<void> GgufSplitWriter::begin() {
  PARING_CHECK(files_.empty(), "begin() twice");
  std::unordered_set<std::string_view> names;
  for (const TensorDeclaration& tensor : tensors_) {
    if (!names.insert(tensor.name).second) {
      return invalid_argument(fmt::format("tensor '{}' is declared twice", printable(tensor.name)));
    }
  }
  PARING_TRY(const std::vector<std::size_t> ends, plan());
  const std::string prefix =
      path_.ends_with(kEnding) ? path_.substr(0, path_.size() - kEnding.size()) : path_;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::string path = ends.size() == 1 ? path_ : split_path(prefix, i + 1, ends.size());
    PARING_TRY(GgufWriter writer, GgufWriter::create(path, overwrite_));
    writer.set_metadata(metadata_of(i, ends.size()));
    for (std::size_t t = begin; t < ends[i]; ++t) PARING_TRY_VOID(writer.declare(tensors_[t]));
    PARING_TRY_VOID(writer.begin());
    files_.push_back({path, std::move(writer), ends[i]});
    begin = ends[i];
  }
  return {};
}

Result<void> GgufSplitWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  PARING_CHECK(current_tensor_ < tensors_.size(), "append() after the last tensor");
  const TensorDeclaration& tensor = tensors_[current_tensor_];
  while (files_[current_file_].tensors_end <= current_tensor_) ++current_file_;
  PARING_TRY_VOID(files_[current_file_].writer.append(name, bytes));
  current_bytes_ += bytes.size();
  PARING_TRY(const std::uint64_t row_bytes, dtype_row_bytes(tensor.type, tensor.shape[0]));
  std::uint64_t whole = row_bytes;
  for (std::size_t i = 1; i < tensor.shape.size(); ++i) whole *= tensor.shape[i];
  if (current_bytes_ == whole) {
    ++current_tensor_;
    current_bytes_ = 0;
  }
  return {};
}

Result<void> GgufSplitWriter::commit() {
  for (std::size_t i = files_.size(); i > 0; --i) PARING_TRY_VOID(files_[i - 1].writer.commit());
  return {};
}

std::vector<std::string> GgufSplitWriter::paths() const {
  std::vector<std::string> paths;
  for (const File& file : files_) paths.push_back(file.path);
  return paths;
}

std::uint64_t GgufSplitWriter::file_bytes() const {
  std::uint64_t bytes = 0;
  for (const File& file : files_) bytes += file.writer.file_bytes();
  return bytes;
}

}  // namespace paring::io
