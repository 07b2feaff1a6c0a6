// SPDX-License-Identifier: Apache-2.0
#include "io/detail/checked_folder.h"

#include <fmt/format.h>

#include <system_error>

#include "io/hf_folder.h"
#include "io/json_object.h"
#include "io/printable.h"

namespace paring::io {

namespace fs = std::filesystem;

Result<CheckedFolder> CheckedFolder::open(const std::string& path) {
  std::error_code failed;
  CheckedFolder folder;
  folder.path_ = path;
  folder.real_ = fs::canonical(path, failed);
  if (failed) {
    return not_found(
        fmt::format("the folder '{}' cannot be opened: {}", printable(path), failed.message()));
  }
  return folder;
}

std::string CheckedFolder::name(std::string_view file) const {
  return (fs::path(path_) / file).string();
}

bool CheckedFolder::has(std::string_view file) const {
  std::error_code failed;  // an unreadable file is found out when it is opened
  return fs::exists(fs::symlink_status(real_ / file, failed));
}

Result<MappedFile> CheckedFolder::map(std::string_view file) const {
  const std::string shown = printable(name(file));
  std::error_code failed;
  const fs::path target = fs::canonical(real_ / file, failed);
  if (failed) {
    return not_found(fmt::format("'{}' cannot be opened: {}", shown, failed.message()),
                     "the folder is incomplete; fetch it again");
  }
  const bool is_inside =
      target.parent_path() == real_ || target.parent_path() == real_ / kHfPoolingFolder;
  if (!is_inside && !is_blob(target)) {
    return invalid_argument(fmt::format("'{}' is a link to '{}', outside of its folder", shown,
                                        printable(target.string())),
                            "copy the file into the folder, or name the folder that it lies in");
  }
  return MappedFile::open(name(file));
}

Result<Metadata> CheckedFolder::read_json(std::string_view file) const {
  PARING_TRY(const MappedFile content, map(file));
  return parse_json_object(content.text(), name(file));
}

bool CheckedFolder::is_blob(const fs::path& target) const {
  const fs::path snapshots = real_.parent_path();
  return snapshots.filename() == "snapshots" &&
         target.parent_path() == snapshots.parent_path() / "blobs";
}

}  // namespace paring::io
