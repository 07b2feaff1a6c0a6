// SPDX-License-Identifier: Apache-2.0
#include "store/detail/database_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

namespace paring::store::detail {

namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

Result<void> try_wal(Connection& connection) {
  PARING_TRY(Cursor row, connection.query("PRAGMA journal_mode = WAL"));
  PARING_TRY(const bool has_row, row.next());
  if (has_row && row.text(0) == "wal") return {};
  return unsupported(
      fmt::format("the file system of '{}' cannot hold a write-ahead log", connection.path()),
      "choose a folder on a local disk");
}

}  // namespace

Error file_error(const char* action, const std::string& path, int error_number) {
  std::string message = fmt::format("cannot {} '{}': {}", action, path, errno_text(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return exhausted(std::move(message), "the disk or a quota is full; free space");
  }
  return io_error(std::move(message), "check the path and its permissions");
}

Result<void> make_private_folder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return file_error("make the folder", parent.string(), error.value());
  if (::mkdir(folder.c_str(), kFolderMode) == 0 || errno == EEXIST) return {};
  return file_error("make the folder", folder, errno);
}

// SQLite would make the file readable for all; its log gets the rights of the file. An existing
// file is not opened here: closing it would drop the locks of this process's other connections.
Result<void> make_private_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
  if (descriptor >= 0) {
    ::close(descriptor);
    return {};
  }
  if (errno != EEXIST) return file_error("make", path, errno);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return file_error("read", path, errno);
  if (!S_ISREG(status.st_mode)) return io_error(fmt::format("'{}' is no regular file", path));
  if ((status.st_mode & 077) == 0) return {};
  if (::chmod(path.c_str(), kFileMode) != 0) return file_error("protect", path, errno);
  log_warning(fmt::format("'{}' could be read by others; its mode is 0600 now", path));
  return {};
}

// SQLite does not wait by itself for others who make the same change at the same time: two that
// hold a read lock each would wait for ever.
Result<void> use_wal(Connection& connection, std::int64_t busy_ms) {
  constexpr std::chrono::milliseconds kPause(2);
  const double end = system_clock().monotonic_seconds() + static_cast<double>(busy_ms) / 1000;
  for (;;) {
    Result<void> done = try_wal(connection);
    if (done || done.error().code != ErrorCode::kUnavailable) return done;
    if (system_clock().monotonic_seconds() >= end) return done;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace paring::store::detail
