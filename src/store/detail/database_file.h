// SPDX-License-Identifier: Apache-2.0
// What every database of ours needs before its first statement: a folder and a file that only the
// owner may read, and a write-ahead log. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "store/detail/sqlite.h"

namespace paring::store::detail {

// "cannot ACTION 'PATH': ...", as Exhausted when there is no room, else Io.
Error file_error(const char* action, const std::string& path, int error_number);
// With mode 0700 when it does not exist; its parents as the umask says.
Result<void> make_private_folder(const std::string& folder);
// Empty, with mode 0600, when it does not exist; takes the rights of others away when it does.
Result<void> make_private_file(const std::string& path);
Result<void> use_wal(Connection& connection, std::int64_t busy_ms);

}  // namespace paring::store::detail
