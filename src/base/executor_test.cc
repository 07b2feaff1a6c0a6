// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <gtest/gtest.h>
#include <time.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/cpus.h"

namespace paring {
namespace {

// All threads work, whatever quota the tests run under.
std::unique_ptr<Executor> make(std::size_t threads, bool pin = true) {
  auto executor = Executor::create({.threads = threads, .pin = pin, .obeys_quota = false});
  EXPECT_TRUE(executor.has_value());
  return std::move(executor).value();
}

TEST(SplitRange, CoversEveryItemOnceAtMultiplesOfTheGrain) {
  for (std::size_t count : {0, 1, 15, 16, 17, 33, 1000}) {
    for (std::size_t grain : {1, 3, 16}) {
      for (std::size_t parts : {1, 2, 3, 8}) {
        std::size_t next = 0;
        std::size_t longest = 0;
        std::size_t shortest = count;
        for (std::size_t index = 0; index < parts; ++index) {
          const Range range = split_range(count, grain, index, parts);
          ASSERT_EQ(range.begin, next);
          ASSERT_TRUE(range.end % grain == 0 || range.end == count);
          next = range.end;
          longest = std::max(longest, range.size());
          shortest = std::min(shortest, range.size());
        }
        ASSERT_EQ(next, count);
        ASSERT_LE(longest - shortest, 2 * grain) << count << " " << grain << " " << parts;
      }
    }
  }
}

// Every worker counts the barriers in its own cell and checks that nobody is ahead or behind: a
// barrier that lets a worker through early, or loses one, fails or hangs here.
void stress(std::size_t threads, unsigned barriers, bool pin) {
  auto executor = make(threads, pin);
  ASSERT_EQ(executor->threads(), threads);
  struct alignas(64) Cell {
    unsigned count = 0;
  };
  std::vector<Cell> cells(threads);
  std::atomic<unsigned> wrong{0};
  executor->run([&](Worker& worker) {
    for (unsigned i = 0; i < barriers; ++i) {
      cells[worker.index()].count = i + 1;
      worker.barrier();
      const std::size_t neighbour = (worker.index() + 1) % worker.count();
      if (cells[neighbour].count != i + 1) wrong.fetch_add(1, std::memory_order_relaxed);
      worker.barrier();
    }
  });
  EXPECT_EQ(wrong.load(), 0u);
  for (const Cell& cell : cells) EXPECT_EQ(cell.count, barriers);
}

TEST(Executor, HundredThousandBarriersOneThread) { stress(1, 50000, true); }
TEST(Executor, HundredThousandBarriersTwoThreads) { stress(2, 50000, true); }
TEST(Executor, HundredThousandBarriersThreeThreads) { stress(3, 50000, true); }
TEST(Executor, HundredThousandBarriersEightThreads) { stress(8, 50000, true); }
TEST(Executor, BarriersWithoutPins) { stress(2, 10000, false); }

TEST(Executor, ManyShortJobsRunOnEveryWorkerOnce) {
  for (std::size_t threads : {1, 2, 5}) {
    auto executor = make(threads);
    std::vector<unsigned> runs(threads, 0);
    for (unsigned i = 0; i < 5000; ++i) {
      executor->run([&](Worker& worker) { ++runs[worker.index()]; });
    }
    for (const unsigned count : runs) EXPECT_EQ(count, 5000u);
  }
}

TEST(Executor, WorkSplitByIndexCoversAllItems) {
  auto executor = make(3);
  std::vector<int> items(1000, 0);
  executor->run([&](Worker& worker) {
    const Range range = worker.split(items.size(), 16);
    for (std::size_t i = range.begin; i < range.end; ++i) ++items[i];
  });
  EXPECT_EQ(std::count(items.begin(), items.end(), 1), 1000);
}

TEST(Executor, ConcurrentCallersAreServedOneAfterTheOther) {
  auto executor = make(2);
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  std::atomic<int> runs{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        executor->run([&](Worker& worker) {
          if (worker.is_first() && inside.fetch_add(1) != 0) ++overlaps;
          worker.barrier();
          ++runs;
          worker.barrier();
          if (worker.is_first()) --inside;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(overlaps.load(), 0);
  EXPECT_EQ(runs.load(), 4 * 200 * 2);
}

TEST(Executor, CallerGetsItsAffinityBack) {
  const std::vector<int> before = affinity_cpus();
  auto executor = make(0);
  std::vector<std::size_t> widths(executor->threads(), 0);
  executor->run([&](Worker& worker) { widths[worker.index()] = affinity_cpus().size(); });
  EXPECT_EQ(affinity_cpus(), before);
  const CpuLimits limits = cpu_limits("", before);
  const bool pins = executor->threads() > 1 && !limits.quota;
  for (const std::size_t width : widths) EXPECT_EQ(width, pins ? 1u : before.size());
}

// Confined to one CPU, spinning workers would burn the CPU that the awaited worker needs: 2000
// barriers then cost 0.4 s and more of CPU time. Sleeping they cost a few milliseconds. CPU time,
// not elapsed time, so that other load on the machine does not matter.
TEST(Executor, OneCpuDoesNotCollapse) {
  const auto cpu_seconds = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const std::vector<int> before = affinity_cpus();
  ASSERT_TRUE(set_affinity({before.back()}));
  auto defaults = make(0);
  EXPECT_EQ(defaults->threads(), 1u);
  auto executor = make(3);
  const double start = cpu_seconds();
  executor->run([](Worker& worker) {
    for (int i = 0; i < 2000; ++i) worker.barrier();
  });
  const double used = cpu_seconds() - start;
  executor.reset();
  ASSERT_TRUE(set_affinity(before));
  EXPECT_LT(used, 0.15);
}

// A machine whose control group has a quota that can be changed.
class ExecutorQuota : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        std::filesystem::temp_directory_path() / ("paring_executor_" + std::to_string(getpid()));
    std::filesystem::create_directories(root_ / "proc/self");
    std::filesystem::create_directories(root_ / "sys/fs/cgroup/a");
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    put("proc/self/cgroup", "0::/a\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const char* path, const std::string& text) const { std::ofstream(root_ / path) << text; }
  void set_quota(const std::string& text) const {
    put("sys/fs/cgroup/a/cpu.max", text + " 100000\n");
  }
  // The workers of a job, each of which met the others.
  static std::size_t workers(Executor& executor) {
    std::atomic<std::size_t> met{0};
    std::size_t count = 0;
    executor.run([&](Worker& worker) {
      ++met;
      worker.barrier();
      if (worker.is_first()) count = worker.count();
      worker.barrier();
      EXPECT_EQ(met.load(), worker.count());
      EXPECT_LT(worker.index(), worker.count());
    });
    return count;
  }

  std::filesystem::path root_;
};

TEST_F(ExecutorQuota, BoundsTheWorkersOfAJobWhileItIsThere) {
  set_quota("120000");
  const auto executor = Executor::create({.threads = 3, .root = root_.string()}).value();
  EXPECT_EQ(executor->threads(), 3u);
  EXPECT_EQ(workers(*executor), 1u);
  const auto soon = [&](const std::string& quota, std::size_t wanted) {
    set_quota(quota);
    for (int tries = 0; tries < 100 && workers(*executor) != wanted; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    for (int i = 0; i < 200; ++i) EXPECT_EQ(workers(*executor), wanted) << quota;
  };
  soon("max", 3);
  soon("200000", 2);
  soon("250000", 3);
  soon("100000", 1);
  const auto all =
      Executor::create({.threads = 3, .obeys_quota = false, .root = root_.string()}).value();
  EXPECT_EQ(workers(*all), 3u);
  EXPECT_EQ(Executor::create({.root = root_.string()}).value()->threads(), 1u);
}

TEST(Executor, RefusesTooManyThreads) {
  const auto executor = Executor::create({.threads = Executor::kThreadsMax + 1});
  ASSERT_FALSE(executor.has_value());
  EXPECT_EQ(executor.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(executor.error().message.find("257"), std::string::npos);
}

TEST(ExecutorDeathTest, NestedRunIsABug) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto executor = make(1);
        executor->run([&](Worker&) { executor->run([](Worker&) {}); });
      },
      "a job called run");
}

}  // namespace
}  // namespace paring
