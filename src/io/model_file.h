// SPDX-License-Identifier: Apache-2.0
// ModelFile: a model as every later stage sees it, whatever it was read from: metadata under GGUF
// keys, tensors under GGUF names in GGUF's order of values. A GGUF file maps to it one to one; a
// folder in Hugging Face layout is translated (model/arch), and what must be rearranged is
// rearranged when a tensor is read. Movable; immutable and thread-safe once made.
//
//   PARING_TRY(io::ModelFile file, io::ModelFile::open_gguf(path));
//   PARING_TRY(std::uint64_t layers, file.metadata().get_u64("llama.block_count"));
//   if (const io::TensorInfo* tensor = file.find("output.weight")) {
//     const io::TensorBytes bytes = file.data(*tensor);
//     use(bytes.data(), bytes.size());
//     file.release(*tensor);
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/gguf.h"
#include "io/mapped_file.h"
#include "io/metadata.h"

namespace paring::io {

// Where a part of a tensor lies.
struct TensorPiece {
  std::size_t map = 0;
  std::uint64_t offset = 0;
};

// Where a tensor's bytes lie and what is done to them on reading. With every default they are a
// view of the mapped file.
struct TensorOrigin {
  std::size_t map = 0;         // which of the mapped files
  std::uint64_t offset = 0;    // there
  DType stored = DType::kF32;  // F16 or BF16 under a TensorInfo of type F32: widened on reading
  float added = 0;             // to every value; the tensor is F32
  // Not 0: the rows of each of so many heads are stored as (first half, second half) of the
  // rotated pairs, and are read as GGUF's llama layout has them: pair by pair.
  std::uint64_t paired_heads = 0;
  // Not empty: the tensor is so many matrices, one below the other, each with a place of its own
  // instead of `map` and `offset`; nothing else is done to them.
  std::vector<TensorPiece> pieces{};
  std::vector<std::byte> made{};  // not empty: the bytes themselves, of a tensor that no file holds
};

// The bytes of a tensor: a view of a map, or a rearranged copy that lives as long as this object.
class TensorBytes {
 public:
  explicit TensorBytes(std::span<const std::byte> view) : view_(view) {}
  explicit TensorBytes(std::vector<std::byte> owned) : owned_(std::move(owned)), view_(owned_) {}
  // Moving a vector keeps its storage, so the view stays true.
  TensorBytes(TensorBytes&&) noexcept = default;
  TensorBytes& operator=(TensorBytes&&) noexcept = default;
  TensorBytes(const TensorBytes&) = delete;
  TensorBytes& operator=(const TensorBytes&) = delete;

  // Not of a temporary: the bytes would be gone at the end of the statement.
  std::span<const std::byte> span() const& noexcept { return view_; }
  std::span<const std::byte> span() const&& = delete;
  const std::byte* data() const& noexcept { return view_.data(); }
  const std::byte* data() const&& = delete;
  std::size_t size() const noexcept { return view_.size(); }

 private:
  std::vector<std::byte> owned_;
  std::span<const std::byte> view_;
};

// Tokenizer files of a folder in Hugging Face layout, not looked at; no bytes for GGUF.
struct TokenizerFiles {
  MappedFile tokenizer;   // tokenizer.json
  MappedFile config;      // tokenizer_config.json
  MappedFile generation;  // generation_config.json
};

// What a producer hands over. REQUIRES: one origin a tensor, each inside its map; names unique.
struct ModelParts {
  std::string path;    // as the user named it
  std::string layout;  // "GGUF v3", for people
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // TensorInfo::offset has no meaning
  std::vector<TensorOrigin> origins;
  std::vector<MappedFile> maps;
  TokenizerFiles tokenizer_files{};
  std::uint64_t file_bytes = 0;
  bool has_values =
      true;  // false: an outline, whose origins have values only where `made` holds them
};

class ModelFile {
 public:
  // Errors as GgufFile::open().
  static Result<ModelFile> open_gguf(const std::string& path);
  explicit ModelFile(ModelParts parts);

  const Metadata& metadata() const noexcept { return parts_.metadata; }
  std::span<const TensorInfo> tensors() const noexcept { return parts_.tensors; }
  // Null when there is no tensor of that name.
  const TensorInfo* find(std::string_view name) const;
  // Whether the tensors can be read; false of an outline (io/outline.h).
  bool has_values() const noexcept { return parts_.has_values; }
  // REQUIRES (of data, rows and their release): has_values(), and `tensor` is an element of
  // tensors(). Copies only what must be rearranged. As to files that are cut while they are mapped,
  // see GgufFile::data().
  TensorBytes data(const TensorInfo& tensor) const;
  // The same of rows first..first+count-1 alone, so that a large tensor is never in memory as a
  // whole. REQUIRES: a matrix, and its rows.
  TensorBytes rows(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count) const;
  // Gives the tensor's whole pages back to the system; reading them again reloads from the file.
  void release(const TensorInfo& tensor) const;
  // The same for the pages between these rows' bytes.
  void release_rows(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count) const;

  // Io when one of the files has been written to since it was opened: what was made of its bytes
  // may be of neither state.
  Result<void> check_unchanged() const;

  const TokenizerFiles& tokenizer_files() const noexcept { return parts_.tokenizer_files; }
  // Of the files that hold the tensors.
  std::uint64_t file_bytes() const noexcept { return parts_.file_bytes; }
  const std::string& path() const noexcept { return parts_.path; }
  const std::string& layout() const noexcept { return parts_.layout; }

 private:
  const TensorOrigin& origin(const TensorInfo& tensor) const;
  TensorBytes read_rows(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count) const;
  TensorBytes read_pieces(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count) const;
  // visit(piece, offset in its file, bytes) for each stretch of these rows of a tensor in pieces,
  // in order.
  template <typename Visit>
  void visit_pieces(const TensorInfo& tensor, std::uint64_t first, std::uint64_t count,
                    const Visit& visit) const;
  std::span<const std::byte> stored_bytes(const TensorInfo& tensor,
                                          const TensorOrigin& origin) const;

  ModelParts parts_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the tensors' names
};

}  // namespace paring::io
