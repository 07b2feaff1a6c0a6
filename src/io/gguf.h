// SPDX-License-Identifier: Apache-2.0
// GgufFile: a GGUF model file (v2, v3), checked as a whole when opened and mapped read-only.
// Everything in the file is treated as hostile: counts and sizes are bounded by the bytes there are
// before anything is allocated, and every error names the file, the field, the value and the limit.
// Immutable and thread-safe once open. Source: GGUF specification (ggml, docs/gguf.md).
//
//   PARING_TRY(io::GgufFile file, io::GgufFile::open(path));
//   PARING_TRY(std::uint64_t layers, file.metadata().get_u64("llama.block_count"));
//   if (const io::TensorInfo* tensor = file.find("output.weight")) use(file.data(*tensor));
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/mapped_file.h"
#include "io/metadata.h"
#include "tensor/dtype.h"

namespace paring::io {

// Limits of what is accepted, far above any real file.
inline constexpr std::uint64_t kGgufKeysMax = 65'536;
inline constexpr std::uint64_t kGgufTensorsMax = 65'536;
inline constexpr std::uint64_t kGgufKeyBytesMax = 65'535;  // the specification's
inline constexpr std::uint64_t kGgufTensorNameBytesMax = 255;
inline constexpr std::uint64_t kGgufStringBytesMax = std::uint64_t{16} << 20;
inline constexpr std::uint64_t kGgufArrayItemsMax = std::uint64_t{1} << 24;
inline constexpr std::uint64_t kGgufArrayDepthMax = 4;
inline constexpr std::uint64_t kGgufHeaderBytesMax = std::uint64_t{256} << 20;
// Memory of all values together: items are kept wider than in the file. A vocabulary of a million
// tokens with scores and merges takes less than half of it.
inline constexpr std::uint64_t kGgufMetadataMemoryMax = std::uint64_t{512} << 20;
inline constexpr std::uint64_t kGgufDimensionsMax = 4;
inline constexpr std::uint64_t kGgufAlignmentDefault = 32;
inline constexpr std::uint64_t kGgufAlignmentMin = 8;  // the specification's; f32 stays aligned
inline constexpr std::uint64_t kGgufAlignmentMax = 65'536;

struct TensorInfo {
  std::string name;
  DType type = DType::kF32;
  std::vector<std::uint64_t> shape;  // GGUF order: shape[0] = columns, contiguous
  std::uint64_t offset = 0;          // from the start of the file
  std::uint64_t bytes = 0;

  std::uint64_t columns() const { return shape.empty() ? 0 : shape[0]; }
  // Product of the other dimensions; 1 for a vector.
  std::uint64_t rows() const;
  std::uint64_t values() const { return columns() * rows(); }
};

// Everything before the tensor data.
struct GgufHeader {
  std::uint32_t version = 0;
  std::uint64_t alignment = kGgufAlignmentDefault;
  Metadata metadata;
  std::vector<TensorInfo> tensors;
  std::uint64_t data_offset = 0;  // where tensor data begins
};

// Parses and checks the header of a whole file in memory. `source` is the name used in messages.
Result<GgufHeader> parse_gguf(std::span<const std::byte> file, const std::string& source);
// The same of a file of `file_bytes` bytes of which only the beginning is in memory; nothing when
// the header goes on behind `beginning`. REQUIRES: beginning.size() <= file_bytes.
Result<std::optional<GgufHeader>> parse_gguf_beginning(std::span<const std::byte> beginning,
                                                       std::uint64_t file_bytes,
                                                       const std::string& source);

class GgufFile {
 public:
  // NotFound, Io: see MappedFile. InvalidArgument: a directory. Corrupt: no GGUF, cut, or
  // inconsistent. Unsupported: a version, byte order or tensor type that is not known.
  static Result<GgufFile> open(const std::string& path);

  const Metadata& metadata() const noexcept { return header_.metadata; }
  std::span<const TensorInfo> tensors() const noexcept { return header_.tensors; }
  // Null when there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;
  // The tensor's bytes in the map. If another process cuts the file while it is mapped, reading
  // past the new end raises SIGBUS: a model file that is in use must be replaced by rename, as
  // AtomicFile does, never truncated in place.
  std::span<const std::byte> data(const TensorInfo& tensor) const;
  // Gives the tensor's whole pages back to the system; reading them again reloads from the file.
  void release(const TensorInfo& tensor) const;

  std::uint64_t file_bytes() const noexcept { return map_.bytes().size(); }
  const std::string& path() const noexcept { return map_.path(); }
  std::uint32_t version() const noexcept { return header_.version; }
  std::uint64_t alignment() const noexcept { return header_.alignment; }

 private:
  GgufFile(MappedFile map, GgufHeader header);

  MappedFile map_;
  GgufHeader header_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of header_.tensors' names
};

}  // namespace paring::io
