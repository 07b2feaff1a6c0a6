// SPDX-License-Identifier: Apache-2.0
#include "io/imatrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <unordered_map>
#include <unordered_set>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "io/mapped_file.h"
#include "io/printable.h"

namespace paring::io {

namespace {

constexpr const char* kHint = "the file is damaged, or is no importance matrix of llama.cpp";
constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

Error wrong(const std::string& source, std::string_view name, const std::string& what) {
  return corrupt(fmt::format("{}: entry '{}' {}", source, printable(name), what), kHint);
}

// Turns sums over `entry.counts` into means, in place.
Result<void> check_entry(ImatrixEntry& entry, const std::string& source) {
  double most = 0;
  for (const double count : entry.counts) {
    if (!std::isfinite(count) || count < 0) {
      return wrong(source, entry.name, fmt::format("averages over {:g} tokens", count));
    }
    most = std::max(most, count);
  }
  if (most == 0) return wrong(source, entry.name, "averages over 0 tokens");
  if (entry.mean_squares.empty()) return wrong(source, entry.name, "has no columns");
  const std::size_t columns = entry.mean_squares.size() / entry.counts.size();
  for (std::size_t i = 0; i < entry.mean_squares.size(); ++i) {
    const double count = entry.counts[i / columns];
    float& value = entry.mean_squares[i];
    value = count == 0 ? 0.0F : static_cast<float>(static_cast<double>(value) / count);
    if (!std::isfinite(value) || value < 0) {
      return wrong(
          source, entry.name,
          fmt::format("holds {:g}; finite numbers that are not negative are needed", value));
    }
  }
  return {};
}

std::vector<float> floats_of(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// ---- GGUF ----

Result<Imatrix> parse_gguf_imatrix(std::span<const std::byte> file, const std::string& source) {
  PARING_TRY(const GgufHeader header, parse_gguf(file, source));
  const Metadata& metadata = header.metadata;
  PARING_TRY(const std::string type, metadata.string_or("general.type", "model"));
  if (type != "imatrix") {
    return corrupt(
        fmt::format("{}: 'general.type' is '{}', 'imatrix' is needed", source, printable(type)),
        "this is a model; name an importance matrix, or leave the option out");
  }
  Imatrix imatrix;
  PARING_TRY(imatrix.chunk_count, metadata.u64_or("imatrix.chunk_count", 0));
  PARING_TRY(imatrix.chunk_tokens, metadata.u64_or("imatrix.chunk_size", 0));
  if (metadata.has("imatrix.datasets")) {
    PARING_TRY(const auto datasets, metadata.strings("imatrix.datasets"));
    imatrix.datasets.assign(datasets.begin(), datasets.end());
  }
  std::unordered_map<std::string_view, const TensorInfo*> by_name;
  for (const TensorInfo& tensor : header.tensors) by_name.emplace(tensor.name, &tensor);
  for (const TensorInfo& sums : header.tensors) {
    if (sums.name.ends_with(kCounts)) continue;
    if (!sums.name.ends_with(kSums)) {
      return wrong(source, sums.name, "is neither sums (.in_sum2) nor counts (.counts)");
    }
    ImatrixEntry entry;
    entry.name = sums.name.substr(0, sums.name.size() - kSums.size());
    const auto counts = by_name.find(entry.name + std::string(kCounts));
    if (counts == by_name.end()) return wrong(source, entry.name, "has sums but no counts");
    if (sums.type != DType::kF32 || counts->second->type != DType::kF32) {
      return wrong(source, entry.name, "is not of type F32");
    }
    if (sums.rows() == 0 || sums.rows() != counts->second->values()) {
      return wrong(source, entry.name,
                   fmt::format("has sums of {} matrices and counts of {}", sums.rows(),
                               counts->second->values()));
    }
    const std::vector<float> numbers =
        floats_of(file.subspan(counts->second->offset, counts->second->bytes));
    entry.counts.assign(numbers.begin(), numbers.end());
    entry.mean_squares = floats_of(file.subspan(sums.offset, sums.bytes));
    PARING_TRY_VOID(check_entry(entry, source));
    imatrix.entries.push_back(std::move(entry));
  }
  return imatrix;
}

// ---- the older layout ----
// i32 entries; each: i32 name bytes, name, i32 calls, i32 columns, f32 mean square * calls of each;
// then, in most files: i32 chunks, i32 bytes of the text's name, name.

class Reader {
 public:
  Reader(std::span<const std::byte> file, const std::string& source)
      : file_(file), source_(source) {}

  std::uint64_t left() const { return file_.size() - position_; }

  // An i32 in [least, most].
  Result<std::uint64_t> count(std::string_view field, std::int32_t least, std::uint64_t most) {
    std::int32_t value = 0;
    if (left() < sizeof(value)) return end(field);
    std::memcpy(&value, file_.data() + position_, sizeof(value));
    position_ += sizeof(value);
    if (value < least || static_cast<std::uint64_t>(value) > most) {
      return corrupt(fmt::format("{}: {} is {}, it must be between {} and {}", source_, field,
                                 value, least, most),
                     kHint);
    }
    return static_cast<std::uint64_t>(value);
  }
  Result<std::span<const std::byte>> bytes(std::string_view field, std::uint64_t count) {
    if (left() < count) return end(field);
    const auto taken = file_.subspan(position_, count);
    position_ += count;
    return taken;
  }

 private:
  Error end(std::string_view field) const {
    return corrupt(
        fmt::format("{}: the file ends inside {}, it has {} bytes", source_, field, file_.size()),
        kHint);
  }

  std::span<const std::byte> file_;
  const std::string& source_;
  std::uint64_t position_ = 0;
};

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<Imatrix> parse_older(std::span<const std::byte> file, const std::string& source) {
  constexpr std::uint64_t kNameBytesMax = 255;
  constexpr std::uint64_t kTextNameBytesMax = 65'535;
  constexpr std::uint64_t kInt32Max = 0x7fffffff;
  constexpr std::uint64_t kEntryBytesMin = 4 + 1 + 4 + 4 + 4;
  Reader reader(file, source);
  PARING_TRY(const std::uint64_t entries,
             reader.count("the number of entries", 1,
                          std::min(kImatrixEntriesMax, file.size() / kEntryBytesMin + 1)));
  Imatrix imatrix;
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::string field = fmt::format("entry {} of {}", i + 1, entries);
    PARING_TRY(const std::uint64_t length,
               reader.count("the name's length of " + field, 1, kNameBytesMax));
    PARING_TRY(const auto name, reader.bytes("the name of " + field, length));
    ImatrixEntry entry;
    entry.name = text_of(name);
    if (!names.insert(entry.name).second) return wrong(source, entry.name, "appears twice");
    PARING_TRY(const std::uint64_t calls,
               reader.count("the number of calls of " + field, 0, kInt32Max));
    // Files without calls hold plain means.
    entry.counts = {calls == 0 ? 1 : static_cast<double>(calls)};
    PARING_TRY(const std::uint64_t columns,
               reader.count("the number of columns of " + field, 1, kImatrixColumnsMax));
    PARING_TRY(const auto values, reader.bytes("the values of " + field, columns * sizeof(float)));
    entry.mean_squares = floats_of(values);
    PARING_TRY_VOID(check_entry(entry, source));
    imatrix.entries.push_back(std::move(entry));
  }
  if (reader.left() == 0) return imatrix;
  PARING_TRY(imatrix.chunk_count, reader.count("the number of chunks", 0, kInt32Max));
  if (reader.left() == 0) return imatrix;
  PARING_TRY(const std::uint64_t length,
             reader.count("the length of the text's name", 0, kTextNameBytesMax));
  PARING_TRY(const auto text, reader.bytes("the text's name", length));
  if (length > 0) imatrix.datasets.push_back(text_of(text));
  if (reader.left() != 0) {
    return corrupt(fmt::format("{}: {} bytes follow the end", source, reader.left()), kHint);
  }
  return imatrix;
}

// ---- writing ----

Result<void> write_gguf(const Imatrix& imatrix, const std::string& path, Overwrite overwrite) {
  PARING_TRY(GgufWriter writer, GgufWriter::create(path, overwrite));
  Metadata metadata;
  metadata.set("general.type", GgufValue::of_string("imatrix"));
  metadata.set("imatrix.datasets", GgufValue::of_strings(imatrix.datasets));
  metadata.set("imatrix.chunk_count",
               GgufValue::of_u32(static_cast<std::uint32_t>(imatrix.chunk_count)));
  metadata.set("imatrix.chunk_size",
               GgufValue::of_u32(static_cast<std::uint32_t>(imatrix.chunk_tokens)));
  writer.set_metadata(std::move(metadata));
  for (const ImatrixEntry& entry : imatrix.entries) {
    const std::size_t matrices = entry.counts.size();
    PARING_TRY_VOID(writer.declare({entry.name + std::string(kSums),
                                    DType::kF32,
                                    {entry.mean_squares.size() / matrices, matrices}}));
    PARING_TRY_VOID(
        writer.declare({entry.name + std::string(kCounts), DType::kF32, {1, matrices}}));
  }
  PARING_TRY_VOID(writer.begin());
  for (const ImatrixEntry& entry : imatrix.entries) {
    const std::vector<float> counts(entry.counts.begin(), entry.counts.end());
    const std::size_t columns = entry.mean_squares.size() / counts.size();
    std::vector<float> sums(entry.mean_squares);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] *= counts[i / columns];
    PARING_TRY_VOID(writer.append(entry.name + std::string(kSums), std::as_bytes(std::span(sums))));
    PARING_TRY_VOID(
        writer.append(entry.name + std::string(kCounts), std::as_bytes(std::span(counts))));
  }
  return writer.commit();
}

class OlderWriter {
 public:
  explicit OlderWriter(AtomicFile& file) : file_(file) {}
  Result<void> number(std::uint64_t value) {
    const auto stored = static_cast<std::int32_t>(value);
    return file_.write(std::as_bytes(std::span(&stored, 1)));
  }
  Result<void> text(const std::string& value) {
    PARING_TRY_VOID(number(value.size()));
    return file_.write(value);
  }

