// SPDX-License-Identifier: Apache-2.0
#include "store/control_db.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
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
#include "store/detail/connections.h"
#include "store/detail/migrations.h"

namespace paring::store {

namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;

Error failed(const char* action, const std::string& path, int error_number) {
  std::string message = fmt::format("cannot {} '{}': {}", action, path, errno_text(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return exhausted(std::move(message), "the disk or a quota is full; free space");
  }
  return io_error(std::move(message), "check the path and its permissions");
}

Result<void> make_folder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) return failed("make the folder", parent.string(), error.value());
  if (::mkdir(folder.c_str(), kFolderMode) == 0 || errno == EEXIST) return {};
  return failed("make the folder", folder, errno);
}

// SQLite would make the file readable for all; its log gets the rights of the file. An existing
// file is not opened here: closing it would drop the locks of this process's other connections.
Result<void> make_private_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode);
  if (descriptor >= 0) {
    ::close(descriptor);
    return {};
  }
  if (errno != EEXIST) return failed("make", path, errno);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return failed("read", path, errno);
  if (!S_ISREG(status.st_mode)) return io_error(fmt::format("'{}' is no regular file", path));
  if ((status.st_mode & 077) == 0) return {};
  if (::chmod(path.c_str(), kFileMode) != 0) return failed("protect", path, errno);
  log_warning(fmt::format("'{}' could be read by others; its mode is 0600 now", path));
  return {};
}

Result<void> check_integrity(detail::Connection& connection) {
  PARING_TRY(detail::Cursor row, connection.query("PRAGMA quick_check(1)"));
  PARING_TRY(const bool has_row, row.next());
  const std::string said = has_row ? row.text(0) : "nothing";
  if (said != "ok") {
    return corrupt(fmt::format("the database '{}' is damaged: {}", connection.path(), said),
                   "restore it from a backup");
  }
  PARING_TRY(detail::Cursor orphan, connection.query("PRAGMA foreign_key_check"));
  PARING_TRY(const bool has_orphan, orphan.next());
  if (!has_orphan) return {};
  return corrupt(fmt::format("the database '{}' is damaged: a row of {} belongs to nothing",
                             connection.path(), orphan.text(0)),
                 "restore it from a backup");
}

Result<void> try_wal(detail::Connection& connection) {
  PARING_TRY(detail::Cursor row, connection.query("PRAGMA journal_mode = WAL"));
  PARING_TRY(const bool has_row, row.next());
  if (has_row && row.text(0) == "wal") return {};
  return unsupported(
      fmt::format("the file system of '{}' cannot hold a write-ahead log", connection.path()),
      "choose a folder on a local disk");
}

// SQLite does not wait by itself for others who make the same change at the same time: two that
// hold a read lock each would wait for ever.
Result<void> use_wal(detail::Connection& connection, std::int64_t busy_ms) {
  constexpr std::chrono::milliseconds kPause(2);
  const double end = system_clock().monotonic_seconds() + static_cast<double>(busy_ms) / 1000;
  for (;;) {
    Result<void> done = try_wal(connection);
    if (done || done.error().code != ErrorCode::kUnavailable) return done;
    if (system_clock().monotonic_seconds() >= end) return done;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

ControlDb::ControlDb(std::string folder, std::unique_ptr<detail::Connections> connections)
    : folder_(std::move(folder)), connections_(std::move(connections)) {}
ControlDb::ControlDb(ControlDb&&) noexcept = default;
ControlDb& ControlDb::operator=(ControlDb&&) noexcept = default;
ControlDb::~ControlDb() = default;

Result<ControlDb> ControlDb::open(const Options& options) {
  const std::string path = options.folder + "/control.db";
  PARING_TRY_VOID(make_folder(options.folder));
  PARING_TRY_VOID(make_private_file(path));
  PARING_TRY(std::unique_ptr<detail::Connection> writer,
             detail::Connection::open(path, options.busy_ms));
  PARING_TRY_VOID(use_wal(*writer, options.busy_ms));
  PARING_TRY_VOID(detail::migrate(*writer, detail::latest_version()));
  if (options.check == IntegrityCheck::kQuick) PARING_TRY_VOID(check_integrity(*writer));
  return ControlDb(options.folder,
                   std::make_unique<detail::Connections>(std::move(writer), options.busy_ms));
}

Result<ServingLock> ServingLock::take(const std::string& folder) {
  const std::string path = folder + "/serving.lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (descriptor < 0) return failed("open", path, errno);
  ServingLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed("lock", path, errno);
    const Result<std::string> holder = read_small_file(path);
    return Error{ErrorCode::kUnavailable,
                 fmt::format("process {} serves from '{}' already", holder ? *holder : "?", folder),
                 "stop it, or give this one a folder of its own with --data-dir"};
  }
  // Only for the message above.
  const std::string id = std::to_string(::getpid());
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return failed("write", path, errno);
  }
  return lock;
}

ServingLock::ServingLock(ServingLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

ServingLock& ServingLock::operator=(ServingLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

ServingLock::~ServingLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace paring::store
