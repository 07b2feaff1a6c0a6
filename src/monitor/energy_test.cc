// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/random.h"
#include "monitor/energy_account.h"
#include "monitor/energy_meter.h"

namespace paring::monitor {
namespace {

namespace fs = std::filesystem;

TEST(EnergyAccount, WorkHasWhatTheEngineUsedWhileItComputed) {
  EnergyAccount account;
  account.add(5, 0, 1);  // 5 W idle
  account.add(20, 0.5, 1);
  EXPECT_DOUBLE_EQ(account.watts_of_work(), (20 - 2.5) / 0.5);
  EXPECT_DOUBLE_EQ(account.charge(0.2), 0.2 * 35);
  EXPECT_DOUBLE_EQ(account.charge(0.3), 0.3 * 35);
  const EnergyTotals totals = account.totals();
  EXPECT_DOUBLE_EQ(totals.requests, 17.5);
  EXPECT_DOUBLE_EQ(totals.idle, 7.5);
  EXPECT_NEAR(totals.pool, 0, 1e-12);
  EXPECT_DOUBLE_EQ(totals.total(), 25);
}

TEST(EnergyAccount, WithoutAnIdleIntervalWaitingHasItsShareOfTime) {
  EnergyAccount account;
  account.add(20, 0.25, 1);
  EXPECT_DOUBLE_EQ(account.totals().idle, 15);
  EXPECT_DOUBLE_EQ(account.watts_of_work(), 20);
}

TEST(EnergyAccount, WhatNobodyAskedForIsBackground) {
  EnergyAccount account;
  account.add(5, 0, 1);
  account.add(10, 1, 1);
  account.charge(0.4);
  account.add(5, 0, 1);
  const EnergyTotals totals = account.totals();
  EXPECT_DOUBLE_EQ(totals.requests, 4);
  EXPECT_DOUBLE_EQ(totals.background, 6);
  EXPECT_DOUBLE_EQ(totals.pool, 0);
  EXPECT_DOUBLE_EQ(totals.total(), 20);
}

TEST(EnergyAccount, NonsenseIsNotCounted) {
  EnergyAccount account;
  account.add(-1, 0.5, 1);
  account.add(std::nan(""), 0.5, 1);
  account.add(1, 0.5, 0);
  EXPECT_EQ(account.charge(-1), 0);
  EXPECT_EQ(account.charge(std::nan("")), 0);
  EXPECT_EQ(account.totals().total(), 0);
}

// Requests of any length, which end at any time in a second, under power that changes.
TEST(EnergyAccount, PartsAddUpToTheWhole) {
  RandomStream random({.seed = 3});
  EnergyAccount account;
  double came = 0;
  double charged = 0;
  double open = 0;  // seconds of work of requests that have not ended
  double handed_by_true_rate = 0;
  for (int second = 0; second < 2000; ++second) {
    const double busy = random.below(4) == 0 ? 0 : random.uniform();
    const double watts = 20 + 10 * std::sin(second / 50.0);
    const double joules = 4 * (1 - busy) + watts * busy;
    open += busy;
    handed_by_true_rate += watts * busy;
    // Some end before the second was measured.
    const double early = open * random.uniform() * 0.5;
    charged += account.charge(early);
    open -= early;
    account.add(joules, busy, 1);
    came += joules;
    if (busy == 0) open = 0;  // the engine is idle: nobody has work left
    const double late = open * random.uniform();
    charged += account.charge(late);
    open -= late;
  }
  const EnergyTotals totals = account.totals();
  EXPECT_NEAR(totals.total(), came, 1e-9 * came);
  EXPECT_NEAR(totals.requests, charged, 1e-9 * came);
  EXPECT_LT(std::abs(totals.pool), 0.01 * came);
  // Requests and background have what the engine used.
  EXPECT_NEAR(totals.requests + totals.background + totals.pool, handed_by_true_rate,
              0.02 * handed_by_true_rate);
}

// A machine of files.
class Tree {
 public:
  Tree() : root_(testing::TempDir() + "energy_" + std::to_string(::getpid())) {
    fs::remove_all(root_);
    fs::create_directories(zone());
    fs::create_directories(root_ + "/proc");
    write(zone() + "/name", "package-0");
    write(zone() + "/max_energy_range_uj", "1000000000");
    set_counter(999'000'000);
    set_cpu(0);
  }
  ~Tree() { fs::remove_all(root_); }
  const std::string& root() const { return root_; }
  void set_counter(std::uint64_t microjoules) {
    write(zone() + "/energy_uj", std::to_string(microjoules));
  }
  void set_cpu(int seconds) {
    write(root_ + "/proc/stat",
          "cpu  " + std::to_string(seconds * sysconf(_SC_CLK_TCK)) + " 0 0 900 5 0 0 0\n");
  }
  void remove_counter() { fs::remove_all(zone()); }

