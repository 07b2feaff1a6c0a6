// SPDX-License-Identifier: Apache-2.0
// The table of uploaded files: names, owners and the hash of what they hold. The bytes lie in files
// of serve/batch. Every look-up names the tenant, so that nobody finds another's. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"

namespace paring::store {

struct FileRow {
  std::string id;  // "file-..."
  std::string tenant;
  std::string filename;
  std::string purpose;
  std::int64_t bytes = 0;
  std::string sha256;  // of the content, 64 digits
  std::int64_t created_s = 0;
  std::optional<std::int64_t> expires_s;
};

// What the files of one tenant may be.
struct FileQuota {
  std::int64_t bytes_max = 0;
  std::int64_t files_max = 0;
};

// A page of a list, newest first unless `oldest_first`.
struct PageRequest {
  std::string after;  // id of the last row of the page before; "" for the first page
  std::int64_t limit = 20;
  bool oldest_first = false;
};
template <typename Row>
struct Page {
  std::vector<Row> rows;
  bool has_more = false;
};

class Files {
 public:
  explicit Files(const ControlDb& control) : control_(control) {}

  // Exhausted when the tenant's files would hold more than that together, or be more.
  Result<void> insert(const FileRow& file, const FileQuota& quota) const;
  Result<std::optional<FileRow>> find(std::string_view tenant, std::string_view id) const;
  // `purpose` "" for any. NotFound when `page.after` is no file of the tenant.
  Result<Page<FileRow>> list(std::string_view tenant, std::string_view purpose,
                             const PageRequest& page) const;
  // NotFound; InvalidArgument when a batch that has not ended reads it.
  Result<FileRow> remove(std::string_view tenant, std::string_view id) const;
  // Removes what has expired and no open batch reads.
  Result<std::vector<FileRow>> remove_expired(std::int64_t now_s) const;
  // Whether a file has this content.
  Result<bool> has_content(std::string_view sha256) const;
  Result<std::int64_t> bytes_of(std::string_view tenant) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
