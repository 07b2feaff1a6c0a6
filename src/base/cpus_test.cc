// SPDX-License-Identifier: Apache-2.0
// CPU and memory limits, read from stand-ins for procfs, sysfs and the cgroup file systems.
#include "base/cpus.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/cgroup.h"
#include "base/executor.h"

namespace paring {
namespace {

namespace fs = std::filesystem;

class CpusTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "paring_cpus_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void mount_v2(const std::string& mount_root = "/") {
    put("/proc/self/mountinfo", "22 1 0:21 / / rw - ext4 /dev/vda rw\n38 31 0:38 " + mount_root +
                                    " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
  }
  void mount_v1() {
    put("/proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }

  std::string root_;
};

TEST_F(CpusTest, NothingReadableMeansTheMask) {
  const CpuLimits limits = cpu_limits(root_, {2, 5, 7});
  EXPECT_EQ(limits.cpus, (std::vector<int>{2, 5, 7}));
  EXPECT_EQ(limits.usable(), 3u);
  EXPECT_FALSE(limits.quota.has_value());
}

TEST_F(CpusTest, HyperthreadsOfOneCoreCountOnce) {
  for (int cpu : {0, 1, 2, 3}) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    put(folder + "thread_siblings_list", cpu % 2 == 0 ? "0,2\n" : "1,3\n");
  }
  const CpuLimits limits = cpu_limits(root_, {0, 1, 2, 3});
  EXPECT_EQ(limits.cores, 2u);
  EXPECT_EQ(limits.usable(), 2u);
  EXPECT_EQ(limits.cpus, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(cpu_limits(root_, {0, 2, 3}).cpus, (std::vector<int>{0, 3, 2}));
  EXPECT_EQ(cpu_limits(root_, {0, 2}).usable(), 1u);
}

TEST_F(CpusTest, V2QuotaIsRoundedButNotToZero) {
  mount_v2();
  put("/proc/self/cgroup", "0::/a\n");
  put("/sys/fs/cgroup/a/cpu.max", "240000 100000\n");
  EXPECT_EQ(cpu_limits(root_, {0, 1, 2, 3}).usable(), 2u);
  put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(cpu_limits(root_, {0, 1, 2, 3}).usable(), 3u);
  put("/sys/fs/cgroup/a/cpu.max", "40000 100000\n");
  EXPECT_EQ(cpu_limits(root_, {0, 1, 2, 3}).usable(), 1u);
  put("/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(cpu_limits(root_, {0, 1, 2, 3}).usable(), 1u);
  put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  EXPECT_EQ(cpu_limits(root_, {0, 1, 2, 3}).usable(), 4u);
}

TEST_F(CpusTest, TheTightestGroupOfTheChainCounts) {
  mount_v2();
  put("/proc/self/cgroup", "0::/pod/container/leaf\n");
  put("/sys/fs/cgroup/pod/container/leaf/cpu.max", "max 100000\n");
  put("/sys/fs/cgroup/pod/container/cpu.max", "300000 100000\n");
  put("/sys/fs/cgroup/pod/cpu.max", "600000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_).value(), 3.0);
}

TEST_F(CpusTest, APathOutsideTheMountFallsBackToTheMountPoint) {
  put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  mount_v2();
  put("/proc/self/cgroup", "0::/../../other\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_).value(), 2.0);
  mount_v2("/docker/abc");
  put("/proc/self/cgroup", "0::/docker/abc\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_).value(), 2.0);
  put("/proc/self/cgroup", "0::/docker/abcdef\n");  // a prefix of the name, not of the path
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_).value(), 2.0);
}

TEST_F(CpusTest, V1QuotaIsFound) {
  mount_v1();
  put("/proc/self/cgroup", "4:memory:/job\n1:cpu,cpuacct:/job/step\n");
  put("/sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
  put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
  put("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_).value(), 3.0);
}

TEST_F(CpusTest, MemoryLimitCountsDroppableCacheAsFree) {
  mount_v2();
  put("/proc/self/cgroup", "0::/a\n");
  EXPECT_FALSE(cgroup_memory(root_).has_value());
  put("/sys/fs/cgroup/a/memory.max", "max\n");
  put("/sys/fs/cgroup/a/memory.current", "600\n");
  EXPECT_FALSE(cgroup_memory(root_).has_value());
  put("/sys/fs/cgroup/a/memory.max", "1000\n");
  put("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 200\nfile 300\n");
  EXPECT_EQ(cgroup_memory(root_)->limit_bytes, 1000u);
  EXPECT_EQ(cgroup_memory(root_)->used_bytes, 400u);
}

TEST_F(CpusTest, V1MemoryWithoutLimitIsNoLimit) {
  mount_v1();
  put("/proc/self/cgroup", "4:memory:/job\n");
  put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "5000\n");
  EXPECT_FALSE(cgroup_memory(root_).has_value());
  put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "8000\n");
  EXPECT_EQ(cgroup_memory(root_)->limit_bytes, 8000u);
}

TEST(Cpus, ThisMachineHasAtLeastOneUsableCore) {
  const std::size_t cores = usable_cores();
  EXPECT_GE(cores, 1u);
  EXPECT_LE(cores, affinity_cpus().size());
}

}  // namespace
}  // namespace paring
