// SPDX-License-Identifier: Apache-2.0
// CheckedFolder: opens files of one folder, and only of it: links may not lead out of it, but for
// those of the Hugging Face cache (snapshots/... -> blobs/...). Private to the readers of folders
// in this module. Immutable; thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/mapped_file.h"
#include "io/metadata.h"

namespace paring::io {

class CheckedFolder {
 public:
  // NotFound when there is no such folder.
  static Result<CheckedFolder> open(const std::string& path);

  // What messages call a file of it.
  std::string name(std::string_view file) const;
  bool has(std::string_view file) const;
  // NotFound when it is missing, InvalidArgument when it lies outside. REQUIRES: `file` has no
  // "..".
  Result<MappedFile> map(std::string_view file) const;
  // A JSON object; also the errors of parse_json_object().
  Result<Metadata> read_json(std::string_view file) const;

 private:
  bool is_blob(const std::filesystem::path& target) const;

  std::string path_;            // as given, for messages
  std::filesystem::path real_;  // without links
};

}  // namespace paring::io
