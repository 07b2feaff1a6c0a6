// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic_writer.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <semaphore>
#include <set>
#include <string>
#include <thread>

#include "base/metrics.h"

namespace paring::monitor {
namespace {

using store::TrafficAppended;
using store::TrafficRequest;

constexpr double kLong = 60;  // seconds that are not reached

TrafficRequest numbered(std::int64_t number) {
  TrafficRequest request;
  request.id = "req_" + std::to_string(number);
  request.started_s = 1'795'392'000 + static_cast<double>(number % 3000);
  request.status = number % 5 == 0 ? 500 : 200;
  request.is_complete = true;
  request.model = "m";
  request.tokens.prompt_fresh = number;
  request.seconds.total = 0.25;
  return request;
}

TrafficRequest with_content(std::int64_t number, std::size_t bytes) {
  TrafficRequest request = numbered(number);
  request.content = store::TrafficContent{std::string(bytes, 'x'), ""};
  return request;
}

TrafficAppended failed(std::size_t rows, ErrorCode code) {
  TrafficAppended done;
  done.failures.push_back({{}, Error{code, "the disk said no"}});
  for (std::size_t i = 0; i < rows; ++i) done.failures[0].rows.push_back(i);
  return done;
}

// A place to write to that does what a test says, and lets it know.
class FakeDisk {
 public:
  TrafficWriter::Append append() {
    return [this](std::span<const TrafficRequest> rows, const store::TrafficDb::Append& how) {
      entered.release();
      if (is_slow) go_on.acquire();
      const std::lock_guard lock(mutex);
      durability = how.durability;
      batches.push_back(static_cast<std::int64_t>(rows.size()));
      if (fails > 0) {
        --fails;
        return failed(rows.size(), code);
      }
      TrafficAppended done;
      for (const TrafficRequest& row : rows) {
        ids.push_back(row.id);
        with_content += row.content ? 1 : 0;
        ++done.written;
      }
      return done;
    };
  }

  std::counting_semaphore<> entered{0};  // once for each call
  std::counting_semaphore<> go_on{0};
  std::atomic<bool> is_slow{false};
  std::mutex mutex;
  int fails = 0;
  ErrorCode code = ErrorCode::kUnavailable;
  store::TrafficDurability durability{};
  std::vector<std::int64_t> batches;
  std::vector<std::string> ids;
  int with_content = 0;
};

std::int64_t dropped(const TrafficWriter& writer, TrafficDrop reason) {
  return writer.stats().dropped[static_cast<std::size_t>(reason)];
}

TEST(TrafficWriterTest, NamesAreThoseOfTheSettings) {
  EXPECT_EQ(traffic_mode_of("sync"), TrafficMode::kSync);
  EXPECT_STREQ(traffic_mode_name(TrafficMode::kBatch), "batch");
  EXPECT_FALSE(traffic_mode_of("fast").has_value());
  EXPECT_STREQ(traffic_drop_name(TrafficDrop::kDiskFull), "disk_full");
}

TEST(TrafficWriterTest, AQueueKeepsTheOrderOfEachThread) {
  detail::BoundedQueue<std::pair<int, int>> queue(8);
  constexpr int kEach = 20'000;
  std::vector<std::jthread> producers;
  for (int t = 0; t < 3; ++t) {
    producers.emplace_back([&queue, t] {
      for (int i = 0; i < kEach; ++i) {
        std::pair value(t, i);
        while (!queue.push(value)) std::this_thread::yield();
      }
    });
  }
  std::array<int, 3> next{};
  for (int taken = 0; taken < 3 * kEach;) {
    const auto value = queue.pop();
    if (!value) {
      std::this_thread::yield();
      continue;
    }
    ASSERT_EQ(value->second, next[static_cast<std::size_t>(value->first)]++);
    ++taken;
  }
  producers.clear();
  EXPECT_FALSE(queue.pop().has_value());
}

TEST(TrafficWriterTest, AFullQueueSaysNoAndKeepsTheValue) {
  detail::BoundedQueue<std::string> queue(2);
  std::string value = "a";
  for (int round = 0; round < 5; ++round) {
    value = "a";
    EXPECT_TRUE(queue.push(value));
    value = "b";
    EXPECT_TRUE(queue.push(value));
    value = "c";
    EXPECT_FALSE(queue.push(value));
    EXPECT_EQ(value, "c");
    EXPECT_EQ(queue.pop(), "a");
    EXPECT_EQ(queue.pop(), "b");
    EXPECT_FALSE(queue.pop().has_value());
  }
}

TEST(TrafficWriterTest, ABatchIsWrittenWhenItIsLargeEnough) {
  FakeDisk disk;
  TrafficWriter writer(disk.append(), {.flush_seconds = 1e6, .batch_rows = 4});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(writer.record(numbered(i)));
  disk.entered.acquire();
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.batches, std::vector<std::int64_t>{4});
  EXPECT_EQ(disk.durability, store::TrafficDurability::kProcess);
}

TEST(TrafficWriterTest, ABatchIsWrittenWhenItIsOldEnough) {
  FakeDisk disk;
  TrafficWriter writer(disk.append(), {.flush_seconds = 0.001});
  for (int i = 0; i < 3; ++i) {  // also after it slept
    std::binary_semaphore is_done{0};
    writer.record(numbered(i), [&](bool is_stored) {
      EXPECT_TRUE(is_stored);
      is_done.release();
    });
    is_done.acquire();
  }
  EXPECT_EQ(disk.ids.size(), 3U);
}

TEST(TrafficWriterTest, FlushingDoesNotWaitForABatch) {
  FakeDisk disk;
  TrafficWriter writer(disk.append(), {.mode = TrafficMode::kBatch, .flush_seconds = 1e6});
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_TRUE(writer.record(numbered(1)));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.ids, std::vector<std::string>{"req_1"});
  EXPECT_EQ(disk.durability, store::TrafficDurability::kPower);
}

