// SPDX-License-Identifier: Apache-2.0
#include "base/cpus.h"

#include <fmt/core.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <set>

#include "base/cgroup.h"
#include "base/executor.h"
#include "base/file.h"

namespace paring {
namespace {

// Masks of machines with more CPUs than this are not read; then CPU 0 alone is used.
constexpr std::size_t kCpusMax = 16384;

// What names the physical core of `cpu`: the list of its hyperthreads. A CPU without topology files
// (some containers) counts as a core of its own.
std::string core_of(const std::string& root, int cpu) {
  const std::string folder = fmt::format("{}/sys/devices/system/cpu/cpu{}/topology/", root, cpu);
  for (const char* name : {"core_cpus_list", "thread_siblings_list"}) {
    const Result<std::string> list = read_small_file(folder + name);
    if (list && !list->empty()) return *list;
  }
  return fmt::format("cpu{}", cpu);
}

}  // namespace

std::vector<int> affinity_cpus() {
  std::vector<int> cpus;
  for (std::size_t count = 1024; count <= kCpusMax; count *= 4) {
    cpu_set_t* const mask = CPU_ALLOC(count);
    if (mask == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(count);
    const bool is_read = sched_getaffinity(0, bytes, mask) == 0;
    const bool is_too_small = !is_read && errno == EINVAL;
    for (std::size_t cpu = 0; is_read && cpu < count; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask)) cpus.push_back(static_cast<int>(cpu));
    }
    CPU_FREE(mask);
    if (!is_too_small) break;
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

bool set_affinity(const std::vector<int>& cpus) noexcept {
  if (cpus.empty()) return false;
  const auto count = static_cast<std::size_t>(*std::max_element(cpus.begin(), cpus.end())) + 1;
  cpu_set_t* const mask = CPU_ALLOC(count);
  if (mask == nullptr) return false;
  const std::size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, mask);
  for (const int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, mask);
  const bool is_set = sched_setaffinity(0, bytes, mask) == 0;
  CPU_FREE(mask);
  return is_set;
}

std::size_t cpus_within(double quota) noexcept {
  return static_cast<std::size_t>(std::max(1.0, std::floor(quota + 0.5)));
}

std::size_t CpuLimits::usable() const noexcept {
  const std::size_t count = std::max<std::size_t>(1, std::min(cores, cpus.size()));
  return quota ? std::min(count, cpus_within(*quota)) : count;
}

CpuLimits cpu_limits(const std::string& root, const std::vector<int>& affinity) {
  CpuLimits limits;
  std::set<std::string> cores;
  std::vector<int> siblings;
  for (const int cpu : affinity) {
    const bool is_new_core = cores.insert(core_of(root, cpu)).second;
    (is_new_core ? limits.cpus : siblings).push_back(cpu);
  }
  limits.cpus.insert(limits.cpus.end(), siblings.begin(), siblings.end());
  limits.cores = std::max<std::size_t>(1, cores.size());
  limits.quota = cgroup_cpu_quota(root);
  return limits;
}

std::size_t usable_cores() { return cpu_limits("", affinity_cpus()).usable(); }

}  // namespace paring
