// SPDX-License-Identifier: Apache-2.0
// The GGUF header: magic, counts, metadata, tensor table, then padding up to the data. One pass
// with a cursor that never reads past the end; the layout of the data is checked when the table is
// whole.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <unordered_set>

#include "io/file_kind.h"
#include "io/gguf.h"
#include "io/printable.h"

namespace paring::io {

namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie");

constexpr const char* kCutHint =
    "was the download cut? compare the file's size with its source and fetch it again";
constexpr const char* kDamagedHint = "the file is damaged or was written by a faulty tool";

// Smallest encodings: a key of one byte with a one-byte value; a tensor of one-byte name and one
// dimension. Counts above bytes left / smallest cannot be true.
constexpr std::uint64_t kKeyEntryBytesMin = 8 + 1 + 4 + 1;
constexpr std::uint64_t kTensorEntryBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

// Reads little-endian fields; `field` in errors says what was being read.
class Cursor {
 public:
  // `beginning` of a file of `file_bytes` bytes.
  Cursor(std::span<const std::byte> beginning, std::uint64_t file_bytes, const std::string& source)
      : file_(beginning.first(std::min<std::size_t>(beginning.size(), kGgufHeaderBytesMax))),
        beginning_bytes_(beginning.size()),
        file_bytes_(file_bytes),
        source_(source) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return file_.size() - position_; }
  const std::string& source() const { return source_; }
  // Whether the file may hold what the beginning of it lacked.
  bool wants_more() const { return wants_more_; }

  // False when fewer than `bytes` are left.
  bool take(void* target, std::uint64_t bytes) {
    if (bytes > left()) return false;
    if (bytes != 0) std::memcpy(target, file_.data() + position_, bytes);
    position_ += bytes;
    return true;
  }
  const std::byte* here() const { return file_.data() + position_; }
  void skip(std::uint64_t bytes) { position_ += bytes; }

  template <typename T>
  Result<T> read(std::string_view field) {
    T value{};
    if (!take(&value, sizeof(T))) return end_of_file(field, sizeof(T));
    return value;
  }

  // A length-prefixed string of at most `limit` bytes.
  Result<std::string> read_string(std::string_view field, std::uint64_t limit) {
    PARING_TRY(const std::uint64_t length, read<std::uint64_t>(field));
    if (length > limit) {
      return corrupt(
          fmt::format("{}: {} is {} bytes long, the limit is {}", source_, field, length, limit),
          kDamagedHint);
    }
    if (length > left()) return end_of_file(field, length);
    std::string text(reinterpret_cast<const char*>(here()), length);
    position_ += length;
    return text;
  }

  // Counts memory that a value is about to take.
  Result<void> keep(std::string_view field, std::uint64_t count, std::uint64_t bytes_each) {
    kept_bytes_ += count * bytes_each;  // below 2^24 * 2^16: no overflow
    if (kept_bytes_ <= kGgufMetadataMemoryMax) return {};
    return corrupt(fmt::format("{}: {} has {} items, with which the metadata takes {} bytes of "
                               "memory, the limit is {}",
                               source_, field, count, kept_bytes_, kGgufMetadataMemoryMax),
                   kDamagedHint);
  }

  Error end_of_file(std::string_view field, std::uint64_t bytes) {
    // Behind a limit there is nothing to be wanted.
    const bool is_in_file = bytes <= file_bytes_ - position_;
    wants_more_ = is_in_file && file_.size() == beginning_bytes_;
    if (is_in_file) {
      return corrupt(fmt::format("{}: the header does not end within the limit of {} bytes (at {})",
                                 source_, kGgufHeaderBytesMax, field),
                     kDamagedHint);
    }
    return corrupt(fmt::format("{}: the file ends inside {}: {} bytes needed at byte {}, the file "
                               "has {} bytes",
                               source_, field, bytes, position_, file_bytes_),
                   kCutHint);
  }

 private:
  std::span<const std::byte> file_;
  std::uint64_t beginning_bytes_;
  std::uint64_t file_bytes_;
  const std::string& source_;
  std::uint64_t position_ = 0;
  bool wants_more_ = false;
  std::uint64_t kept_bytes_ = 0;
};

