// SPDX-License-Identifier: Apache-2.0
// SafetensorsWriter: streams one safetensors file to disk, atomically (io/atomic_file.h): tensors
// are declared first, their bytes follow in the declared order, in pieces of any size. Movable; one
// thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/atomic_file.h"
#include "tensor/dtype.h"

namespace paring::io {

struct SafetensorsDeclaration {
  std::string name;
  DType type = DType::kF32;          // F32, F16 or BF16
  std::vector<std::uint64_t> shape;  // the last dimension is contiguous
  std::uint64_t bytes() const;
};

class SafetensorsWriter {
 public:
  // Writes the header. REQUIRES: types of the format. Errors as AtomicFile.
  static Result<SafetensorsWriter> create(const std::string& path, Overwrite overwrite,
                                          std::span<const SafetensorsDeclaration> tensors);
  // The next bytes of the data.
  Result<void> append(std::span<const std::byte> bytes);
  // REQUIRES: all declared bytes were appended (checked).
  Result<void> commit();

 private:
  SafetensorsWriter(AtomicFile file, std::uint64_t file_bytes)
      : file_(std::move(file)), file_bytes_(file_bytes) {}

  AtomicFile file_;
  std::uint64_t file_bytes_;
};

// The text of model.safetensors.index.json: bytes of all tensors, and each tensor's file.
std::string safetensors_index_json(std::uint64_t total_bytes,
                                   std::span<const std::pair<std::string, std::string>> weight_map);

}  // namespace paring::io