TEST(TrafficWriterTest, TheEndWritesWhatWaits) {
  FakeDisk disk;
  {
    TrafficWriter writer(disk.append(), {.flush_seconds = 1e6, .batch_rows = 10});
    for (int i = 0; i < 95; ++i) EXPECT_TRUE(writer.record(numbered(i)));
  }
  EXPECT_EQ(disk.ids.size(), 95U);
}

TEST(TrafficWriterTest, SyncAnswersOnceTheRowIsSafe) {
  FakeDisk disk;
  TrafficWriter writer(disk.append(), {.mode = TrafficMode::kSync, .flush_seconds = 1e6});
  EXPECT_TRUE(writer.record(numbered(1)));
  EXPECT_EQ(disk.ids.size(), 1U);
  EXPECT_EQ(disk.durability, store::TrafficDurability::kPower);
  disk.fails = 1;
  EXPECT_FALSE(writer.record(numbered(2)));
  EXPECT_TRUE(writer.record(numbered(3)));
  EXPECT_EQ(dropped(writer, TrafficDrop::kLocked), 1);
  EXPECT_EQ(writer.loss_rows_max(), 0);
}

// A disk that does not answer: nobody waits for it, and each row is accounted for.
TEST(TrafficWriterTest, ASlowDiskDropsAndCountsAndNeverBlocks) {
  FakeDisk disk;
  disk.is_slow = true;
  const std::uint64_t metric_before = metrics().traffic_dropped_ring_full.value();
  int done_calls = 0;
  {
    TrafficWriter writer(disk.append(), {.flush_seconds = 1e6, .batch_rows = 2, .ring_slots = 8});
    EXPECT_TRUE(writer.record(numbered(0)));
    EXPECT_TRUE(writer.record(numbered(1)));
    disk.entered.acquire();  // it is in the disk's hands now
    for (int i = 2; i < 10; ++i) EXPECT_TRUE(writer.record(numbered(i))) << i;
    for (int i = 10; i < 15; ++i) {
      writer.record(numbered(i), [&](bool is_stored) {
        EXPECT_FALSE(is_stored);
        ++done_calls;
      });
    }
    EXPECT_EQ(done_calls, 5);
    EXPECT_FALSE(writer.flush(0));
    EXPECT_EQ(dropped(writer, TrafficDrop::kRingFull), 5);
    EXPECT_EQ(writer.stats().pending, 10);
    EXPECT_EQ(writer.loss_rows_max(), 10);
    disk.is_slow = false;
    disk.go_on.release();
    EXPECT_TRUE(writer.flush(kLong));
    const TrafficWriter::Stats stats = writer.stats();
    EXPECT_EQ(stats.offered, 15);
    EXPECT_EQ(stats.stored, 10);
    EXPECT_EQ(stats.dropped_in_all(), 5);
    EXPECT_EQ(stats.pending, 0);
  }
  EXPECT_EQ(disk.ids.size(), 10U);
  EXPECT_EQ(metrics().traffic_dropped_ring_full.value(), metric_before + 5);
}