// 0 for strings and arrays.
std::uint64_t scalar_bytes(GgufValueType type) {
  //                                 u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64
  constexpr std::uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kBytes[static_cast<std::size_t>(type)];
}

template <typename Stored, typename Kept>
std::vector<Kept> widen_items(const std::byte* source, std::uint64_t count) {
  std::vector<Kept> items(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    Stored item;
    std::memcpy(&item, source + i * sizeof(Stored), sizeof(Stored));
    items[i] = static_cast<Kept>(item);
  }
  return items;
}

// `count` scalars at `source`, which holds them all. Sets `items` and nothing else.
void read_scalars(GgufArray& array, const std::byte* source, std::uint64_t count) {
  using U = std::uint64_t;
  using I = std::int64_t;
  switch (array.element) {
    case GgufValueType::kU8:
    case GgufValueType::kBool:
      array.items = widen_items<std::uint8_t, U>(source, count);
      return;
    case GgufValueType::kI8:
      array.items = widen_items<std::int8_t, I>(source, count);
      return;
    case GgufValueType::kU16:
      array.items = widen_items<std::uint16_t, U>(source, count);
      return;
    case GgufValueType::kI16:
      array.items = widen_items<std::int16_t, I>(source, count);
      return;
    case GgufValueType::kU32:
      array.items = widen_items<std::uint32_t, U>(source, count);
      return;
    case GgufValueType::kI32:
      array.items = widen_items<std::int32_t, I>(source, count);
      return;
    case GgufValueType::kU64:
      array.items = widen_items<std::uint64_t, U>(source, count);
      return;
    case GgufValueType::kI64:
      array.items = widen_items<std::int64_t, I>(source, count);
      return;
    case GgufValueType::kF32:
      array.items = widen_items<float, double>(source, count);
      return;
    case GgufValueType::kF64:
      array.items = widen_items<double, double>(source, count);
      return;
    case GgufValueType::kString:
    case GgufValueType::kArray:
      return;
  }
}

Result<GgufValueType> read_type(Cursor& cursor, std::string_view field) {
  PARING_TRY(const std::uint32_t id, cursor.read<std::uint32_t>(field));
  if (id > static_cast<std::uint32_t>(GgufValueType::kF64)) {
    return corrupt(fmt::format("{}: {} has value type {}, the last known is {}", cursor.source(),
                               field, id, static_cast<std::uint32_t>(GgufValueType::kF64)),
                   kDamagedHint);
  }
  return static_cast<GgufValueType>(id);
}

Error too_many(const Cursor& cursor, std::string_view field, std::uint64_t count,
               std::uint64_t limit, std::string_view of) {
  return corrupt(
      fmt::format("{}: {} has {} {}, the limit is {}", cursor.source(), field, count, of, limit),
      kDamagedHint);
}

Result<void> check_bools(const Cursor& cursor, std::string_view field, const GgufArray& array) {
  if (array.element != GgufValueType::kBool) return {};
  for (const std::uint64_t item : std::get<std::vector<std::uint64_t>>(array.items)) {
    if (item > 1) {
      return corrupt(fmt::format("{}: {} has a bool of value {}, 0 or 1 is needed", cursor.source(),
                                 field, item),
                     kDamagedHint);
    }
  }
  return {};
}

