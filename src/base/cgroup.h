// SPDX-License-Identifier: Apache-2.0
// Where the limits of this process's control groups (v1 and v2) are found, and what they say. A
// limit may be set on any group above the process's own, so every function looks at the whole
// chain. `root` is put in front of every path: "" on a real machine, a folder of stand-ins in
// tests. Thread-safe; reads the files at each call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace paring {

struct CgroupChain {
  bool is_v2 = false;
  std::vector<std::string> folders;  // the process's own group first, the mount point last
};

// The chains that control `controller` ("cpu", "memory"): a v1 hierarchy, the v2 hierarchy, both
// (hybrid set-ups) or none.
std::vector<CgroupChain> cgroup_chains(const std::string& root, std::string_view controller);

// The tightest CPU quota in CPUs (1.5 means 150 ms a 100 ms period); nullopt when there is none.
std::optional<double> cgroup_cpu_quota(const std::string& root);

struct CgroupMemory {
  std::uint64_t limit_bytes = 0;
  std::uint64_t used_bytes = 0;  // without page cache that the kernel can drop
};
// The group of the chain with the least memory left; nullopt when no group has a limit.
std::optional<CgroupMemory> cgroup_memory(const std::string& root);

}  // namespace paring
