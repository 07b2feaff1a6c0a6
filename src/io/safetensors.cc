// SPDX-License-Identifier: Apache-2.0
#include "io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <unordered_set>

#include "io/detail/json_sax.h"
#include "io/file_kind.h"

namespace paring::io {

namespace {

constexpr const char* kDamagedHint = "the file is damaged or was written by a faulty tool";
constexpr const char* kCutHint =
    "was the download cut? compare the file's size with its source and fetch it again";

struct TypeRow {
  const char* name;
  std::uint64_t bits;
  std::optional<DType> type;
};

// Every type of the format; those without a DType are known by name only.
constexpr TypeRow kTypes[] = {
    {"F32", 32, DType::kF32},         {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},       {"F64", 64, std::nullopt},
    {"I64", 64, std::nullopt},        {"I32", 32, std::nullopt},
    {"I16", 16, std::nullopt},        {"I8", 8, std::nullopt},
    {"U64", 64, std::nullopt},        {"U32", 32, std::nullopt},
    {"U16", 16, std::nullopt},        {"U8", 8, std::nullopt},
    {"BOOL", 8, std::nullopt},        {"C64", 64, std::nullopt},
    {"F8_E4M3", 8, std::nullopt},     {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},     {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt},
    {"F6_E3M2", 6, std::nullopt},     {"F4", 4, std::nullopt},
};

const TypeRow* find_type(const std::string& name) noexcept {
  const auto* found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const TypeRow& row) { return name == row.name; });
  return found == std::end(kTypes) ? nullptr : found;
}

// Reads {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
// event by event, so that memory stays in proportion to the tensors.
class HeaderSax : public JsonSax {
 public:
  explicit HeaderSax(const std::string& source) : JsonSax(source) {}

  struct Entry {
    std::string name;
    std::string type_name;
    std::vector<std::uint64_t> shape;
    std::vector<std::uint64_t> offsets;
    bool has_type = false;
    bool has_shape = false;
    bool has_offsets = false;
  };
  std::vector<Entry> take() { return std::move(entries_); }

