// SPDX-License-Identifier: Apache-2.0
#include "monitor/machine_watch.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "monitor/energy_meter.h"

namespace paring::monitor {
namespace {

const std::string kLibrary = PARING_FAKE_GPUS;

class Watch : public testing::Test {
 protected:
  void SetUp() override {
    library_ = ::dlopen(kLibrary.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library_, nullptr) << ::dlerror();
    set(0, 0);
  }
  void TearDown() override {
    if (library_ != nullptr) set(0, 0);
  }
  void set(int error, int is_lost) const {
    reinterpret_cast<void (*)(int, int)>(::dlsym(library_, "fake_gpus_set"))(error, is_lost);
  }
  void use_millijoules(unsigned long long amount) const {
    reinterpret_cast<void (*)(unsigned long long)>(::dlsym(library_, "fake_gpus_use"))(amount);
  }

 private:
  void* library_ = nullptr;
};

TEST_F(Watch, GpuEnergyIsWhatTheCounterGrewBy) {
  FakeClock clock;
  MachineWatch watch({.gpus = {.nvml = {kLibrary}, .rocm_smi = {}}}, clock);
  EXPECT_EQ(watch.sample().joules, 0) << "the counter counts since the driver was loaded";
  clock.advance(1);
  use_millijoules(2500);
  const GpuEnergy energy = watch.sample();
  EXPECT_NEAR(energy.joules, 2.5, 1e-6);
  EXPECT_FALSE(energy.is_measured) << "of the second card nothing is known";
  clock.advance(1);
  use_millijoules(500);
  watch.sample();
  const MachineReading reading = watch.reading();
  ASSERT_EQ(reading.gpus.size(), 2U);
  EXPECT_TRUE(reading.gpus[0].has_energy && reading.gpus[0].is_joules_measured);
  EXPECT_NEAR(reading.gpus[0].joules, 3.0, 1e-6);
  EXPECT_FALSE(reading.gpus[1].has_energy);
}

TEST_F(Watch, WithoutTheSecondCardAllIsMeasured) {
  set(0, 1);
  FakeClock clock;
  MachineWatch watch({.gpus = {.nvml = {kLibrary}, .rocm_smi = {}}}, clock);
  watch.sample();
  clock.advance(1);
  use_millijoules(1000);
  const GpuEnergy energy = watch.sample();
  EXPECT_NEAR(energy.joules, 1.0, 1e-6);
  EXPECT_TRUE(energy.is_measured);
}

TEST_F(Watch, TheMeterAddsWhatGpusUse) {
  set(0, 1);
  FakeClock clock;
  MachineWatch watch({.gpus = {.nvml = {kLibrary}, .rocm_smi = {}}}, clock);
  EnergyMeter meter({.busy_seconds = [] { return 0.0; },
                     .model = {.idle = 10, .busy_cpu = 0},
                     .root = "/nowhere",
                     .machine = &watch,
                     .period_seconds = 0},
                    clock);
  meter.sample();
  clock.advance(1);
  meter.sample();
  const double before = meter.totals().total();
  clock.advance(1);
  use_millijoules(7000);
  meter.sample();
  EXPECT_NEAR(meter.totals().total() - before, 10 + 7, 1e-6);
}

TEST(MachineWatch, TotalsGrowByWhatSecondsTell) {
  MachineWatch watch({.gpus = {.nvml = {}, .rocm_smi = {}}});
  EXPECT_FALSE(watch.reading().host);
  watch.sample();
  EXPECT_FALSE(watch.reading().totals.process_cpu_seconds) << "nothing to compare with yet";
  watch.sample();
  const MachineReading reading = watch.reading();
  ASSERT_TRUE(reading.host);
  EXPECT_GT(reading.host->resident_bytes.value_or(0), 0U);
  EXPECT_GE(reading.totals.process_cpu_seconds.value_or(-1), 0);
  EXPECT_GE(reading.totals.minor_faults.value_or(-1), 0);
  EXPECT_TRUE(reading.gpus.empty());
}

}  // namespace
}  // namespace paring::monitor