 private:
  AtomicFile& file_;
};

Result<void> write_older(const Imatrix& imatrix, const std::string& path, Overwrite overwrite) {
  PARING_TRY(AtomicFile file, AtomicFile::create(path, overwrite));
  OlderWriter out(file);
  PARING_TRY_VOID(out.number(imatrix.entries.size()));
  for (const ImatrixEntry& entry : imatrix.entries) {
    PARING_TRY_VOID(out.text(entry.name));
    // One call, so that the stored product is the mean itself.
    PARING_TRY_VOID(out.number(1));
    PARING_TRY_VOID(out.number(entry.mean_squares.size()));
    PARING_TRY_VOID(file.write(std::as_bytes(std::span(entry.mean_squares))));
  }
  PARING_TRY_VOID(out.number(imatrix.chunk_count));
  PARING_TRY_VOID(out.text(imatrix.datasets.empty() ? "" : imatrix.datasets.front()));
  return file.commit();
}

}  // namespace

const ImatrixEntry* Imatrix::find(std::string_view name) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const ImatrixEntry& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

Result<Imatrix> parse_imatrix(std::span<const std::byte> file, const std::string& source) {
  try {
    const bool is_gguf = file.size() >= 4 && std::memcmp(file.data(), "GGUF", 4) == 0;
    PARING_TRY(Imatrix imatrix,
               is_gguf ? parse_gguf_imatrix(file, source) : parse_older(file, source));
    if (imatrix.entries.empty()) return corrupt(source + " has no entries", kHint);
    return imatrix;
  } catch (const std::bad_alloc&) {
    return exhausted(source + ": not enough memory for this file", "free memory");
  }
}

Result<Imatrix> read_imatrix(const std::string& path) {
  PARING_TRY(const MappedFile map, MappedFile::open(path));
  return parse_imatrix(map.bytes(), path);
}

Result<void> write_imatrix(const Imatrix& imatrix, ImatrixLayout layout, const std::string& path,
                           Overwrite overwrite) {
  return layout == ImatrixLayout::kGguf ? write_gguf(imatrix, path, overwrite)
                                        : write_older(imatrix, path, overwrite);
}

}  // namespace paring::io