Result<GgufArray> read_array(Cursor& cursor, std::string_view field, std::uint64_t depth) {
  if (depth > kGgufArrayDepthMax) {
    return corrupt(fmt::format("{}: {} has arrays in arrays {} deep, the limit is {}",
                               cursor.source(), field, depth, kGgufArrayDepthMax),
                   kDamagedHint);
  }
  GgufArray array;
  PARING_TRY(array.element, read_type(cursor, field));
  PARING_TRY(const std::uint64_t count, cursor.read<std::uint64_t>(field));
  if (count > kGgufArrayItemsMax) {
    return too_many(cursor, field, count, kGgufArrayItemsMax, "items");
  }
  const std::uint64_t item_bytes = scalar_bytes(array.element);
  if (item_bytes != 0) {
    if (count * item_bytes > cursor.left()) return cursor.end_of_file(field, count * item_bytes);
    PARING_TRY_VOID(cursor.keep(field, count, sizeof(std::uint64_t)));
    read_scalars(array, cursor.here(), count);
    cursor.skip(count * item_bytes);
    PARING_TRY_VOID(check_bools(cursor, field, array));
    return array;
  }
  // A string needs its length, an array its type and count.
  const std::uint64_t bytes_min = array.element == GgufValueType::kString ? 8 : 12;
  if (count * bytes_min > cursor.left()) return cursor.end_of_file(field, count * bytes_min);
  if (array.element == GgufValueType::kString) {
    PARING_TRY_VOID(cursor.keep(field, count, sizeof(std::string)));
    std::vector<std::string> items;
    items.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      PARING_TRY(std::string item, cursor.read_string(field, kGgufStringBytesMax));
      items.push_back(std::move(item));
    }
    array.items = std::move(items);
    return array;
  }
  PARING_TRY_VOID(cursor.keep(field, count, sizeof(GgufArray)));
  std::vector<GgufArray> items;
  items.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    PARING_TRY(GgufArray item, read_array(cursor, field, depth + 1));
    items.push_back(std::move(item));
  }
  array.items = std::move(items);
  return array;
}

Result<GgufValue> read_value(Cursor& cursor, std::string_view field) {
  GgufValue value;
  PARING_TRY(value.type, read_type(cursor, field));
  if (value.type == GgufValueType::kString) {
    PARING_TRY(value.data, cursor.read_string(field, kGgufStringBytesMax));
    return value;
  }
  if (value.type == GgufValueType::kArray) {
    PARING_TRY(value.data, read_array(cursor, field, 1));
    return value;
  }
  // A scalar is read as an array of one.
  GgufArray one{value.type, {}};
  const std::uint64_t bytes = scalar_bytes(value.type);
  if (bytes > cursor.left()) return cursor.end_of_file(field, bytes);
  read_scalars(one, cursor.here(), 1);
  cursor.skip(bytes);
  PARING_TRY_VOID(check_bools(cursor, field, one));
  if (const auto* u = std::get_if<std::vector<std::uint64_t>>(&one.items)) value.data = u->front();
  if (const auto* i = std::get_if<std::vector<std::int64_t>>(&one.items)) value.data = i->front();
  if (const auto* f = std::get_if<std::vector<double>>(&one.items)) value.data = f->front();
  return value;
}

Result<void> read_metadata(Cursor& cursor, std::uint64_t count, Metadata& metadata) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string where = fmt::format("metadata key {} of {}", i + 1, count);
    PARING_TRY(const std::string key, cursor.read_string(where, kGgufKeyBytesMax));
    if (key.empty()) return corrupt(cursor.source() + ": " + where + " is empty", kDamagedHint);
    const std::string field = fmt::format("metadata key '{}'", printable(key));
    if (metadata.has(key)) {
      return corrupt(fmt::format("{}: {} appears twice", cursor.source(), field), kDamagedHint);
    }
    Result<GgufValue> value = read_value(cursor, field);
    if (!value) return std::move(value.error());
    metadata.set(key, std::move(*value));
  }
  return {};
}

Result<std::uint64_t> read_alignment(const Metadata& metadata) {
  PARING_TRY(const std::uint64_t alignment,
             metadata.u64_or("general.alignment", kGgufAlignmentDefault));
  if (!std::has_single_bit(alignment) || alignment < kGgufAlignmentMin ||
      alignment > kGgufAlignmentMax) {
    return corrupt(fmt::format("{}: metadata key 'general.alignment' is {}, a power of two from {} "
                               "to {} is needed",
                               metadata.source(), alignment, kGgufAlignmentMin, kGgufAlignmentMax),
                   kDamagedHint);
  }
  return alignment;
}

