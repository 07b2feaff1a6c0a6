// SPDX-License-Identifier: Apache-2.0
// MappedFile: a regular file mapped read-only. Movable; the bytes stay where they are. Thread-safe.
// The length is fixed when opened: if the file is cut afterwards, reading beyond the new end raises
// SIGBUS, which nothing here can prevent (the program ends with an error). If it is changed in
// place, the change may be read: whoever makes something of the bytes asks check_unchanged() at the
// end. Writers of this project replace files by rename instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::io {

class MappedFile {
 public:
  // NotFound when the path does not exist, InvalidArgument for a directory, device or pipe, Io when
  // it cannot be read. An empty file is mapped as no bytes.
  static Result<MappedFile> open(const std::string& path);
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const noexcept { return path_; }
  // Io when the file has been written to, or cut, since it was opened. Not when another one took
  // its name: the map is still of the one that was opened.
  Result<void> check_unchanged() const;
  // Drops the whole pages inside [offset, offset + length) from this process's memory. They are
  // loaded again when touched. Pages shared with bytes outside the range stay.
  void release(std::size_t offset, std::size_t length) const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
  std::uint64_t device_ = 0;
  std::uint64_t node_ = 0;
  std::int64_t modified_ns_ = 0;
};

}  // namespace paring::io
