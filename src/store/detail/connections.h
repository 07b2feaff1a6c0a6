// SPDX-License-Identifier: Apache-2.0
// The connections of one open control.db: one that writes, under a mutex, and as many as are
// needed at a time that read. Thread-safe; work that is passed in runs on the calling thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "store/detail/sqlite.h"

namespace paring::store::detail {

class Connections {
 public:
  Connections(std::unique_ptr<Connection> writer, std::int64_t busy_ms)
      : writer_(std::move(writer)), path_(writer_->path()), busy_ms_(busy_ms) {}

  // Runs `work` in a transaction that holds the write lock from its start. Commits when `work`
  // returns a value, takes everything back when it returns an error or the commit fails; calls
  // `taken_back` then.
  template <typename Work, typename TakenBack>
  std::invoke_result_t<Work, Connection&> write(Durability durability, Work&& work,
                                                TakenBack&& taken_back) {
    const std::lock_guard lock(write_mutex_);
    PARING_TRY_VOID(begin(durability));
    auto result = work(*writer_);
    if (!result) {
      roll_back();
      taken_back();
      return result;
    }
    const Result<void> committed = commit();
    if (!committed) {
      taken_back();
      return committed.error();
    }
    return result;
  }
  template <typename Work>
  std::invoke_result_t<Work, Connection&> write(Durability durability, Work&& work) {
    return write(durability, std::forward<Work>(work), [] {});
  }

  // Runs `work` on the connection that writes, in no transaction.
  template <typename Work>
  std::invoke_result_t<Work, Connection&> maintain(Work&& work) {
    const std::lock_guard lock(write_mutex_);
    return work(*writer_);
  }

  // Runs `work` on a connection that it must only read with. Each statement sees one state of the
  // database; two statements may see two.
  template <typename Work>
  std::invoke_result_t<Work, Connection&> read(Work&& work) {
    PARING_TRY(std::unique_ptr<Connection> reader, take_reader());
    auto result = work(*reader);
    give_back(std::move(reader));
    return result;
  }

  const std::string& path() const noexcept { return path_; }

 private:
  Result<void> begin(Durability durability);
  Result<void> commit();
  void roll_back() noexcept;
  Result<std::unique_ptr<Connection>> take_reader();
  void give_back(std::unique_ptr<Connection> reader);

  std::mutex write_mutex_;
  std::unique_ptr<Connection> writer_;
  double synced_at_ = 0;  // monotonic seconds of the last commit that reached the disk
  Durability durability_ = Durability::kProcess;

  const std::string path_;
  const std::int64_t busy_ms_;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<Connection>> idle_readers_;
};

}  // namespace paring::store::detail