// The dimensions of one tensor and, from them, its bytes.
Result<void> read_shape(Cursor& cursor, const std::string& field, TensorInfo& tensor) {
  PARING_TRY(const std::uint32_t dimensions, cursor.read<std::uint32_t>(field));
  if (dimensions == 0 || dimensions > kGgufDimensionsMax) {
    return corrupt(fmt::format("{}: {} has {} dimensions, 1 to {} are allowed", cursor.source(),
                               field, dimensions, kGgufDimensionsMax),
                   kDamagedHint);
  }
  std::uint64_t values = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    PARING_TRY(const std::uint64_t length, cursor.read<std::uint64_t>(field));
    if (length == 0) {
      return corrupt(fmt::format("{}: {} has dimension {} of length 0", cursor.source(), field, i),
                     kDamagedHint);
    }
    // 2^60 values of at most 8 bytes: no later product can overflow.
    constexpr std::uint64_t kValuesMax = std::uint64_t{1} << 60;
    if (length > kValuesMax / values) {
      return corrupt(fmt::format("{}: {} has dimension {} of length {}, more than {} values in all",
                                 cursor.source(), field, i, length, kValuesMax),
                     kDamagedHint);
    }
    values *= length;
    tensor.shape.push_back(length);
  }
  return {};
}

Result<TensorInfo> read_tensor(Cursor& cursor, std::uint64_t index, std::uint64_t count,
                               std::uint64_t alignment) {
  TensorInfo tensor;
  PARING_TRY(tensor.name,
             cursor.read_string(fmt::format("name of tensor {} of {}", index + 1, count),
                                kGgufTensorNameBytesMax));
  if (tensor.name.empty()) {
    return corrupt(
        fmt::format("{}: tensor {} of {} has no name", cursor.source(), index + 1, count),
        kDamagedHint);
  }
  const std::string field = fmt::format("tensor '{}'", printable(tensor.name));
  PARING_TRY_VOID(read_shape(cursor, field, tensor));
  PARING_TRY(const std::uint32_t id, cursor.read<std::uint32_t>(field));
  const auto type = dtype_from_id(id);
  if (!type) {
    return unsupported(
        fmt::format("{}: {} has type id {}, which is not known here", cursor.source(), field, id),
        "a newer or private format; get the model in Q8_0, F16 or another common type");
  }
  tensor.type = *type;
  auto row_bytes = dtype_row_bytes(tensor.type, tensor.columns());
  if (!row_bytes) {
    return corrupt(fmt::format("{}: {}: {}", cursor.source(), field, row_bytes.error().message),
                   kDamagedHint);
  }
  tensor.bytes = *row_bytes * tensor.rows();
  PARING_TRY(tensor.offset, cursor.read<std::uint64_t>(field));
  if (tensor.offset % alignment != 0) {
    return corrupt(fmt::format("{}: {} has offset {}, not a multiple of the alignment {}",
                               cursor.source(), field, tensor.offset, alignment),
                   kDamagedHint);
  }
  return tensor;
}

// Makes offsets absolute; every tensor must lie in the file and share no byte with another.
Result<void> place_tensors(GgufHeader& header, std::uint64_t file_bytes,
                           const std::string& source) {
  for (TensorInfo& tensor : header.tensors) {
    const std::uint64_t room =
        file_bytes < header.data_offset ? 0 : file_bytes - header.data_offset;
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      // In double: the sum of hostile offsets may not fit 64 bits.
      const double end = static_cast<double>(header.data_offset) +
                         static_cast<double>(tensor.offset) + static_cast<double>(tensor.bytes);
      return corrupt(fmt::format("{}: tensor '{}' ends at byte {:.0f}, the file has {} bytes",
                                 source, printable(tensor.name), end, file_bytes),
                     kCutHint);
    }
    tensor.offset += header.data_offset;
  }
  std::vector<std::size_t> order(header.tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return header.tensors[a].offset < header.tensors[b].offset;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const TensorInfo& before = header.tensors[order[i - 1]];
    const TensorInfo& after = header.tensors[order[i]];
    if (before.offset + before.bytes > after.offset) {
      return corrupt(fmt::format("{}: tensor '{}' at byte {} begins before tensor '{}' ends at "
                                 "byte {}",
                                 source, printable(after.name), after.offset,
                                 printable(before.name), before.offset + before.bytes),
                     kDamagedHint);
    }
  }
  return {};
}

