// SPDX-License-Identifier: Apache-2.0
// control.db: the one database of a server's state that must outlive it (keys, budgets, audit log,
// files, batches, settings changed at run time). Tables are reached through the typed classes
// beside this file, which take a ControlDb; nobody else speaks SQL.
//
// SQLite in WAL mode. Writers take turns under a mutex, and between processes under SQLite's lock,
// for which they wait `busy_ms`; readers run beside them. A commit survives a killed process; those
// that say so (keys, audit, batches) also a power failure at once, all others within a second.
// The file and its log have mode 0600. A process that writes should ignore SIGXFSZ, so that a limit
// of file size is an error as a full disk is. Thread-safe. Not to be used across fork().
//
//   PARING_TRY(store::ControlDb control, store::ControlDb::open({.folder = "/var/lib/paring"}));
//   store::Keys keys(control);
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace paring::store {

namespace detail {
class Connections;
}

// Reads all pages and indexes at opening, about a second for 500 MB.
enum class IntegrityCheck : std::uint8_t { kSkip, kQuick };

class ControlDb {
 public:
  struct Options {
    std::string folder;  // made, with mode 0700, when it does not exist
    IntegrityCheck check = IntegrityCheck::kSkip;
    std::int64_t busy_ms = 5000;
  };
  // Opens FOLDER/control.db, makes it when it does not exist, brings an older one to this version.
  // Corrupt: damaged, or no database of ours. Unsupported: written by a newer version. Unavailable:
  // another process holds it for longer than busy_ms. Exhausted: the disk is full. Io: no right to
  // write.
  static Result<ControlDb> open(const Options& options);
  ControlDb(ControlDb&&) noexcept;
  ControlDb& operator=(ControlDb&&) noexcept;
  ~ControlDb();

  const std::string& folder() const noexcept { return folder_; }
  // For the typed classes of this module.
  detail::Connections& connections() const noexcept { return *connections_; }

 private:
  ControlDb(std::string folder, std::unique_ptr<detail::Connections> connections);
  std::string folder_;
  std::unique_ptr<detail::Connections> connections_;
};

// Held by the one process that serves from a folder: budgets, rate limits and batches have one
// owner. The system drops it when the process ends, however it ends. Movable.
class ServingLock {
 public:
  // Unavailable, with the process that holds it, when there is one.
  static Result<ServingLock> take(const std::string& folder);
  ServingLock(ServingLock&& other) noexcept;
  ServingLock& operator=(ServingLock&& other) noexcept;
  ~ServingLock();

 private:
  explicit ServingLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace paring::store
