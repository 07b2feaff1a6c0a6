// SPDX-License-Identifier: Apache-2.0
// From threads that serve to the database of traffic, without making them wait: a ring of a fixed
// number of slots and one thread that writes batches. What does not fit is dropped and counted:
// prompts and answers before rows, counters never. Thread-safe.
//
//   TrafficWriter writer(traffic, {.mode = TrafficMode::kBatch});
//   writer.record(std::move(request));
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/thread.h"
#include "monitor/detail/bounded_queue.h"
#include "store/traffic.h"

namespace paring::monitor {

// What a row has outlived when record() returns, and what a commit outlives.
#define PARING_TRAFFIC_MODES(X)                                               \
  X(kAsync, "async") /* nothing yet; a killed process once it is committed */ \
  X(kBatch, "batch") /* nothing yet; a power failure once it is committed */  \
  X(kSync, "sync")   /* a power failure: it is committed, or record() said no */

enum class TrafficMode : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_TRAFFIC_MODES(PARING_X)
#undef PARING_X
};
const char* traffic_mode_name(TrafficMode mode) noexcept;
std::optional<TrafficMode> traffic_mode_of(std::string_view name) noexcept;

// Why a row was not written. enumerator, label and cell of the metric
#define PARING_TRAFFIC_DROPS(X)                                                  \
  X(kRingFull, ring_full) /* more came than is written, and the disk is well */  \
  X(kDiskFull, disk_full)                                                        \
  X(kLocked, locked)   /* another process held the database */                   \
  X(kDamaged, damaged) /* the day's file was, and it could not be moved aside */ \
  X(kIo, io)                                                                     \
  X(kRefused, refused) /* no such time, or a file that a newer version wrote */

enum class TrafficDrop : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_TRAFFIC_DROPS(PARING_X)
#undef PARING_X
};
inline constexpr std::size_t kTrafficDrops = static_cast<std::size_t>(TrafficDrop::kRefused) + 1;
const char* traffic_drop_name(TrafficDrop reason) noexcept;

class TrafficWriter {
 public:
  using Append = std::function<store::TrafficAppended(std::span<const store::TrafficRequest>,
                                                      const store::TrafficDb::Append&)>;
  // Called once, on the writing thread or within record(): whether the row is in the database.
  using Done = std::function<void(bool is_stored)>;
  // Makes a row's content what is written, on the writing thread. False: it must not be.
  using Prepare = std::function<bool(store::TrafficContent&)>;

  struct Options {
    TrafficMode mode = TrafficMode::kAsync;
    // A batch is written when it is this old or this large; at once with kSync.
    double flush_seconds = 0.2;
    std::size_t batch_rows = 256;
    std::size_t ring_slots = 4096;  // a power of two
    // Of prompts and answers that wait; a row that would exceed it goes without its own.
    std::int64_t content_bytes_max = std::int64_t{64} << 20;
    double retry_seconds = 1;   // between tries of a batch that the disk refuses
    Prepare prepare = nullptr;  // empty: content is written as it is
  };
  struct Stats {
    std::int64_t offered = 0;  // rows given to record()
    std::int64_t stored = 0;   // in the database, those that were there already included
    std::int64_t content_dropped = 0;
    std::array<std::int64_t, kTrafficDrops> dropped{};  // by TrafficDrop
    std::int64_t pending = 0;                           // neither stored nor dropped yet

    std::int64_t dropped_in_all() const noexcept;
  };

  // `traffic` must outlive it.
  TrafficWriter(const store::TrafficDb& traffic, const Options& options);
  // With another place to write to.
  TrafficWriter(Append append, const Options& options);
  // Writes what waits; what the disk refuses then is dropped.
  ~TrafficWriter();
  TrafficWriter(const TrafficWriter&) = delete;
  TrafficWriter& operator=(const TrafficWriter&) = delete;

  // Whether the row was taken; with kSync waits and says whether it is on the disk. Not from a
  // thread that computes with kSync.
  bool record(store::TrafficRequest request);
  // Never waits, in no mode.
  void record(store::TrafficRequest request, Done done);

  // Writes what was recorded before the call; whether that was settled within `seconds`.
  bool flush(double seconds);
  Stats stats() const;
  // No more rows than this are lost when the process is killed.
  std::int64_t loss_rows_max() const noexcept;

 private:
  struct Item {
    store::TrafficRequest request;
    Done done;
    std::int64_t content_bytes = 0;
  };

  bool offer(Item& item);
  void drop(TrafficDrop reason);
  void drop_content(store::TrafficRequest& request, TrafficDrop reason);
  void wake() noexcept;

  // Of the writing thread.
  void run();
  // Whether the ring gave anything.
  bool take();
  void prepare(store::TrafficRequest& request);
  bool is_due(double now) const;
  void write(double now);
  // True: all that is left of the batch may be tried again at once.
  bool write_once(double now);
  void settle(std::size_t place, std::optional<TrafficDrop> dropped);
  void give_up();
  void wait(double now);

  const Append append_;
  const Options options_;
  detail::BoundedQueue<Item> ring_;
  int wake_descriptor_;

  // seq_cst, all of these: a producer adds to pushed_ and then looks at is_idle_, the writer does
  // the opposite, so that one of them sees the other.
  std::atomic<std::int64_t> pushed_{0};
  std::atomic<bool> is_idle_{false};
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::int64_t> flush_to_{0};  // write without waiting until so many are settled

  std::atomic<std::int64_t> content_bytes_{0};
  std::atomic<std::int64_t> offered_{0};
  std::atomic<std::int64_t> stored_{0};
  std::atomic<std::int64_t> content_dropped_{0};
  std::array<std::atomic<std::int64_t>, kTrafficDrops> dropped_{};
  std::atomic<TrafficDrop> ring_full_because_{TrafficDrop::kRingFull};

  std::mutex settled_mutex_;
  std::condition_variable settled_changed_;
  std::int64_t settled_ = 0;  // of those that were pushed

  // Of the writing thread: the batch in hand, its requests apart since they are written as a span.
  std::vector<store::TrafficRequest> rows_;
  std::vector<Item> items_;  // without their requests
  std::int64_t taken_ = 0;
  double oldest_at_ = 0;
  std::optional<double> try_again_at_;  // while rows are held
  bool is_well_ = true;                 // the last batch was written whole
  Thread thread_;
};

}  // namespace paring::monitor
