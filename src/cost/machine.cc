// SPDX-License-Identifier: Apache-2.0
#include "cost/machine.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "base/cgroup.h"
#include "base/cpus.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"

namespace paring::cost {
namespace {

// x86 and ARM names as /proc/cpuinfo writes them.
constexpr std::string_view kFlags[] = {
    "avx2",     "fma",         "f16c",        "avx_vnni",    "avx512f",  "avx512bw",
    "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8",
    "amx_bf16", "asimd",       "asimddp",     "i8mm",        "bf16",     "sve",
};

// The value of the first line "KEY<tabs>: VALUE".
std::string_view value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const std::size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string_view::npos &&
        line.find_first_not_of(" \t", key.size()) == colon) {
      const std::size_t start = line.find_first_not_of(' ', colon + 1);
      return start == std::string_view::npos ? std::string_view() : line.substr(start);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

bool has_word(std::string_view words, std::string_view word) {
  for (std::size_t at = words.find(word); at != std::string_view::npos;
       at = words.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool starts = at == 0 || words[at - 1] == ' ';
    if (starts && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

void read_cpuinfo(const std::string& root, Machine& machine) {
  // 256 CPUs write about half a megabyte; all say the same.
  const Result<std::string> text = read_small_file(root + "/proc/cpuinfo", std::size_t{16} << 20);
  if (!text) return;
  machine.cpu = escape_control(value_of(*text, "model name"));
  std::string_view flags = value_of(*text, "flags");
  if (flags.empty()) flags = value_of(*text, "Features");
  for (const std::string_view flag : kFlags) {
    if (has_word(flags, flag)) machine.isa_flags.emplace_back(flag);
  }
}

// Bytes of "1024K", "32M".
std::size_t cache_bytes(const std::string& text) {
  std::size_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc()) return 0;
  const char unit = result.ptr < text.data() + text.size() ? *result.ptr : '\0';
  if (unit == 'K') return value << 10;
  if (unit == 'M') return value << 20;
  if (unit == 'G') return value << 30;
  return value;
}

void read_caches(const std::string& root, const std::vector<int>& cpus, Machine& machine) {
  constexpr int kIndexesMax = 8;
  std::set<std::string> counted;  // last-level caches by the CPUs that share them
  for (const int cpu : cpus) {
    for (int index = 0; index < kIndexesMax; ++index) {
      const std::string folder =
          fmt::format("{}/sys/devices/system/cpu/cpu{}/cache/index{}/", root, cpu, index);
      const Result<std::string> level = read_small_file(folder + "level");
      if (!level) break;
      const Result<std::string> type = read_small_file(folder + "type");
      const Result<std::string> size = read_small_file(folder + "size");
      if (!type || !size || type->starts_with("Instruction")) continue;
      const std::size_t bytes = cache_bytes(*size);
      if (level->starts_with('1')) machine.l1d_bytes = std::max(machine.l1d_bytes, bytes);
      if (level->starts_with('2')) machine.l2_bytes = std::max(machine.l2_bytes, bytes);
      if (level->starts_with('3')) {
        const Result<std::string> shared = read_small_file(folder + "shared_cpu_list");
        const std::string group = shared ? *shared : fmt::format("cpu{}", cpu);
        if (counted.insert(group).second) machine.l3_bytes += bytes;
      }
    }
  }
}

}  // namespace

std::string Machine::label() const {
  return fmt::format("{}, {} {}", cpu.empty() ? "unknown CPU" : cpu, usable_cores,
                     usable_cores == 1 ? "core" : "cores");
}

Machine read_machine(const std::string& root, std::vector<int> cpus) {
  if (cpus.empty()) cpus = affinity_cpus();
  Machine machine;
  read_cpuinfo(root, machine);
  const CpuLimits limits = cpu_limits(root, cpus);
  machine.logical_cpus = cpus.size();
  machine.cores = limits.cores;
  machine.usable_cores = limits.usable();
  machine.cpu_quota = limits.quota;
  read_caches(root, cpus, machine);
  machine.memory_bytes = total_memory(root).value_or(0);
  if (const auto group = cgroup_memory(root)) machine.memory_limit_bytes = group->limit_bytes;
  machine.memory_available_bytes = available_memory(root);
  return machine;
}

}  // namespace paring::cost