 private:
  std::string zone() const { return root_ + "/sys/class/powercap/intel-rapl:0"; }
  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path) << text << "\n";
  }
  std::string root_;
};

TEST(EnergyMeter, ReadsCountersAlsoWhenTheyWrapAround) {
  Tree tree;
  FakeClock clock;
  double busy = 7;
  EnergyMeter meter({.busy_seconds = [&] { return busy; },
                     .model = {.idle = 100, .busy_cpu = 100},
                     .root = tree.root(),
                     .period_seconds = 0},
                    clock);
  EXPECT_EQ(meter.kind(), store::JoulesKind::kMeasured);
  clock.advance(1);
  tree.set_counter(4'000'000);  // 5 J later
  meter.sample();
  EXPECT_NEAR(meter.totals().idle, 5, 1e-3);
  clock.advance(1);
  busy += 0.5;
  tree.set_counter(24'000'000);
  meter.sample();
  EXPECT_NEAR(meter.charge(0.5), 17.5, 1e-3);
  EXPECT_NEAR(meter.totals().total(), 25, 1e-3);
}

TEST(EnergyMeter, WithoutCountersTheModelSays) {
  Tree tree;
  tree.remove_counter();
  FakeClock clock;
  double busy = 0;
  EnergyMeter meter({.busy_seconds = [&] { return busy; },
                     .model = {.idle = 10, .busy_cpu = 5},
                     .root = tree.root(),
                     .period_seconds = 0},
                    clock);
  EXPECT_EQ(meter.kind(), store::JoulesKind::kEstimated);
  clock.advance(2);
  tree.set_cpu(3);
  busy = 2;
  meter.sample();
  EXPECT_DOUBLE_EQ(meter.totals().total(), 10 * 2 + 5 * 3);
  EXPECT_DOUBLE_EQ(meter.watts_of_work(), 17.5);
}

TEST(EnergyMeter, CountersThatGoAwayLeaveAnEstimate) {
  Tree tree;
  FakeClock clock;
  EnergyMeter meter({.busy_seconds = [] { return 0.0; },
                     .model = {.idle = 10, .busy_cpu = 5},
                     .root = tree.root(),
                     .period_seconds = 0},
                    clock);
  tree.remove_counter();
  clock.advance(1);
  meter.sample();
  EXPECT_EQ(meter.kind(), store::JoulesKind::kEstimated);
  EXPECT_DOUBLE_EQ(meter.totals().idle, 10);
}

TEST(EnergyMeter, TheFirstRequestIsMeasuredAtItsEnd) {
  Tree tree;
  tree.remove_counter();
  FakeClock clock;
  double busy = 0;
  EnergyMeter meter({.busy_seconds = [&] { return busy; },
                     .model = {.idle = 10, .busy_cpu = 0},
                     .root = tree.root(),
                     .period_seconds = 0},
                    clock);
  clock.advance(0.5);
  busy = 0.25;
  EXPECT_GT(meter.charge(0.25), 0);
}

TEST(WattsModel, GrowsWithTheMachine) {
  cost::Machine machine;
  machine.logical_cpus = 4;
  machine.memory_bytes = 10'000'000'000;
  const WattsModel model = WattsModel::of_machine(machine);
  EXPECT_NEAR(model.idle, 4 * 0.74 + 3.92, 1e-9);
  EXPECT_NEAR(model.busy_cpu, 2.76, 1e-9);
}

}  // namespace
}  // namespace paring::monitor
