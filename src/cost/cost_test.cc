// SPDX-License-Identifier: Apache-2.0
// Roofline, memory model, energy counters and machine description. Files of the system are
// stand-ins in a folder of the test's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/process.h"
#include "cost/energy.h"
#include "cost/machine.h"
#include "cost/memory_model.h"
#include "cost/roofline.h"

namespace paring::cost {
namespace {

namespace fs = std::filesystem;

class SystemFiles : public testing::Test {
 protected:
  void SetUp() override {
    root_ = (fs::temp_directory_path() / "paring_cost_XXXXXX").string();
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << "\n";
  }
  std::string root_;
};

// ---- roofline

const Probes kProbes{.isa = "test",
                     .threads = 2,
                     .read_bytes_per_second = 50e9,
                     .f32_operations_per_second = 200e9,
                     .int8_operations_per_second = 1000e9,
                     .bf16_operations_per_second = 400e9};

TEST(Roofline, DecodeIsBoundByMemoryWhenArithmeticIsCheap) {
  const TokenWork token{
      .weight_bytes = 90e6, .kv_bytes = 10e6, .int8_operations = 270e6, .f32_operations = 1e6};
  EXPECT_DOUBLE_EQ(decode_limit(token, kProbes), 500.0);  // 100 MB at 50 GB/s
}

TEST(Roofline, ArithmeticOfAllKindsAddsUp) {
  const TokenWork token{
      .int8_operations = 500e9, .f32_operations = 100e9, .bf16_operations = 400e9};
  EXPECT_DOUBLE_EQ(token.operations(), 1000e9);
  EXPECT_DOUBLE_EQ(least_seconds(0, token, 1, kProbes), 2.0);
  EXPECT_DOUBLE_EQ(least_seconds(0, token, 3, kProbes), 6.0);
  EXPECT_DOUBLE_EQ(least_seconds(100e9, token, 1, kProbes), 2.0);
  EXPECT_DOUBLE_EQ(least_seconds(150e9, token, 1, kProbes), 3.0);
}

TEST(Roofline, PrefillReadsTheWeightsOnceAStep) {
  const TokenWork token{
      .weight_bytes = 100e6, .kv_bytes = 0, .int8_operations = 1e9, .f32_operations = 0};
  EXPECT_DOUBLE_EQ(prefill_limit(token, 512, 512, kProbes), 1000.0);  // arithmetic: 1 ms a token
  // One token a step is decode: 2 ms of reading each.
  EXPECT_DOUBLE_EQ(prefill_limit(token, 10, 1, kProbes), decode_limit(token, kProbes));
  // 513 tokens in steps of 512 are two steps.
  const TokenWork light{
      .weight_bytes = 50e9, .kv_bytes = 0, .int8_operations = 0, .f32_operations = 0};
  EXPECT_DOUBLE_EQ(prefill_limit(light, 513, 512, kProbes), 513.0 / 2);
}

TEST(Roofline, ShareOfNoLimitIsZero) {
  EXPECT_DOUBLE_EQ(limit_share(30, 60), 0.5);
  EXPECT_EQ(limit_share(30, 0), 0);
  EXPECT_EQ(decode_limit({}, kProbes), 0);
}

// ---- memory model

TEST(MemoryModel, KvBytesFollowThePageLayout) {
  // SmolLM2-135M: 30 layers, 3 KV heads of 64.
  KvShape shape{.layers = 30, .kv_heads = 3, .head_width = 64, .type = kernels::KvType::kF32};
  EXPECT_EQ(kv_bytes_per_token(shape), 2.0 * 30 * 3 * 64 * 4);
  shape.type = kernels::KvType::kF16;
  EXPECT_EQ(kv_bytes_per_token(shape), 2.0 * 30 * 3 * 64 * 2);
  shape.type = kernels::KvType::kQ8;
  EXPECT_EQ(kv_bytes_per_token(shape), 2.0 * 30 * 3 * (64 + 2 * 4));
  EXPECT_EQ(kv_bytes(shape, 0), 0u);
  EXPECT_EQ(kv_bytes(shape, 1), kv_bytes(shape, 32));
  EXPECT_EQ(static_cast<double>(kv_bytes(shape, 64)), 64 * kv_bytes_per_token(shape));
  EXPECT_EQ(kv_bytes(shape, 33), kv_bytes(shape, 64));
  // 20 of the layers see 64 tokens back: at most three pages each.
  KvShape windowed = shape;
  windowed.windowed_layers = 20;
  windowed.window = 64;
  EXPECT_EQ(kv_bytes(windowed, 64), kv_bytes(shape, 64));
  EXPECT_EQ(kv_bytes(windowed, 3200) * 30 * 100, kv_bytes(shape, 3200) * (10 * 100 + 20 * 3));
}

TEST(MemoryModel, WeightsOfAModelThatIsNotHere) {
  EXPECT_EQ(weight_bytes(175e9, DType::kF32), 700'000'000'000u);
  EXPECT_EQ(weight_bytes(175e9, DType::kF16), 350'000'000'000u);
  EXPECT_EQ(weight_bytes(32e6, DType::kQ8_0), 34'000'000u);  // 34 bytes a block of 32
  EXPECT_EQ(weight_bytes(1, DType::kQ4_0), 1u);
}

TEST(MemoryModel, TooLittleMemorySaysWhatIsNeededAndWhatToDo) {
  EXPECT_TRUE(check_memory(100, 100).has_value());
  const auto result = check_memory(2'500'000'000, 1'000'000'000);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kExhausted);
  EXPECT_EQ(result.error().message, "2.5 GB of memory are needed, 1.0 GB are available");
  EXPECT_NE(result.error().hint.find("smaller"), std::string::npos);
}

TEST(MemoryModel, ThisMachinesMemoryIsTheLimit) {
  if (!available_memory()) GTEST_SKIP() << "the system does not tell its memory";
  EXPECT_TRUE(check_memory(4096).has_value());
  const MemoryNeed need{
      .weight_bytes = std::uint64_t{1} << 60, .kv_bytes = 2'000'000, .buffer_bytes = 3'000};
  const auto result = check_memory(need);
  ASSERT_FALSE(result.has_value());
  EXPECT_NE(result.error().message.find("key/value cache 2.0 MB, buffers 3.0 kB"),
            std::string::npos);
}

// ---- energy

class Energy : public SystemFiles {
 protected:
  void zone(const std::string& zone, const std::string& name, const std::string& energy) {
    const std::string folder = "/sys/class/powercap/" + zone + "/";
    put(folder + "name", name);
    put(folder + "max_energy_range_uj", "1000000000");
    put(folder + "energy_uj", energy);
  }
  void set(const std::string& zone, const std::string& energy) {
    put("/sys/class/powercap/" + zone + "/energy_uj", energy);
  }
};

TEST_F(Energy, CountsPackagesAndMemoryOnce) {
  zone("intel-rapl:0", "package-0", "5000000");
  zone("intel-rapl:0:0", "core", "1000000");
  zone("intel-rapl:0:1", "dram", "2000000");
  zone("intel-rapl:1", "package-1", "0");
  zone("intel-rapl:2", "psys", "9000000");
  put("/sys/class/powercap/dtpm/name", "other");
  auto reader = EnergyReader::create(root_);
  ASSERT_TRUE(reader.has_value()) << reader.error().text();
  EXPECT_EQ(reader->domains(),
            (std::vector<std::string>{"package-0", "package-0/dram", "package-1"}));
  EXPECT_DOUBLE_EQ(reader->joules().value(), 0.0);
  set("intel-rapl:0", "6500000");
  set("intel-rapl:0:0", "2400000");
  set("intel-rapl:0:1", "2250000");
  set("intel-rapl:2", "99000000");
  EXPECT_DOUBLE_EQ(reader->joules().value(), 1.75);
  set("intel-rapl:1", "250000");
  EXPECT_DOUBLE_EQ(reader->joules().value(), 2.0);
}

TEST_F(Energy, ACounterThatWrapsGoesOn) {
  zone("intel-rapl:0", "package-0", "999000000");
  auto reader = EnergyReader::create(root_);
  ASSERT_TRUE(reader.has_value());
  set("intel-rapl:0", "2000000");
  EXPECT_DOUBLE_EQ(reader->joules().value(), 3.0);
  set("intel-rapl:0", "4000000");
  EXPECT_DOUBLE_EQ(reader->joules().value(), 5.0);
}

TEST_F(Energy, WithoutCountersThereIsNoFigure) {
  const auto none = EnergyReader::create(root_);
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(none.error().message.find("no energy counters"), std::string::npos);
  put("/sys/class/powercap/intel-rapl:0/name", "package-0");  // energy_uj is not readable
  const auto refused = EnergyReader::create(root_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().text().find("root"), std::string::npos);
  zone("intel-rapl:0", "package-0", "not a number");
  EXPECT_FALSE(EnergyReader::create(root_).has_value());
}

TEST_F(Energy, ACounterThatVanishesIsAnError) {
  zone("intel-rapl:0", "package-0", "1");
  auto reader = EnergyReader::create(root_);
  ASSERT_TRUE(reader.has_value());
  fs::remove_all(root_ + "/sys");
  EXPECT_FALSE(reader->joules().has_value());
}

// ---- machine

using MachineFiles = SystemFiles;

TEST_F(MachineFiles, IsReadFromTheSystemsFiles) {
  put("/proc/cpuinfo",
      "processor\t: 0\nmodel\t\t: 2\nmodel name\t: Test CPU 9000\x1b\n"
      "flags\t\t: fpu avx2 fma avx512f avx512_vnni avx512vlx\n");
  put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB");
  for (const int cpu : {0, 1, 2, 3}) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    const std::string pair = cpu < 2 ? "0-1" : "2-3";
    put(folder + "/topology/core_cpus_list", pair);
    const std::pair<const char*, const char*> caches[] = {
        {"Data", "48K"}, {"Instruction", "64K"}, {"Unified", "1024K"}, {"Unified", "32M"}};
    const char* const levels[] = {"1", "1", "2", "3"};
    for (int i = 0; i < 4; ++i) {
      const std::string cache = folder + "/cache/index" + std::to_string(i) + "/";
      put(cache + "level", levels[i]);
      put(cache + "type", caches[i].first);
      put(cache + "size", caches[i].second);
      put(cache + "shared_cpu_list", pair);
    }
  }
  const Machine machine = read_machine(root_, {0, 1, 2, 3});
  EXPECT_EQ(machine.cpu, "Test CPU 9000\\x1b");
  EXPECT_EQ(machine.isa_flags, (std::vector<std::string>{"avx2", "fma", "avx512f", "avx512_vnni"}));
  EXPECT_EQ(machine.logical_cpus, 4u);
  EXPECT_EQ(machine.cores, 2u);
  EXPECT_EQ(machine.usable_cores, 2u);
  EXPECT_EQ(machine.l1d_bytes, 48u << 10);
  EXPECT_EQ(machine.l2_bytes, 1u << 20);
  EXPECT_EQ(machine.l3_bytes, 64u << 20) << "two groups of cores with 32 MiB each";
  EXPECT_EQ(machine.memory_bytes, 1000u * 1024);
  EXPECT_EQ(machine.memory_available_bytes, 600u * 1024);
  EXPECT_FALSE(machine.memory_limit_bytes.has_value());
  EXPECT_FALSE(machine.cpu_quota.has_value());
  EXPECT_EQ(machine.label(), "Test CPU 9000\\x1b, 2 cores");
  EXPECT_EQ(read_machine(root_, {1}).label(), "Test CPU 9000\\x1b, 1 core");
}

TEST_F(MachineFiles, ASystemThatTellsNothingIsNoError) {
  const Machine machine = read_machine(root_, {0});
  EXPECT_EQ(machine.label(), "unknown CPU, 1 core");
  EXPECT_EQ(machine.l3_bytes, 0u);
  EXPECT_TRUE(machine.isa_flags.empty());
}

TEST(Machine, ThisOneHasCoresAndMemory) {
  const Machine machine = read_machine();
  EXPECT_GE(machine.usable_cores, 1u);
  EXPECT_GE(machine.logical_cpus, machine.usable_cores);
  EXPECT_GT(machine.memory_bytes, std::uint64_t{64} << 20);
  EXPECT_FALSE(machine.label().empty());
}

}  // namespace
}  // namespace paring::cost