TEST(TrafficWriterTest, ContentGoesBeforeRows) {
  FakeDisk disk;
  disk.is_slow = true;
  TrafficWriter writer(disk.append(),
                       {.flush_seconds = 1e6, .batch_rows = 1, .content_bytes_max = 1000});
  EXPECT_TRUE(writer.record(with_content(1, 600)));
  disk.entered.acquire();
  EXPECT_TRUE(writer.record(with_content(2, 600)));  // does not fit
  EXPECT_TRUE(writer.record(with_content(3, 400)));
  EXPECT_TRUE(writer.record(with_content(4, 5000)));
  disk.is_slow = false;
  disk.go_on.release();
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.ids.size(), 4U);
  EXPECT_EQ(disk.with_content, 2);
  EXPECT_EQ(writer.stats().content_dropped, 2);
  // What was written makes room.
  EXPECT_TRUE(writer.record(with_content(5, 1000)));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.with_content, 3);
}

TEST(TrafficWriterTest, ContentIsMadeReadyBeforeItIsWritten) {
  FakeDisk disk;
  TrafficWriter::Options options{.batch_rows = 1};
  options.prepare = [](store::TrafficContent& content) {
    if (content.prompt == "xx") return false;
    content.prompt = "ready";
    return true;
  };
  std::vector<std::string> prompts;
  const TrafficWriter::Append append = [&](std::span<const TrafficRequest> rows,
                                           const store::TrafficDb::Append& how) {
    for (const TrafficRequest& row : rows) {
      prompts.push_back(row.content ? row.content->prompt : "none");
    }
    return disk.append()(rows, how);
  };
  const std::uint64_t before = metrics().traffic_content_dropped_not_redacted.value();
  {
    TrafficWriter writer(append, options);
    for (std::size_t bytes = 1; bytes <= 3; ++bytes) {
      EXPECT_TRUE(writer.record(with_content(static_cast<std::int64_t>(bytes), bytes)));
    }
    ASSERT_TRUE(writer.flush(kLong));
    EXPECT_EQ(writer.stats().stored, 3);
    EXPECT_EQ(writer.stats().content_dropped, 1);
  }
  EXPECT_EQ(prompts, (std::vector<std::string>{"ready", "none", "ready"}));
  EXPECT_EQ(metrics().traffic_content_dropped_not_redacted.value() - before, 1U);
}

// Content that takes long to make ready goes before it costs rows.
TEST(TrafficWriterTest, SlowPreparationCostsContentAndNoRow) {
  FakeDisk disk;
  std::counting_semaphore<> entered{0};
  std::counting_semaphore<> go_on{0};
  TrafficWriter::Options options{.batch_rows = 16, .ring_slots = 8};
  options.prepare = [&](store::TrafficContent&) {
    entered.release();
    go_on.acquire();
    return true;
  };
  {
    TrafficWriter writer(disk.append(), options);
    EXPECT_TRUE(writer.record(with_content(0, 10)));
    entered.acquire();
    for (std::int64_t i = 1; i <= 8; ++i) EXPECT_TRUE(writer.record(with_content(i, 10)));
    go_on.release(100);
    ASSERT_TRUE(writer.flush(kLong));
    EXPECT_EQ(writer.stats().stored, 9);
    EXPECT_EQ(writer.stats().content_dropped, 3);  // until half of the slots were free
  }
  EXPECT_EQ(disk.with_content, 6);
}

TEST(TrafficWriterTest, WhatTheDiskRefusesIsTriedAgain) {
  FakeDisk disk;
  disk.fails = 3;
  TrafficWriter writer(disk.append(), {.batch_rows = 4, .retry_seconds = 0.001});
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(writer.record(numbered(i)));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.ids.size(), 4U);
  EXPECT_GE(disk.batches.size(), 4U);
  EXPECT_EQ(writer.stats().dropped_in_all(), 0);
}

TEST(TrafficWriterTest, AFullRingIsCountedUnderTheReasonOfTheDisk) {
  FakeDisk disk;
  disk.fails = 1;
  disk.code = ErrorCode::kIo;
  TrafficWriter writer(
      disk.append(),
      {.flush_seconds = 1e6, .batch_rows = 2, .ring_slots = 4, .retry_seconds = 1e6});
  EXPECT_TRUE(writer.record(numbered(0)));
  EXPECT_TRUE(writer.record(numbered(1)));
  disk.entered.acquire();
  // Rows are dropped once the ring is full; the reason is known once the batch has come back.
  while (dropped(writer, TrafficDrop::kIo) == 0) (void)writer.record(numbered(2));
  EXPECT_EQ(writer.stats().stored, 0);
}

