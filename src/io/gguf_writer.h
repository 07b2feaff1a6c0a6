// SPDX-License-Identifier: Apache-2.0
// GgufWriter: streams a GGUF v3 file to disk, atomically (io/atomic_file.h). Tensors are declared
// first, then their bytes follow in the declared order, in pieces of any size, so that a model is
// never in memory as a whole. Movable; one thread at a time.
//
//   PARING_TRY(auto writer, io::GgufWriter::create(path, io::Overwrite::kReplace));
//   writer.set_metadata(metadata);
//   for (...) PARING_TRY_VOID(writer.declare({name, DType::kQ8_0, {576, 1536}}));
//   PARING_TRY_VOID(writer.begin());                       // header; claims the disk space
//   for (...) PARING_TRY_VOID(writer.append(name, bytes));
//   PARING_TRY_VOID(writer.commit());
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "io/atomic_file.h"
#include "io/metadata.h"
#include "tensor/dtype.h"

namespace paring::io {

struct TensorDeclaration {
  std::string name;  // at most kGgufWrittenNameBytesMax bytes
  DType type = DType::kF32;
  std::vector<std::uint64_t> shape;  // shape[0] = columns, a whole number of blocks; 1 to 4 entries
};

// ggml keeps names in 64 bytes with a closing zero: longer ones would not load there.
inline constexpr std::uint64_t kGgufWrittenNameBytesMax = 63;

// Exact size of the file that the writer would write. InvalidArgument as GgufWriter::declare().
Result<std::uint64_t> gguf_file_bytes(const Metadata& metadata,
                                      std::span<const TensorDeclaration> tensors);

class GgufWriter {
 public:
  // Errors as AtomicFile::create().
  static Result<GgufWriter> create(const std::string& path, Overwrite overwrite);

  // The metadata of the file; general.alignment in it is obeyed. REQUIRES: before begin().
  void set_metadata(Metadata metadata);
  // InvalidArgument: a name that is empty, too long or declared already; a shape with no, more than
  // 4, or zero dimensions; a row that is not whole blocks. REQUIRES: before begin().
  Result<void> declare(TensorDeclaration tensor);
  // Writes the header. Exhausted when the disk has no room for the whole file. REQUIRES: once.
  Result<void> begin();
  // Adds bytes to tensor `name`, which must be the first declared one that is not complete.
  // REQUIRES: after begin(), in order, not past the tensor's end (checked).
  Result<void> append(std::string_view name, std::span<const std::byte> bytes);
  // REQUIRES: every tensor complete (checked).
  Result<void> commit();

  std::uint64_t bytes_written() const noexcept { return file_.bytes_written(); }
  // Of the whole file; known after begin().
  std::uint64_t file_bytes() const noexcept { return file_bytes_; }

 private:
  explicit GgufWriter(AtomicFile file) : file_(std::move(file)) {}
  Result<void> pad();

  AtomicFile file_;
  Metadata metadata_;
  std::vector<TensorDeclaration> tensors_;
  std::unordered_set<std::string> names_;
  std::vector<std::uint64_t> tensor_bytes_;  // after begin()
  std::uint64_t alignment_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::size_t current_ = 0;          // tensor that append() fills
  std::uint64_t current_bytes_ = 0;  // of it already written
  bool is_begun_ = false;
};

}  // namespace paring::io