  bool null() override { return wrong("null"); }
  bool boolean(bool) override { return wrong("a boolean"); }
  bool number_integer(std::int64_t value) override { return wrong(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return wrong(printable(text)); }

  bool number_unsigned(std::uint64_t value) override {
    if (field_ == Field::kShape && depth() == 3) {
      if (entry().shape.size() == kSafetensorsDimensionsMax) {
        return fail(corrupt(fmt::format("{}: tensor '{}' has more than {} dimensions", source(),
                                        printable(entry().name), kSafetensorsDimensionsMax),
                            kDamagedHint));
      }
      entry().shape.push_back(value);
      return true;
    }
    if (field_ == Field::kOffsets && depth() == 3 && entry().offsets.size() < 2) {
      entry().offsets.push_back(value);
      return true;
    }
    return wrong(std::to_string(value));
  }

  bool string(std::string& value) override {
    if (is_metadata_ && depth() == 2) return true;
    if (field_ != Field::kType || depth() != 2) return wrong("a string");
    entry().type_name = std::move(value);
    entry().has_type = true;
    return true;
  }

  bool key(std::string& name) override {
    if (depth() == 1) return begin_tensor(name);
    if (is_metadata_) return true;
    if (name == "dtype" && !entry().has_type) {
      field_ = Field::kType;
    } else if (name == "shape" && !entry().has_shape) {
      field_ = Field::kShape;
    } else if (name == "data_offsets" && !entry().has_offsets) {
      field_ = Field::kOffsets;
    } else {
      return fail(corrupt(fmt::format("{}: tensor '{}' has the field '{}' twice or it is not one "
                                      "of dtype, shape, data_offsets",
                                      source(), printable(entry().name), printable(name)),
                          kDamagedHint));
    }
    return true;
  }

 protected:
  bool begin_object() override {
    return depth() <= 2 || wrong("an object");  // depth() counts this object already
  }
  bool finish_object() override {
    if (depth() != 1) return true;
    if (is_metadata_) {
      is_metadata_ = false;
      return true;
    }
    const Entry& done = entry();
    if (done.has_type && done.has_shape && done.has_offsets) return true;
    return fail(corrupt(fmt::format("{}: tensor '{}' lacks {}", source(), printable(done.name),
                                    !done.has_type    ? "dtype"
                                    : !done.has_shape ? "shape"
                                                      : "data_offsets"),
                        kDamagedHint));
  }
  bool begin_array() override {
    if (is_metadata_ || depth() != 3) return wrong("an array");
    if (field_ == Field::kShape && !entry().has_shape) return entry().has_shape = true;
    if (field_ == Field::kOffsets && !entry().has_offsets) return entry().has_offsets = true;
    return wrong("an array");
  }
  bool finish_array() override { return true; }

 private:
  enum class Field { kNone, kType, kShape, kOffsets };

  Entry& entry() { return entries_.back(); }

  bool begin_tensor(std::string& name) {
    field_ = Field::kNone;
    is_metadata_ = name == "__metadata__";
    if (!names_.insert(name).second) {
      return fail(corrupt(fmt::format("{}: tensor '{}' appears twice", source(), printable(name)),
                          kDamagedHint));
    }
    if (is_metadata_) return true;
    if (name.empty() || name.size() > kSafetensorsNameBytesMax) {
      return fail(corrupt(fmt::format("{}: a tensor's name has {} bytes, 1 to {} are allowed",
                                      source(), name.size(), kSafetensorsNameBytesMax),
                          kDamagedHint));
    }
    if (entries_.size() == kSafetensorsTensorsMax) {
      return fail(
          exhausted(fmt::format("{} has more than {} tensors", source(), kSafetensorsTensorsMax)));
    }
    entries_.emplace_back().name = std::move(name);
    return true;
  }

  bool wrong(const std::string& what) {
    if (depth() == 0) return no_object();
    if (is_metadata_) {
      return fail(corrupt(source() + ": '__metadata__' holds " + what + ", texts are needed",
                          kDamagedHint));
    }
    static constexpr const char* kFields[] = {"value", "dtype", "shape", "data_offsets"};
    return fail(
        corrupt(fmt::format("{}: tensor '{}' holds {} where it must not (in its {})", source(),
                            entries_.empty() ? "" : printable(entries_.back().name), what,
                            kFields[static_cast<std::size_t>(field_)]),
                kDamagedHint));
  }

  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;
  Field field_ = Field::kNone;
  bool is_metadata_ = false;
};

// Bytes of the data from its start; no value of the file is trusted before it is checked here.
Result<SafetensorsTensor> check_entry(HeaderSax::Entry&& entry, std::uint64_t data_bytes,
                                      const std::string& source) {
  const std::string who = fmt::format("{}: tensor '{}'", source, printable(entry.name));
  const TypeRow* type = find_type(entry.type_name);
  if (type == nullptr) {
    return unsupported(
        fmt::format("{} has the type '{}', which is not known", who, printable(entry.type_name)),
        "models in F32, F16 and BF16 can be read");
  }
  if (entry.offsets.size() != 2 || entry.offsets[0] > entry.offsets[1]) {
    return corrupt(who + " has data_offsets that are no range", kDamagedHint);
  }
  if (entry.offsets[1] > data_bytes) {
    return corrupt(fmt::format("{} ends at byte {} of the data, which has {} bytes", who,
                               entry.offsets[1], data_bytes),
                   kCutHint);
  }
  // 2^57 values of at most 64 bits: the product fits 64 bits.
  constexpr std::uint64_t kValuesMax = std::uint64_t{1} << 57;
  std::uint64_t values = 1;
  for (const std::uint64_t length : entry.shape) {
    if (length != 0 && values > kValuesMax / length) {
      return corrupt(fmt::format("{} has more than {} values", who, kValuesMax), kDamagedHint);
    }
    values *= length;
  }
  const std::uint64_t bits = values * type->bits;
  const std::uint64_t bytes = entry.offsets[1] - entry.offsets[0];
  if (bits % 8 != 0 || bits / 8 != bytes) {
    return corrupt(fmt::format("{} has {} bytes, its shape [{}] of {} needs {}", who, bytes,
                               fmt::join(entry.shape, ", "), type->name, (bits + 7) / 8),
                   kDamagedHint);
  }
  SafetensorsTensor tensor;
  tensor.name = std::move(entry.name);
  tensor.type_name = std::move(entry.type_name);
  tensor.type = type->type;
  tensor.shape = std::move(entry.shape);
  tensor.offset = entry.offsets[0];
  tensor.bytes = bytes;
  return tensor;
}

// Sorted by offset, each tensor begins where the one before ends, and the last ends the file.
Result<void> check_layout(const std::vector<SafetensorsTensor>& tensors, std::uint64_t data_bytes,
                          const std::string& source) {
  std::uint64_t end = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.offset != end) {
      return corrupt(
          fmt::format("{}: tensor '{}' begins at byte {} of the data, the one before ends at {}: "
                      "{} is not allowed",
                      source, printable(tensor.name), tensor.offset, end,
                      tensor.offset < end ? "an overlap" : "a hole"),
          kDamagedHint);
    }
    end += tensor.bytes;
  }
  if (end != data_bytes) {
    return corrupt(fmt::format("{}: the tensors end at byte {} of the data, which has {} bytes",
                               source, end, data_bytes),
                   kDamagedHint);
  }
  return {};
}

