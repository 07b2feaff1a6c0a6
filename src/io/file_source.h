// SPDX-License-Identifier: Apache-2.0
// FileSource: the files of one folder that are not on this machine, read by ranges: enough to know
// a model by its headers. The implementation for a hub is hub/remote_files.h. What it says and
// gives is not trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace paring::io {

class FileSource {
 public:
  virtual ~FileSource() = default;
  // Bytes of a file, nullopt when the folder has no such file.
  virtual std::optional<std::uint64_t> size(const std::string& file) const = 0;
  // Exactly `bytes` bytes from `offset` on. REQUIRES: they lie in a file of the folder.
  virtual Result<std::vector<std::byte>> read(const std::string& file, std::uint64_t offset,
                                              std::size_t bytes) = 0;
  // The file as messages call it.
  virtual std::string name(const std::string& file) const = 0;
};

}  // namespace paring::io
