// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_writer.h"

#include <fmt/format.h>

#include <bit>
#include <limits>
#include <utility>

#include "io/gguf.h"
#include "io/printable.h"

namespace paring::io {

namespace {

constexpr std::uint32_t kVersion = 3;

// Collects bytes, or only counts them: one description of the layout for both uses.
class Sink {
 public:
  explicit Sink(std::string* target) : target_(target) {}
  std::uint64_t bytes() const { return bytes_; }

  void raw(const void* data, std::size_t size) {
    if (target_ != nullptr) target_->append(static_cast<const char*>(data), size);
    bytes_ += size;
  }
  template <typename T>
  void number(T value) {
    raw(&value, sizeof(value));
  }
  void text(std::string_view value) {
    number(std::uint64_t{value.size()});
    raw(value.data(), value.size());
  }
  void pad_to(std::uint64_t alignment) {
    const std::uint64_t more = (alignment - bytes_ % alignment) % alignment;
    if (target_ != nullptr) target_->append(more, '\0');
    bytes_ += more;
  }

 private:
  std::string* target_;
  std::uint64_t bytes_ = 0;
};

// Kept numbers are of the widest type; `type` says how the file holds them.
template <typename T>
void put_scalar(Sink& sink, GgufValueType type, T value) {
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kBool:
      return sink.number(static_cast<std::uint8_t>(value));
    case GgufValueType::kI8:
      return sink.number(static_cast<std::int8_t>(value));
    case GgufValueType::kU16:
      return sink.number(static_cast<std::uint16_t>(value));
    case GgufValueType::kI16:
      return sink.number(static_cast<std::int16_t>(value));
    case GgufValueType::kU32:
      return sink.number(static_cast<std::uint32_t>(value));
    case GgufValueType::kI32:
      return sink.number(static_cast<std::int32_t>(value));
    case GgufValueType::kU64:
      return sink.number(static_cast<std::uint64_t>(value));
    case GgufValueType::kI64:
      return sink.number(static_cast<std::int64_t>(value));
    case GgufValueType::kF32:
      return sink.number(static_cast<float>(value));
    case GgufValueType::kF64:
      return sink.number(static_cast<double>(value));
    case GgufValueType::kString:
    case GgufValueType::kArray:
      break;
  }
  PARING_CHECK(false, "a number in a GgufValue whose type is no number");
}

void put_array(Sink& sink, const GgufArray& array) {
  sink.number(static_cast<std::uint32_t>(array.element));
  sink.number(std::uint64_t{array.size()});
  std::visit(
      [&](const auto& list) {
        for (const auto& item : list) {
          using Item = std::decay_t<decltype(item)>;
          if constexpr (std::is_same_v<Item, std::string>) {
            sink.text(item);
          } else if constexpr (std::is_same_v<Item, GgufArray>) {
            put_array(sink, item);
          } else {
            put_scalar(sink, array.element, item);
          }
        }
      },
      array.items);
}

void put_value(Sink& sink, const GgufValue& value) {
  sink.number(static_cast<std::uint32_t>(value.type));
  std::visit(
      [&](const auto& data) {
        using Data = std::decay_t<decltype(data)>;
        if constexpr (std::is_same_v<Data, std::string>) {
          sink.text(data);
        } else if constexpr (std::is_same_v<Data, GgufArray>) {
          put_array(sink, data);
        } else {
          put_scalar(sink, value.type, data);
        }
      },
      value.data);
}

Result<std::uint64_t> alignment_of(const Metadata& metadata) {
  auto alignment = metadata.u64_or("general.alignment", kGgufAlignmentDefault);
  if (!alignment || !std::has_single_bit(*alignment) || *alignment < kGgufAlignmentMin ||
      *alignment > kGgufAlignmentMax) {
    return invalid_argument(
        fmt::format("metadata key 'general.alignment' must be a power of two from {} to {}",
                    kGgufAlignmentMin, kGgufAlignmentMax),
        "leave the key out for the usual 32");
  }
  return *alignment;
}

Result<std::uint64_t> declared_bytes(const TensorDeclaration& tensor) {
  const std::string name = printable(tensor.name);
  if (tensor.name.empty() || tensor.name.size() > kGgufWrittenNameBytesMax) {
    return invalid_argument(fmt::format("tensor name '{}' has {} bytes, 1 to {} are allowed", name,
                                        tensor.name.size(), kGgufWrittenNameBytesMax));
  }
  if (tensor.shape.empty() || tensor.shape.size() > kGgufDimensionsMax) {
    return invalid_argument(fmt::format("tensor '{}' has {} dimensions, 1 to {} are allowed", name,
                                        tensor.shape.size(), kGgufDimensionsMax));
  }
  constexpr std::uint64_t kValuesMax = std::uint64_t{1} << 60;  // the reader's bound as well
  std::uint64_t rows = 1;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    const std::uint64_t length = tensor.shape[i];
    if (length == 0 || length > kValuesMax / rows / (i == 0 ? 1 : tensor.shape[0])) {
      return invalid_argument(
          fmt::format("tensor '{}' has dimension {} of length {}", name, i, length),
          "a dimension is 0 or the tensor is larger than any file");
    }
    if (i > 0) rows *= length;
  }
  auto row_bytes = dtype_row_bytes(tensor.type, tensor.shape[0]);
  if (!row_bytes) return std::move(row_bytes.error()).with_context("tensor '" + name + "'");
  return *row_bytes * rows;
}

