// SPDX-License-Identifier: Apache-2.0
// GGUF models that lie in several files, NAME-00001-of-00003.gguf: names, and a writer with a limit
// on each file's bytes. ModelFile::open_gguf() reads them. Source: llama.cpp, tools/gguf-split.
//
//   PARING_TRY(auto writer, io::GgufSplitWriter::create(path, overwrite, 2'000'000'000));
//   ... as GgufWriter ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/gguf_writer.h"

namespace paring::io {

inline constexpr std::uint64_t kGgufSplitsMax = 4096;

// Keys of the files of a split model.
inline constexpr const char* kSplitNumberKey = "split.no";              // from 0
inline constexpr const char* kSplitCountKey = "split.count";            // files
inline constexpr const char* kSplitTensorsKey = "split.tensors.count";  // of all files

// "model", 2, 3 -> "model-00002-of-00003.gguf". `number` is from 1.
std::string split_path(const std::string& prefix, std::uint64_t number, std::uint64_t count);
// "folder/model" of "folder/model-00002-of-00003.gguf"; nothing when the name is of another form.
std::optional<std::string> split_prefix(std::string_view path, std::uint64_t count);

// Takes metadata and tensors as GgufWriter does and writes one file, or as many as it takes that
// none is larger than the limit. Movable; one thread at a time.
class GgufSplitWriter {
 public:
  // `file_bytes_max` 0: one file at `path`. Otherwise several files replace the ending ".gguf" of
  // `path` by "-00001-of-00003.gguf"; when one file is enough, it is at `path`.
  static GgufSplitWriter create(std::string path, Overwrite overwrite,
                                std::uint64_t file_bytes_max);

  void set_metadata(Metadata metadata) { metadata_ = std::move(metadata); }
  // Checked in begin().
  void declare(TensorDeclaration tensor) { tensors_.push_back(std::move(tensor)); }
  // Decides on the files. InvalidArgument: as GgufWriter::declare(); a tensor alone, or the
  // metadata, is over the limit. Errors of AtomicFile::create() and of GgufWriter::begin().
  Result<void> begin();
  Result<void> append(std::string_view name, std::span<const std::byte> bytes);
  // Makes all files visible, one after the other, the first one last: without it the others are no
  // model.
  Result<void> commit();

  // The files, in order; known after begin().
  std::vector<std::string> paths() const;
  // Of all files together; known after begin().
  std::uint64_t file_bytes() const;

 private:
  GgufSplitWriter() = default;
  Result<std::vector<std::size_t>> plan() const;
  Metadata metadata_of(std::size_t file, std::size_t files) const;

  std::string path_;
  Overwrite overwrite_ = Overwrite::kRefuse;
  std::uint64_t file_bytes_max_ = 0;
  Metadata metadata_;
  std::vector<TensorDeclaration> tensors_;
  struct File {
    std::string path;
    GgufWriter writer;
    std::size_t tensors_end;  // index behind its last tensor
  };
  std::vector<File> files_;
  std::size_t current_file_ = 0;
  std::size_t current_tensor_ = 0;
  std::uint64_t current_bytes_ = 0;
};

}  // namespace paring::io
