// SPDX-License-Identifier: Apache-2.0
#include "monitor/host_sampler.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/cpus.h"
#include "base/process.h"

namespace paring::monitor {
namespace {

namespace fs = std::filesystem;

constexpr double kNow = 1'795'392'000;

// A tree of files as the kernel shows them.
class Host {
 public:
  Host() {
    std::string name = (fs::temp_directory_path() / "paring-host-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) root = name;
  }
  ~Host() {
    std::error_code error;
    fs::remove_all(root, error);
  }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  }
  // Ticks of the machine that were busy, and of the process in user and system mode.
  void busy(int host, int user, int system, int minor, int major) const {
    write("/proc/stat", fmt::format("cpu  {} 0 0 9000 50 0 0 0 0 0\n", host));
    write("/proc/self/stat",
          fmt::format("7 (a ) b (c) S 1 7 7 0 -1 4194560 {} 99 {} 98 {} {} 97 96 20 0 5 0 123 "
                      "1000000 250 18446744073709551615\n",
                      minor, major, user, system));
  }
  void cgroup_v2() const {
    write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write("/proc/self/cgroup", "0::/box/own\n");
    write("/sys/fs/cgroup/box/cpu.max", "150000 100000\n");
    write("/sys/fs/cgroup/box/memory.max", "1000000\n");
    write("/sys/fs/cgroup/box/memory.current", "400000\n");
    throttled(1'000'000, 500'000);
  }
  void throttled(int own_us, int above_us) const {
    const auto text = [](int us) {
      return fmt::format("usage_usec 5\nnr_throttled 2\nthrottled_usec {}\n", us);
    };
    write("/sys/fs/cgroup/box/own/cpu.stat", text(own_us));
    write("/sys/fs/cgroup/box/cpu.stat", text(above_us));
  }

  std::string root;
};

double ticks(double count) { return count / static_cast<double>(::sysconf(_SC_CLK_TCK)); }

TEST(HostSampler, RatesAreAboutTheTimeBetweenTwoSamples) {
  const Host host;
  FakeClock clock(kNow);
  host.busy(1000, 100, 50, 10, 1);
  HostSampler sampler({.root = host.root}, clock);
  const HostSample first = sampler.sample();
  EXPECT_EQ(first.at_s, kNow);
  EXPECT_FALSE(first.host_cpus || first.process_cpus || first.minor_faults || first.major_faults);
  EXPECT_EQ(first.resident_bytes, 250U * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));

