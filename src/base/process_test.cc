// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/aligned.h"

namespace paring {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kBytes = std::size_t{64} << 20;

TEST(Process, SeesMemoryThatIsTouchedAndThePeakAfterItIsFreed) {
  const auto before = process_memory();
  ASSERT_TRUE(before.has_value());
  const PageFaults faults_before = page_faults();
  {
    auto buffer = AlignedBuffer::create(kBytes).value();
    EXPECT_LT(process_memory()->resident_bytes, before->resident_bytes + kBytes / 2);
    std::memset(buffer.data(), 1, kBytes);
    EXPECT_GE(process_memory()->resident_bytes, before->resident_bytes + kBytes * 9 / 10);
  }
  const auto after = process_memory();
  EXPECT_GE(after->peak_resident_bytes, before->resident_bytes + kBytes * 9 / 10);
  EXPECT_LT(after->resident_bytes, after->peak_resident_bytes - kBytes / 2);
  EXPECT_GT(page_faults().minor, faults_before.minor);
  if (!reset_peak_memory()) GTEST_SKIP() << "this system does not let the peak be reset";
  EXPECT_LT(process_memory()->peak_resident_bytes, after->peak_resident_bytes - kBytes / 2);
}

TEST(Process, AvailableMemoryIsTheTighterOfMachineAndGroup) {
  std::string root = (fs::temp_directory_path() / "paring_proc_XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  EXPECT_FALSE(available_memory(root).has_value());
  EXPECT_FALSE(process_memory(root).has_value());
  fs::create_directories(root + "/proc/self");
  fs::create_directories(root + "/sys/fs/cgroup");
  std::ofstream(root + "/proc/meminfo") << "MemTotal:       8000 kB\nMemAvailable:   5000 kB\n";
  EXPECT_EQ(available_memory(root), 5000u * 1024);
  EXPECT_EQ(total_memory(root), 8000u * 1024);
  std::ofstream(root + "/proc/self/cgroup") << "0::/\n";
  std::ofstream(root + "/proc/self/mountinfo")
      << "38 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  std::ofstream(root + "/sys/fs/cgroup/memory.max") << "2048000\n";
  std::ofstream(root + "/sys/fs/cgroup/memory.current") << "48000\n";
  EXPECT_EQ(available_memory(root), 2000000u);
  std::ofstream(root + "/sys/fs/cgroup/memory.current") << "9048000\n";
  EXPECT_EQ(available_memory(root), 0u);
  fs::remove_all(root);
}

TEST(Process, BusyTimeIsAllButIdleAndWaiting) {
  std::string root = (fs::temp_directory_path() / "paring_stat_XXXXXX").string();
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  EXPECT_FALSE(machine_busy_seconds(root).has_value());
  fs::create_directories(root + "/proc");
  // user nice system idle iowait irq softirq steal guest guest_nice
  std::ofstream(root + "/proc/stat") << "cpu  100 20 300 99999 8888 4 5 600 50 7\ncpu0 1 1 1\n";
  const auto rate = static_cast<double>(sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(machine_busy_seconds(root).value(), (100 + 20 + 300 + 4 + 5 + 600) / rate);
  std::ofstream(root + "/proc/stat") << "cpu  100 20 300\n";
  EXPECT_FALSE(machine_busy_seconds(root).has_value());
  std::ofstream(root + "/proc/stat") << "nothing\n";
  EXPECT_FALSE(machine_busy_seconds(root).has_value());
  fs::remove_all(root);
}

TEST(Process, ThisMachineTellsItsMemoryAndTime) {
  ASSERT_TRUE(available_memory().has_value());
  EXPECT_GT(*available_memory(), 1u << 20);
  EXPECT_LE(*available_memory(), *total_memory());
  const double start = cpu_seconds();
  volatile unsigned sink = 0;
  for (unsigned i = 0; i < 20'000'000; ++i) sink = i;
  EXPECT_EQ(sink, 19'999'999u);
  EXPECT_GT(cpu_seconds(), start);
}

}  // namespace
}  // namespace paring
