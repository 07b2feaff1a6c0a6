// SPDX-License-Identifier: Apache-2.0
#include "monitor/memory_counters.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace paring::monitor {
namespace {

namespace fs = std::filesystem;

constexpr double kMebibyte = 1024.0 * 1024.0;

// Units as sysfs shows them, and pipes in place of the kernel's counters.
class Machine {
 public:
  struct Opened {
    std::uint32_t type;
    std::uint64_t config;
    int cpu;
    int write_end;
  };
  Machine() {
    std::string name = (fs::temp_directory_path() / "paring-imc-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) root = name;
  }
  ~Machine() {
    for (const Opened& each : opened) ::close(each.write_end);
    std::error_code error;
    fs::remove_all(root, error);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void write(const std::string& unit, const std::string& file, const std::string& text) const {
    const fs::path path = root + "/sys/bus/event_source/devices/" + unit + "/" + file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  void add_event(const std::string& unit, const std::string& name, const std::string& terms) const {
    write(unit, "events/" + name, terms);
    write(unit, "events/" + name + ".scale", "0.5");
    write(unit, "events/" + name + ".unit", "MiB");
  }
  void add_unit(const std::string& unit, const std::string& type, const std::string& cpus) const {
    write(unit, "type", type);
    write(unit, "cpumask", cpus);
    write(unit, "format/event", "config:0-7");
    write(unit, "format/umask", "config:8-15");
  }
  Result<MemoryCounters> create() {
    return MemoryCounters::create(root, [this](std::uint32_t type, std::uint64_t config, int cpu) {
      std::array<int, 2> ends{};
      if (static_cast<int>(opened.size()) == refuse_at || ::pipe(ends.data()) != 0) return -1;
      opened.push_back({type, config, cpu, ends[1]});
      return ends[0];
    });
  }
  void count(std::size_t counter, std::uint64_t value, std::uint64_t running = 10) const {
    const std::array<std::uint64_t, 3> record{value, 10, running};
    ASSERT_EQ(::write(opened[counter].write_end, record.data(), sizeof(record)),
              static_cast<ssize_t>(sizeof(record)));
  }

  std::string root;
  std::vector<Opened> opened;
  int refuse_at = -1;
};

TEST(MemoryCounters, AddUpUnitsAndSockets) {
  Machine machine;
  machine.add_unit("uncore_imc_0", "18", "0,56");
  machine.add_event("uncore_imc_0", "cas_count_read", "event=0x04,umask=0x03");
  machine.add_event("uncore_imc_0", "cas_count_write", "event=0x04,umask=0x0c");
  // The same traffic once more.
  machine.add_unit("uncore_imc_free_running_0", "40", "0");
  machine.add_event("uncore_imc_free_running_0", "read", "event=0xff,umask=0x20");
  const auto counters = machine.create();
  ASSERT_TRUE(counters) << counters.error().text();
  ASSERT_EQ(machine.opened.size(), 4U);
  EXPECT_EQ(machine.opened[0].type, 18U);
  EXPECT_EQ(machine.opened[0].config, 0x0304U);
  EXPECT_EQ(machine.opened[3].config, 0x0c04U);
  EXPECT_EQ(machine.opened[0].cpu, 0);
  EXPECT_EQ(machine.opened[1].cpu, 56);
  for (std::size_t i = 0; i < 4; ++i) machine.count(i, 10 + i);
  EXPECT_DOUBLE_EQ(counters->bytes().value(), 46 * 0.5 * kMebibyte);
}

TEST(MemoryCounters, FreeRunningOnesWhereThereAreNoOthers) {
  Machine machine;
  machine.add_unit("uncore_imc_free_running_1", "41", "0");
  machine.add_event("uncore_imc_free_running_1", "data_read", "event=0xff,umask=0x20");
  const auto counters = machine.create();
  ASSERT_TRUE(counters) << counters.error().text();
  ASSERT_EQ(machine.opened.size(), 1U);
  EXPECT_EQ(machine.opened[0].config, 0x20ffU);
}

TEST(MemoryCounters, CounterThatDidNotCountAllTheTimeIsNoFigure) {
  Machine machine;
  machine.add_unit("uncore_imc", "7", "0");
  machine.add_event("uncore_imc", "data_reads", "event=0x01");
  const auto counters = machine.create();
  ASSERT_TRUE(counters) << counters.error().text();
  machine.count(0, 100, 9);
  EXPECT_FALSE(counters->bytes());
  machine.count(0, 100);
  EXPECT_TRUE(counters->bytes());
}

TEST(MemoryCounters, RefusedOnesSayWhatToDo) {
  Machine machine;
  machine.add_unit("uncore_imc_0", "18", "0,56");
  machine.add_event("uncore_imc_0", "cas_count_read", "event=0x04,umask=0x03");
  machine.refuse_at = 1;
  const auto counters = machine.create();
  ASSERT_FALSE(counters);
  EXPECT_EQ(counters.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(counters.error().text().find("perf_event_paranoid"), std::string::npos);
}

TEST(MemoryCounters, NoneAndUnknownOnesAreUnavailable) {
  Machine machine;
  EXPECT_FALSE(machine.create());
  machine.add_unit("uncore_imc_0", "18", "0");
  machine.add_event("uncore_imc_0", "cas_count_read", "event=0x04,other=0x03");
  EXPECT_FALSE(machine.create()) << "no format of 'other'";
  machine.add_event("uncore_imc_0", "cas_count_read", "event=0x04");
  machine.write("uncore_imc_0", "events/cas_count_read.unit", "lines");
  EXPECT_FALSE(machine.create());
  machine.write("uncore_imc_0", "events/cas_count_read.unit", "MiB");
  EXPECT_TRUE(machine.create());
}

}  // namespace
}  // namespace paring::monitor
