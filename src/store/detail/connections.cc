// SPDX-License-Identifier: Apache-2.0
#include "store/detail/connections.h"

#include "base/clock.h"

namespace paring::store::detail {

namespace {

// Commits of lesser durability ride on one that reaches the disk, at least this often while there
// are commits: what a power failure can take back is bounded.
constexpr double kSyncSeconds = 1.0;
// More idle readers than this are closed: each holds a page cache and two descriptors.
constexpr std::size_t kIdleReadersMax = 8;

}  // namespace

Result<void> Connections::begin(Durability durability) {
  const double now = system_clock().monotonic_seconds();
  if (now - synced_at_ > kSyncSeconds) durability = Durability::kPower;
  if (durability != durability_) {
    PARING_TRY_VOID(writer_->set_durability(durability));
    durability_ = durability;
  }
  return writer_->script("BEGIN IMMEDIATE");
}

Result<void> Connections::commit() {
  const Result<void> done = writer_->script("COMMIT");
  if (!done) {
    roll_back();
    return done;
  }
  if (durability_ == Durability::kPower) synced_at_ = system_clock().monotonic_seconds();
  return {};
}

void Connections::roll_back() noexcept {
  // After some failures SQLite has rolled back by itself, and this one has nothing to do.
  (void)writer_->script("ROLLBACK");
}

Result<std::unique_ptr<Connection>> Connections::take_reader() {
  {
    const std::lock_guard lock(readers_mutex_);
    if (!idle_readers_.empty()) {
      std::unique_ptr<Connection> reader = std::move(idle_readers_.back());
      idle_readers_.pop_back();
      return reader;
    }
  }
  PARING_TRY(std::unique_ptr<Connection> reader, Connection::open(path_, busy_ms_));
  PARING_TRY_VOID(reader->script("PRAGMA query_only = ON;"));
  return reader;
}

void Connections::give_back(std::unique_ptr<Connection> reader) {
  const std::lock_guard lock(readers_mutex_);
  if (idle_readers_.size() < kIdleReadersMax) idle_readers_.push_back(std::move(reader));
}

}  // namespace paring::store::detail