TEST(TrafficWriterTest, AFullDiskLosesTheContentAndKeepsTheRow) {
  for (const TrafficMode mode : {TrafficMode::kAsync, TrafficMode::kSync}) {
    FakeDisk disk;
    disk.fails = 1;
    disk.code = ErrorCode::kExhausted;
    TrafficWriter writer(disk.append(), {.mode = mode, .retry_seconds = 1e6});
    EXPECT_TRUE(writer.record(with_content(1, 10)));
    EXPECT_TRUE(writer.flush(kLong));
    EXPECT_EQ(disk.ids.size(), 1U);
    EXPECT_EQ(disk.with_content, 0);
    EXPECT_EQ(writer.stats().content_dropped, 1);
    EXPECT_EQ(writer.stats().dropped_in_all(), 0);
  }
}

TEST(TrafficWriterTest, WhatCanNeverBeWrittenIsNotHeld) {
  FakeDisk disk;
  disk.fails = 1;
  disk.code = ErrorCode::kUnsupported;
  TrafficWriter writer(disk.append(), {.retry_seconds = 1e6});
  EXPECT_TRUE(writer.record(numbered(1)));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(dropped(writer, TrafficDrop::kRefused), 1);
  EXPECT_TRUE(writer.record(numbered(2)));
  EXPECT_TRUE(writer.flush(kLong));
  EXPECT_EQ(disk.ids, std::vector<std::string>{"req_2"});
}

TEST(TrafficWriterTest, TheEndDoesNotWaitForADiskThatRefuses) {
  FakeDisk disk;
  disk.fails = 1'000'000;
  disk.code = ErrorCode::kExhausted;
  const std::uint64_t before = metrics().traffic_dropped_disk_full.value();
  {
    TrafficWriter writer(disk.append(), {.batch_rows = 4, .retry_seconds = 1e6});
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(writer.record(numbered(i)));
    disk.entered.acquire();  // a batch is held, the rest stays in the ring
    for (int i = 4; i < 11; ++i) EXPECT_TRUE(writer.record(numbered(i)));
  }
  EXPECT_EQ(metrics().traffic_dropped_disk_full.value(), before + 11);
}

TEST(TrafficWriterTest, TotalsAreThoseOfAnIndependentCount) {
  std::string folder = (std::filesystem::temp_directory_path() / "paring_writer_XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  {
    const Result<store::TrafficDb> traffic = store::TrafficDb::open({.data = folder + "/data"});
    ASSERT_TRUE(traffic.has_value()) << traffic.error().text();
    TrafficWriter writer(*traffic, {.flush_seconds = 0.01, .ring_slots = 512});
    std::atomic<std::int64_t> errors{0};
    std::atomic<std::int64_t> tokens{0};
    std::atomic<std::int64_t> refused{0};
    std::vector<std::jthread> producers;
    for (std::int64_t t = 0; t < 4; ++t) {
      producers.emplace_back([&, t] {
        for (std::int64_t i = t * 2500; i < (t + 1) * 2500; ++i) {
          // Whoever drops a row offers it again, so that all 10,000 arrive.
          while (!writer.record(numbered(i))) {
            refused += 1;
            std::this_thread::yield();
          }
          errors += i % 5 == 0 ? 1 : 0;
          tokens += i;
        }
      });
    }
    producers.clear();
    ASSERT_TRUE(writer.flush(kLong));
    const TrafficWriter::Stats stats = writer.stats();
    EXPECT_EQ(stats.offered, 10'000 + refused);
    EXPECT_EQ(stats.stored, 10'000);
    EXPECT_EQ(stats.dropped_in_all(), refused);
    EXPECT_EQ(stats.pending, 0);
    const auto sums = traffic->summary({});
    ASSERT_TRUE(sums.has_value());
    EXPECT_EQ(sums->requests, 10'000);
    EXPECT_EQ(sums->errors, errors);
    EXPECT_EQ(sums->prompt_fresh, tokens);
    EXPECT_DOUBLE_EQ(sums->total_seconds, 2500);
    EXPECT_EQ(sums->total.count(), 10'000U);
    std::set<std::string> ids;
    std::string cursor;
    do {
      const auto page = traffic->page({}, cursor, 1000);
      ASSERT_TRUE(page.has_value());
      for (const TrafficRequest& row : page->rows) EXPECT_TRUE(ids.insert(row.id).second);
      cursor = page->next;
    } while (!cursor.empty());
    EXPECT_EQ(ids.size(), 10'000U);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace paring::monitor