  clock.advance(2);
  host.busy(1360, 220, 90, 17, 4);
  const HostSample second = sampler.sample();
  EXPECT_DOUBLE_EQ(second.seconds, 2);
  EXPECT_DOUBLE_EQ(second.host_cpus.value(), ticks(360) / 2);
  EXPECT_DOUBLE_EQ(second.process_cpus.value(), ticks(160) / 2);
  EXPECT_EQ(second.minor_faults, 7U);
  EXPECT_EQ(second.major_faults, 3U);
}

TEST(HostSampler, AbsentFilesAreAbsentFigures) {
  const Host host;
  FakeClock clock(kNow);
  HostSampler sampler({.root = host.root}, clock);
  sampler.sample();
  clock.advance(1);
  const HostSample sample = sampler.sample();
  EXPECT_DOUBLE_EQ(sample.seconds, 1);
  EXPECT_FALSE(sample.host_cpus || sample.process_cpus || sample.minor_faults ||
               sample.major_faults || sample.throttled_seconds || sample.frequency_hz ||
               sample.resident_bytes || sample.available_bytes || sample.cpu_quota ||
               sample.memory_limit_bytes || sample.memory_used_bytes ||
               sample.memory_bytes_per_second);
}

TEST(HostSampler, BrokenFilesAreAbsentFigures) {
  const Host host;
  host.write("/proc/self/stat", "7 (x) S 1 7");
  host.write("/proc/stat", "cpu  many\n");
  host.write("/proc/cpuinfo", "cpu MHz : fast\ncpu MHz");
  FakeClock clock(kNow);
  HostSampler sampler({.root = host.root}, clock);
  sampler.sample();
  clock.advance(1);
  const HostSample sample = sampler.sample();
  EXPECT_FALSE(sample.host_cpus || sample.process_cpus || sample.resident_bytes ||
               sample.frequency_hz);
}

TEST(HostSampler, CounterThatBeginsAnewIsNoFigure) {
  const Host host;
  FakeClock clock(kNow);
  host.busy(1000, 100, 50, 10, 1);
  HostSampler sampler({.root = host.root}, clock);
  sampler.sample();
  clock.advance(1);
  host.busy(10, 1, 1, 1, 0);
  const HostSample sample = sampler.sample();
  EXPECT_FALSE(sample.host_cpus || sample.process_cpus || sample.minor_faults);
  clock.advance(1);
  host.busy(20, 1, 1, 1, 0);
  EXPECT_DOUBLE_EQ(sampler.sample().host_cpus.value(), ticks(10));
}

TEST(HostSampler, LimitsOfControlGroups) {
  const Host host;
  host.cgroup_v2();
  host.write("/proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n");
  FakeClock clock(kNow);
  HostSampler sampler({.root = host.root}, clock);
  EXPECT_FALSE(sampler.sample().throttled_seconds);
  clock.advance(1);
  host.throttled(1'250'000, 600'000);
  const HostSample sample = sampler.sample();
  EXPECT_NEAR(sample.throttled_seconds.value(), 0.35, 1e-9);  // own and above
  EXPECT_DOUBLE_EQ(sample.cpu_quota.value(), 1.5);
  EXPECT_EQ(sample.memory_limit_bytes, 1'000'000U);
  EXPECT_EQ(sample.memory_used_bytes, 400'000U);
  EXPECT_EQ(sample.available_bytes, 600'000U);  // less than MemAvailable
  // Limits may change while we run.
  host.write("/sys/fs/cgroup/box/cpu.max", "50000 100000\n");
  EXPECT_DOUBLE_EQ(sampler.sample().cpu_quota.value(), 0.5);
}

TEST(HostSampler, ThrottledTimeOfVersionOneIsInNanoseconds) {
  const Host host;
  host.write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  host.write("/proc/self/cgroup", "4:cpu:/\n");
  host.write("/sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 1\nthrottled_time 1000000000\n");
  FakeClock clock(kNow);
  HostSampler sampler({.root = host.root}, clock);
  sampler.sample();
  host.write("/sys/fs/cgroup/cpu/cpu.stat", "nr_throttled 1\nthrottled_time 1750000000\n");
  EXPECT_NEAR(sampler.sample().throttled_seconds.value(), 0.75, 1e-9);
}

TEST(HostSampler, MemoryTrafficWhereTheMachineCountsIt) {
  const Host host;
  const std::string unit = "/sys/bus/event_source/devices/uncore_imc/";
  host.write(unit + "type", "7\n");
  host.write(unit + "cpumask", "0\n");
  host.write(unit + "format/event", "config:0-7\n");
  host.write(unit + "events/data_reads", "event=0x01\n");
  host.write(unit + "events/data_reads.scale", "1\n");
  host.write(unit + "events/data_reads.unit", "MiB\n");
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const auto count = [&](std::uint64_t value) {
    const std::array<std::uint64_t, 3> record{value, 1, 1};
    ASSERT_EQ(::write(ends[1], record.data(), sizeof(record)),
              static_cast<ssize_t>(sizeof(record)));
  };
  FakeClock clock(kNow);
  {
    HostSampler sampler(
        {.root = host.root,
         .open_counter = [&](std::uint32_t, std::uint64_t, int) { return ends[0]; }},
        clock);
    count(100);
    EXPECT_FALSE(sampler.sample().memory_bytes_per_second);
    clock.advance(2);
    count(130);
    EXPECT_DOUBLE_EQ(sampler.sample().memory_bytes_per_second.value(), 15 * 1024.0 * 1024.0);
  }
  ::close(ends[1]);
}

TEST(HostSampler, FrequencyOfCpufreqBeforeThatOfCpuinfo) {
  const Host host;
  host.write("/proc/cpuinfo", "cpu MHz\t\t: 2000.000\nflags : a\ncpu MHz\t\t: 3000.500\n");
  FakeClock clock(kNow);
  {
    HostSampler sampler({.root = host.root}, clock);
    EXPECT_DOUBLE_EQ(sampler.sample().frequency_hz.value(), 2500.25e6);
  }
  for (const int cpu : affinity_cpus()) {
    host.write(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq", cpu),
               "1800000\n");
  }
  HostSampler sampler({.root = host.root}, clock);
  EXPECT_DOUBLE_EQ(sampler.sample().frequency_hz.value(), 1.8e9);
}

TEST(HostSampler, KeepsTheLastSamplesInTheirOrder) {
  const Host host;
  FakeClock clock(kNow);
  HostSampler sampler({.root = host.root, .samples = 5}, clock);
  EXPECT_FALSE(sampler.latest());
  EXPECT_TRUE(sampler.since(0).empty());
  for (int i = 0; i < 12; ++i) {
    clock.advance(1);
    sampler.sample();
  }
  EXPECT_EQ(sampler.latest().value().at_s, kNow + 12);
  const auto all = sampler.since(0);
  ASSERT_EQ(all.size(), 5U);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].at_s, kNow + 8 + static_cast<double>(i));
  }
  EXPECT_EQ(sampler.since(kNow + 10).size(), 2U);
}

// One sample a second must stay below a thousandth of a core.
TEST(HostSampler, SamplesOfThisMachineAreCheap) {
  HostSampler sampler({});
  sampler.sample();
  constexpr int kSamples = 50;
  const double start = thread_cpu_seconds();
  for (int i = 0; i < kSamples; ++i) sampler.sample();
  const double each = (thread_cpu_seconds() - start) / kSamples;
  RecordProperty("microseconds_a_sample", fmt::format("{:.1f}", each * 1e6));
  fmt::print("a sample takes {:.0f} microseconds of CPU time\n", each * 1e6);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(each, 1e-3);
#endif
  const HostSample sample = sampler.latest().value();
  EXPECT_TRUE(sample.resident_bytes);
  EXPECT_GT(sample.resident_bytes.value_or(0), 1U << 20);
  EXPECT_TRUE(sample.available_bytes);
}

}  // namespace
}  // namespace paring::monitor