std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

void put_header(Sink& sink, const Metadata& metadata, std::span<const TensorDeclaration> tensors,
                std::span<const std::uint64_t> tensor_bytes, std::uint64_t alignment) {
  sink.raw("GGUF", 4);
  sink.number(kVersion);
  sink.number(std::uint64_t{tensors.size()});
  sink.number(std::uint64_t{metadata.size()});
  for (const auto& [key, value] : metadata.entries()) {
    sink.text(key);
    put_value(sink, value);
  }
  std::uint64_t offset = 0;  // from the start of the data
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    sink.text(tensors[i].name);
    sink.number(static_cast<std::uint32_t>(tensors[i].shape.size()));
    for (const std::uint64_t length : tensors[i].shape) sink.number(length);
    sink.number(static_cast<std::uint32_t>(tensors[i].type));
    sink.number(offset);
    offset += align_up(tensor_bytes[i], alignment);
  }
  sink.pad_to(alignment);
}

Result<std::vector<std::uint64_t>> sizes_of(std::span<const TensorDeclaration> tensors) {
  std::vector<std::uint64_t> bytes;
  bytes.reserve(tensors.size());
  std::uint64_t total = 0;
  for (const TensorDeclaration& tensor : tensors) {
    PARING_TRY(const std::uint64_t size, declared_bytes(tensor));
    constexpr std::uint64_t kTotalMax = std::uint64_t{1} << 62;  // far below any overflow
    if (size > kTotalMax - total) {
      return invalid_argument(fmt::format("the tensors up to '{}' have more than {} bytes",
                                          printable(tensor.name), kTotalMax));
    }
    total += size + kGgufAlignmentMax;
    bytes.push_back(size);
  }
  return bytes;
}

// The last tensor is padded too, as ggml's own writer does.
std::uint64_t data_bytes(std::span<const std::uint64_t> tensor_bytes, std::uint64_t alignment) {
  std::uint64_t total = 0;
  for (const std::uint64_t bytes : tensor_bytes) total += align_up(bytes, alignment);
  return total;
}

}  // namespace

Result<std::uint64_t> gguf_file_bytes(const Metadata& metadata,
                                      std::span<const TensorDeclaration> tensors) {
  PARING_TRY(const std::uint64_t alignment, alignment_of(metadata));
  PARING_TRY(const std::vector<std::uint64_t> bytes, sizes_of(tensors));
  Sink counter(nullptr);
  put_header(counter, metadata, tensors, bytes, alignment);
  return counter.bytes() + data_bytes(bytes, alignment);
}

Result<GgufWriter> GgufWriter::create(const std::string& path, Overwrite overwrite) {
  PARING_TRY(AtomicFile file, AtomicFile::create(path, overwrite));
  return GgufWriter(std::move(file));
}

void GgufWriter::set_metadata(Metadata metadata) {
  PARING_CHECK(!is_begun_, "set_metadata() after begin()");
  metadata_ = std::move(metadata);
}

Result<void> GgufWriter::declare(TensorDeclaration tensor) {
  PARING_CHECK(!is_begun_, "declare() after begin()");
  PARING_TRY([[maybe_unused]] const std::uint64_t bytes, declared_bytes(tensor));
  if (!names_.insert(tensor.name).second) {
    return invalid_argument(fmt::format("tensor '{}' is declared twice", printable(tensor.name)));
  }
  tensors_.push_back(std::move(tensor));
  return {};
}

Result<void> GgufWriter::begin() {
  PARING_CHECK(!is_begun_, "begin() twice");
  PARING_TRY(alignment_, alignment_of(metadata_));
  PARING_TRY(tensor_bytes_, sizes_of(tensors_));
  std::string header;
  Sink sink(&header);
  put_header(sink, metadata_, tensors_, tensor_bytes_, alignment_);
  file_bytes_ = header.size() + data_bytes(tensor_bytes_, alignment_);
  PARING_TRY_VOID(file_.reserve(file_bytes_));
  PARING_TRY_VOID(file_.write(header));
  is_begun_ = true;
  return {};
}

Result<void> GgufWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  PARING_CHECK(is_begun_ && current_ < tensors_.size() && tensors_[current_].name == name,
               "append() to a tensor that is not the next one");
  PARING_CHECK(bytes.size() <= tensor_bytes_[current_] - current_bytes_,
               "append() past the end of a tensor");
  PARING_TRY_VOID(file_.write(bytes));
  current_bytes_ += bytes.size();
  if (current_bytes_ < tensor_bytes_[current_]) return {};
  ++current_;
  current_bytes_ = 0;
  return pad();
}

Result<void> GgufWriter::pad() {
  static constexpr std::byte kZeros[64] = {};
  std::uint64_t more = align_up(file_.bytes_written(), alignment_) - file_.bytes_written();
  while (more > 0) {
    const std::uint64_t piece = std::min<std::uint64_t>(more, sizeof(kZeros));
    PARING_TRY_VOID(file_.write(std::span(kZeros).first(piece)));
    more -= piece;
  }
  return {};
}

Result<void> GgufWriter::commit() {
  PARING_CHECK(is_begun_ && current_ == tensors_.size(), "commit() before every tensor is whole");
  PARING_CHECK(file_.bytes_written() == file_bytes_, "the file's size differs from its plan");
  return file_.commit();
}

}  // namespace paring::io