Result<SafetensorsHeader> parse(std::span<const std::byte> beginning, std::uint64_t file_bytes,
                                const std::string& source) {
  PARING_TRY(const std::uint64_t data_offset,
             safetensors_header_bytes(beginning, file_bytes, source));
  PARING_CHECK(data_offset <= beginning.size(), "the header is in memory");
  const std::string_view text(
      reinterpret_cast<const char*>(beginning.data()) + kSafetensorsLengthBytes,
      data_offset - kSafetensorsLengthBytes);
  if (text.empty() || text.front() != '{') {
    return corrupt(source + " is no safetensors file: its header is no JSON object", kDamagedHint);
  }
  HeaderSax sax(source);
  PARING_TRY_VOID(sax.parse(text, kSafetensorsHeaderBytesMax));
  const std::uint64_t data_bytes = file_bytes - data_offset;
  SafetensorsHeader header;
  for (HeaderSax::Entry& entry : sax.take()) {
    PARING_TRY(SafetensorsTensor tensor, check_entry(std::move(entry), data_bytes, source));
    header.tensors.push_back(std::move(tensor));
  }
  // Tensors without values may share an offset; the order of their ends is then that of offsets.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
              return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
            });
  PARING_TRY_VOID(check_layout(header.tensors, data_bytes, source));
  for (SafetensorsTensor& tensor : header.tensors) tensor.offset += data_offset;
  return header;
}

}  // namespace

Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> beginning,
                                               std::uint64_t file_bytes,
                                               const std::string& source) {
  if (file_bytes < kSafetensorsLengthBytes + 2) {
    return corrupt(
        fmt::format("{} has {} bytes, no safetensors file is so short", source, file_bytes),
        kCutHint);
  }
  std::uint64_t length = 0;
  std::memcpy(&length, beginning.data(), sizeof(length));
  if (length > kSafetensorsHeaderBytesMax) {
    const FileKind kind = recognise_file(beginning);
    return corrupt(fmt::format("{} is no safetensors file: its header would have {} bytes, the "
                               "limit is {}; it is {}",
                               source, length, kSafetensorsHeaderBytesMax, kind.name),
                   kind.hint);
  }
  if (length > file_bytes - kSafetensorsLengthBytes) {
    return corrupt(
        fmt::format("{}: its header has {} bytes, the whole file {}", source, length, file_bytes),
        kCutHint);
  }
  return kSafetensorsLengthBytes + length;
}

Result<SafetensorsHeader> parse_safetensors_beginning(std::span<const std::byte> beginning,
                                                      std::uint64_t file_bytes,
                                                      const std::string& source) {
  try {
    return parse(beginning, file_bytes, source);
  } catch (const std::bad_alloc&) {
    return exhausted(source + ": not enough memory for the header of this file", "free memory");
  }
}

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file,
                                            const std::string& source) {
  return parse_safetensors_beginning(file, file.size(), source);
}

std::optional<std::uint64_t> safetensors_type_bits(const std::string& type_name) noexcept {
  const TypeRow* row = find_type(type_name);
  return row == nullptr ? std::nullopt : std::optional<std::uint64_t>(row->bits);
}

const char* safetensors_type_name(DType type) noexcept {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return row.name;
  }
  return nullptr;
}

}  // namespace paring::io