Result<std::uint32_t> read_version(Cursor& cursor) {
  PARING_TRY(const std::uint32_t version, cursor.read<std::uint32_t>("the version"));
  if ((version & 0xffffU) == 0 && version != 0) {
    return unsupported(fmt::format("{}: a big-endian GGUF file", cursor.source()),
                       "only little-endian files can be read; convert the model again");
  }
  if (version == 1) {
    return unsupported(
        fmt::format("{}: GGUF version 1, versions 2 and 3 can be read", cursor.source()),
        "convert the model again with a current converter");
  }
  if (version != 2 && version != 3) {
    return unsupported(
        fmt::format("{}: GGUF version {}, versions 2 and 3 can be read", cursor.source(), version),
        "the file is damaged or newer than this program");
  }
  return version;
}

// Fields of the format itself are checked against both the limit and the bytes left.
Result<std::uint64_t> read_count(Cursor& cursor, std::string_view field, std::uint64_t limit) {
  PARING_TRY(const std::uint64_t count, cursor.read<std::uint64_t>(field));
  if (count > limit) {
    return corrupt(
        fmt::format("{}: {} is {}, the limit is {}", cursor.source(), field, count, limit),
        kDamagedHint);
  }
  return count;
}

Result<GgufHeader> parse_header(Cursor& cursor, std::span<const std::byte> beginning,
                                std::uint64_t file_bytes) {
  const std::string& source = cursor.source();
  char magic[4] = {};
  if (!cursor.take(magic, sizeof(magic)) || std::memcmp(magic, "GGUF", sizeof(magic)) != 0) {
    FileKind kind = recognise_file(beginning);
    return corrupt(fmt::format("{} is no GGUF file: it is {}", source, kind.name),
                   std::move(kind.hint));
  }
  GgufHeader header;
  header.metadata.set_source(source);
  PARING_TRY(header.version, read_version(cursor));
  PARING_TRY(const std::uint64_t tensors,
             read_count(cursor, "the number of tensors", kGgufTensorsMax));
  PARING_TRY(const std::uint64_t keys,
             read_count(cursor, "the number of metadata keys", kGgufKeysMax));
  if (keys * kKeyEntryBytesMin + tensors * kTensorEntryBytesMin > cursor.left()) {
    return cursor.end_of_file(
        fmt::format("the table of {} metadata keys and {} tensors", keys, tensors),
        keys * kKeyEntryBytesMin + tensors * kTensorEntryBytesMin);
  }
  PARING_TRY_VOID(read_metadata(cursor, keys, header.metadata));
  PARING_TRY(header.alignment, read_alignment(header.metadata));
  std::unordered_set<std::string> names;
  header.tensors.reserve(tensors);
  for (std::uint64_t i = 0; i < tensors; ++i) {
    PARING_TRY(TensorInfo tensor, read_tensor(cursor, i, tensors, header.alignment));
    if (!names.insert(tensor.name).second) {
      return corrupt(fmt::format("{}: tensor '{}' appears twice", source, printable(tensor.name)),
                     kDamagedHint);
    }
    header.tensors.push_back(std::move(tensor));
  }
  header.data_offset = (cursor.position() + header.alignment - 1) & ~(header.alignment - 1);
  PARING_TRY_VOID(place_tensors(header, file_bytes, source));
  return header;
}

}  // namespace

Result<std::optional<GgufHeader>> parse_gguf_beginning(std::span<const std::byte> beginning,
                                                       std::uint64_t file_bytes,
                                                       const std::string& source) {
  try {
    Cursor cursor(beginning, file_bytes, source);
    Result<GgufHeader> header = parse_header(cursor, beginning, file_bytes);
    if (header) return std::optional(std::move(*header));
    if (cursor.wants_more()) return std::optional<GgufHeader>();
    return std::move(header.error());
  } catch (const std::bad_alloc&) {
    return exhausted(fmt::format("{}: not enough memory for the header of this file", source),
                     "free memory, or raise the process's limit");
  }
}

Result<GgufHeader> parse_gguf(std::span<const std::byte> file, const std::string& source) {
  PARING_TRY(std::optional<GgufHeader> header, parse_gguf_beginning(file, file.size(), source));
  PARING_CHECK(header.has_value(), "a whole file has no more");
  return std::move(*header);
}

}  // namespace paring::io
