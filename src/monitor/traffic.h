// SPDX-License-Identifier: Apache-2.0
// Traffic: the database of what was served, who writes to it, and how long it is kept. A server has
// one. Thread-safe.
//
//   PARING_TRY(auto traffic, monitor::Traffic::open({.data = "/var/lib/paring", .keep_days = 30}));
//   traffic->writer().record(std::move(request));
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/thread.h"
#include "monitor/traffic_writer.h"
#include "store/traffic.h"

namespace paring::monitor {

struct TrafficRetention {
  std::int64_t days = 30;         // of rows and their sums; whole days of UTC; 0: forever
  std::int64_t content_days = 7;  // of prompts and answers, to the second; 0: as long as the rows
};

class Traffic {
 public:
  struct Options {
    std::string data;  // the server's folder
    std::string project = "default";
    TrafficWriter::Options writer = {};
    TrafficRetention retention = {};
  };
  // Removes what is older than the retention now and every hour, on a thread of its own. Errors of
  // store::TrafficDb::open().
  static Result<std::unique_ptr<Traffic>> open(const Options& options,
                                               const Clock& clock = system_clock());
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  const store::TrafficDb& db() const noexcept { return db_; }
  TrafficWriter& writer() noexcept { return writer_; }
  // From now on; takes effect at once.
  void set_retention(const TrafficRetention& retention);
  // What the thread does each hour. What cannot be removed is logged, and tried again.
  void remove_old();

  static constexpr double kHourSeconds = 3600;

 private:
  Traffic(store::TrafficDb db, const Options& options, const Clock& clock);
  void run();

  store::TrafficDb db_;
  const Clock& clock_;
  TrafficWriter writer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  TrafficRetention retention_;  // guarded by mutex_, as are the following
  bool is_due_ = true;
  bool is_stopping_ = false;
  Thread thread_;
};

}  // namespace paring::monitor
