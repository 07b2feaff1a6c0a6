// SPDX-License-Identifier: Apache-2.0
// Kills, full disks and held databases, in child processes where they would reach the test itself.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <string>
#include <thread>

#include "base/random.h"
#include "monitor/traffic_writer.h"

namespace paring::monitor {
namespace {

using store::TrafficDb;
using store::TrafficRequest;

constexpr double kLong = 60;
constexpr int kThreads = 2;

TrafficRequest named(const std::string& id) {
  TrafficRequest request;
  request.id = id;
  request.started_s = 1'795'392'000;
  request.status = 200;
  return request;
}

// What a child tells until it is killed.
struct Told {
  std::array<std::atomic<std::int64_t>, kThreads> recorded{};  // record() said yes
  std::atomic<std::int64_t> stored{0};
};

class TrafficFaults : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "paring_faults_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    void* shared =
        ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    told_ = std::construct_at(static_cast<Told*>(shared));
  }
  void TearDown() override {
    ::munmap(told_, sizeof(Told));
    std::filesystem::remove_all(root_);
  }
  Result<TrafficDb> open(std::int64_t busy_ms = 5000) const {
    return TrafficDb::open({.data = root_ + "/data", .busy_ms = busy_ms});
  }
  static int in_child(const std::function<int()>& work) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(work());
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // Records from two threads until it is killed, after a time that `random` gives.
  void record_and_kill(const TrafficWriter::Options& options, int round, RandomStream& random) {
    for (auto& each : told_->recorded) each = 0;
    told_->stored = 0;
    const pid_t child = ::fork();
    if (child == 0) {
      const Result<TrafficDb> traffic = open();
      if (!traffic) ::_exit(1);
      TrafficWriter writer(*traffic, options);
      std::vector<std::jthread> threads;
      for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          auto& recorded = told_->recorded[static_cast<std::size_t>(t)];
          const std::string prefix = std::to_string(round) + "." + std::to_string(t) + ".";
          for (std::int64_t i = 0;; i = recorded) {
            if (writer.record(named(prefix + std::to_string(i)))) recorded += 1;
            told_->stored = writer.stats().stored;
          }
        });
      }
    }
    // Most rounds begin to count when the first row is stored, so that a busy machine does not make
    // all of them kills of a process that has only begun.
    constexpr int kEarlyRounds = 5;  // every so many one does not
    constexpr int kWaitsMax = 50'000;
    for (int i = 0; round % kEarlyRounds != 0 && told_->stored == 0 && i < kWaitsMax; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    // Not a wait for something: the moment of the kill is what is random.
    std::this_thread::sleep_for(std::chrono::microseconds(4000 + random.below(40'000)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself with " << WEXITSTATUS(status);
  }
  // How many rows of a round are there; everything can be read.
  std::int64_t kept(int round) const {
    const Result<TrafficDb> traffic = open();
    EXPECT_TRUE(traffic.has_value());
    std::int64_t count = 0;
    std::string cursor;
    const std::string prefix = std::to_string(round) + ".";
    do {
      const auto page = traffic->page({}, cursor, 1000);
      EXPECT_TRUE(page.has_value());
      for (const TrafficRequest& row : page->rows) count += row.id.starts_with(prefix) ? 1 : 0;
      cursor = page->next;
    } while (!cursor.empty());
    EXPECT_EQ(traffic->health().damaged_files, 0);
    const auto sums = traffic->summary({});
    EXPECT_TRUE(sums.has_value());
    return count;
  }

  std::string root_;
  Told* told_ = nullptr;
};

TEST_F(TrafficFaults, KilledAtAnyMomentSyncLosesNothingThatWasAcknowledged) {
  RandomStream random({.seed = 1});
  std::int64_t acknowledged = 0;
  for (int round = 0; round < 50; ++round) {
    record_and_kill({.mode = TrafficMode::kSync}, round, random);
    const Result<TrafficDb> traffic = open();
    ASSERT_TRUE(traffic.has_value());
    for (int t = 0; t < kThreads; ++t) {
      const std::int64_t recorded = told_->recorded[static_cast<std::size_t>(t)];
      acknowledged += recorded;
      for (std::int64_t i = 0; i < recorded; ++i) {
        const std::string id =
            std::to_string(round) + "." + std::to_string(t) + "." + std::to_string(i);
        ASSERT_EQ(traffic->find(id)->size(), 1U) << id << " of " << recorded;
      }
    }
    ASSERT_EQ(traffic->health().damaged_files, 0);
  }
  EXPECT_GT(acknowledged, 50);
  std::cout << acknowledged << " acknowledged rows, none lost\n";
}

TEST_F(TrafficFaults, KilledAtAnyMomentAsyncLosesNoMoreThanItSays) {
  RandomStream random({.seed = 2});
  const TrafficWriter::Options options{.flush_seconds = 0.005, .batch_rows = 32, .ring_slots = 64};
  const std::int64_t bound = 64 + 32;
  std::int64_t all = 0;
  std::int64_t lost = 0;
  for (int round = 0; round < 50; ++round) {
    record_and_kill(options, round, random);
    std::int64_t recorded = 0;
    for (const auto& each : told_->recorded) recorded += each;
    const std::int64_t rows = kept(round);
    ASSERT_GE(rows, told_->stored) << "of round " << round;
    // Of each thread one row may be there that it had not counted yet.
    ASSERT_LE(recorded - rows, bound) << "of round " << round;
    ASSERT_LE(rows, recorded + kThreads);
    all += recorded;
    lost += std::max<std::int64_t>(recorded - rows, 0);
    ASSERT_TRUE(open()->remove_before(1e11).has_value());
  }
  EXPECT_GT(all, 50 * bound);
  std::cout << all << " rows, " << lost << " lost, at most " << bound << " a kill\n";
}

TEST_F(TrafficFaults, AFullDiskLosesContentThenRowsAndAllIsCounted) {
  const int code = in_child([this] {
    std::signal(SIGXFSZ, SIG_IGN);
    const auto limit = [](rlim_t bytes) {
      rlimit file_size{};
      if (::getrlimit(RLIMIT_FSIZE, &file_size) != 0) return false;
      file_size.rlim_cur = bytes;
      return ::setrlimit(RLIMIT_FSIZE, &file_size) == 0;
    };
    const Result<TrafficDb> traffic = open();
    if (!traffic) return 1;
    TrafficWriter writer(*traffic, {.batch_rows = 8, .ring_slots = 16, .retry_seconds = 0.01});
    if (!writer.record(named("first")) || !writer.flush(kLong)) return 2;
    // Room for rows, not for what they hold.
    if (!limit(400'000)) return 3;
    TrafficRequest large = named("large");
    large.content = store::TrafficContent{std::string(1'000'000, 'x'), ""};
    if (!writer.record(std::move(large)) || !writer.flush(kLong)) return 4;
    if (writer.stats().content_dropped != 1 || writer.stats().stored != 2) return 5;
    // No room at all: the batch is held, the ring fills, the rest is dropped and counted.
    if (!limit(1)) return 6;
    std::int64_t offered = 2;
    const auto full = static_cast<std::size_t>(TrafficDrop::kDiskFull);
    while (writer.stats().dropped[full] < 10) {
      writer.record(named("row " + std::to_string(offered++)), {});
      std::this_thread::yield();
    }
    // Room again: what was held is written.
    if (!limit(RLIM_INFINITY) || !writer.flush(kLong)) return 7;
    const TrafficWriter::Stats stats = writer.stats();
    if (stats.offered != offered || stats.pending != 0) return 8;
    if (stats.stored + stats.dropped_in_all() != offered) return 9;
    return traffic->summary({})->requests == stats.stored ? 0 : 10;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(open()->find("large")->size(), 1U);
  EXPECT_FALSE(open()->find("large")->at(0).has_content);
}

// Holds the lock that a writing process takes (SQLite's file format, 2.3.2: bytes of the -shm
// file), as a lock of an open file, which is another's to this very process.
TEST_F(TrafficFaults, ALockedDatabaseDelaysRowsAndNobodyElse) {
  const Result<TrafficDb> traffic = open(1);
  ASSERT_TRUE(traffic.has_value());
  TrafficWriter writer(*traffic, {.batch_rows = 4, .ring_slots = 8, .retry_seconds = 0.01});
  ASSERT_TRUE(writer.record(named("first")));
  ASSERT_TRUE(writer.flush(kLong));
  const int descriptor =
      ::open((traffic->folder() + "/2026-11-23.db-shm").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(descriptor, 0);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 120;
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(descriptor, F_OFD_SETLK, &lock), 0);
  std::int64_t offered = 1;
  const auto locked = static_cast<std::size_t>(TrafficDrop::kLocked);
  while (writer.stats().dropped[locked] < 5) {
    (void)writer.record(named("row " + std::to_string(offered++)));
    std::this_thread::yield();
  }
  EXPECT_EQ(writer.stats().stored, 1);
  EXPECT_EQ(traffic->summary({})->requests, 1);  // who reads does not wait
  lock.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(descriptor, F_OFD_SETLK, &lock), 0);
  EXPECT_TRUE(writer.flush(kLong));
  const TrafficWriter::Stats stats = writer.stats();
  EXPECT_EQ(stats.stored + stats.dropped_in_all(), offered);
  EXPECT_GE(stats.stored, 5);  // what was held
  EXPECT_EQ(traffic->summary({})->requests, stats.stored);
  ::close(descriptor);
}

TEST_F(TrafficFaults, ADamagedDayIsReplacedAndRowsGoOn) {
  {
    const Result<TrafficDb> traffic = open();
    TrafficWriter writer(*traffic, {});
    ASSERT_TRUE(writer.record(named("first")));
  }
  const std::string file = root_ + "/data/traffic/default/2026-11-23.db";
  std::filesystem::resize_file(file, 5000);
  const Result<TrafficDb> traffic = open();
  TrafficWriter writer(*traffic, {});
  ASSERT_TRUE(writer.record(named("second")));
  ASSERT_TRUE(writer.flush(kLong));
  EXPECT_EQ(writer.stats().stored, 1);
  EXPECT_EQ(traffic->health().damaged_files, 1);
  EXPECT_EQ(traffic->find("second")->size(), 1U);
}

}  // namespace
}  // namespace paring::monitor
