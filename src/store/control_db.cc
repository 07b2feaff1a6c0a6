// SPDX-License-Identifier: Apache-2.0
#include "store/control_db.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "store/detail/connections.h"
#include "store/detail/database_file.h"
#include "store/detail/migrations.h"

namespace paring::store {

namespace {

constexpr mode_t kFileMode = 0600;

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

}  // namespace

ControlDb::ControlDb(std::string folder, std::unique_ptr<detail::Connections> connections)
    : folder_(std::move(folder)), connections_(std::move(connections)) {}
ControlDb::ControlDb(ControlDb&&) noexcept = default;
ControlDb& ControlDb::operator=(ControlDb&&) noexcept = default;
ControlDb::~ControlDb() = default;

Result<ControlDb> ControlDb::open(const Options& options) {
  const std::string path = options.folder + "/control.db";
  PARING_TRY_VOID(detail::make_private_folder(options.folder));
  PARING_TRY_VOID(detail::make_private_file(path));
  PARING_TRY(std::unique_ptr<detail::Connection> writer,
             detail::Connection::open(path, options.busy_ms));
  PARING_TRY_VOID(detail::use_wal(*writer, options.busy_ms));
  PARING_TRY_VOID(
      detail::migrate(*writer, detail::control_schema(), detail::control_schema().latest()));
  if (options.check == IntegrityCheck::kQuick) PARING_TRY_VOID(check_integrity(*writer));
  return ControlDb(options.folder,
                   std::make_unique<detail::Connections>(std::move(writer), options.busy_ms));
}

Result<ServingLock> ServingLock::take(const std::string& folder) {
  const std::string path = folder + "/serving.lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (descriptor < 0) return detail::file_error("open", path, errno);
  ServingLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return detail::file_error("lock", path, errno);
    const Result<std::string> holder = read_small_file(path);
    return Error{ErrorCode::kUnavailable,
                 fmt::format("process {} serves from '{}' already", holder ? *holder : "?", folder),
                 "stop it, or give this one a folder of its own with --data-dir"};
  }
  // Only for the message above.
  const std::string id = std::to_string(::getpid());
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    return detail::file_error("write", path, errno);
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
