// SPDX-License-Identifier: Apache-2.0
#include "base/cgroup.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"

namespace paring {
namespace {

// v1 writes "no limit" as the largest multiple of the page size; anything this large is no limit.
constexpr std::uint64_t kUnlimitedBytes = std::uint64_t{1} << 60;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool lists(std::string_view comma_list, std::string_view word) {
  const auto words = split(comma_list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<std::int64_t> read_number(const std::string& path) {
  const Result<std::string> text = read_small_file(path);
  if (!text) return std::nullopt;
  std::int64_t value = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop == text->data()) return std::nullopt;
  return value;
}

// The path of the process's group in the hierarchy of `controller` (v1) or in the v2 hierarchy.
std::optional<std::string> own_group(const std::string& root, std::string_view controller,
                                     bool is_v2) {
  const Result<std::string> text = read_small_file(root + "/proc/self/cgroup");
  if (!text) return std::nullopt;
  for (const std::string_view line : split(*text, '\n')) {  // "4:cpu,cpuacct:/path", "0::/path"
    const std::size_t first = line.find(':');
    const std::size_t second =
        first == std::string_view::npos ? std::string_view::npos : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool matches = is_v2 ? controllers.empty() : lists(controllers, controller);
    if (matches) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

// Folders from the process's group up to the mount point. `mount_root` is the part of the hierarchy
// that is visible at `mount_point`; in a container the group's path may lie outside of it (or begin
// with "/.."), then only the mount point can be seen.
std::vector<std::string> folders_upwards(const std::string& mount_point,
                                         std::string_view mount_root, std::string_view group) {
  if (mount_root == "/") mount_root = "";
  std::string_view relative;
  if (group.starts_with(mount_root)) relative = group.substr(mount_root.size());
  if (!relative.starts_with('/') || relative.find("/..") != std::string_view::npos) relative = "";
  std::vector<std::string> folders;
  while (relative.size() > 1) {
    folders.push_back(mount_point + std::string(relative));
    relative = relative.substr(0, relative.rfind('/'));
  }
  folders.push_back(mount_point);
  return folders;
}

std::optional<double> quota_of(const std::string& folder, bool is_v2) {
  std::int64_t quota = 0;
  std::int64_t period = 0;
  if (is_v2) {
    const Result<std::string> text = read_small_file(folder + "/cpu.max");  // "max 100000"
    if (!text) return std::nullopt;
    const char* const end = text->data() + text->size();
    const auto first = std::from_chars(text->data(), end, quota);
    if (first.ec != std::errc() || first.ptr == end) return std::nullopt;
    if (std::from_chars(first.ptr + 1, end, period).ec != std::errc()) return std::nullopt;
  } else {
    quota = read_number(folder + "/cpu.cfs_quota_us").value_or(-1);
    period = read_number(folder + "/cpu.cfs_period_us").value_or(0);
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return static_cast<double>(quota) / static_cast<double>(period);
}

std::uint64_t droppable_cache(const std::string& folder, bool is_v2) {
  const Result<std::string> text = read_small_file(folder + "/memory.stat");
  if (!text) return 0;
  const std::string_view key = is_v2 ? "inactive_file " : "total_inactive_file ";
  for (const std::string_view line : split(*text, '\n')) {
    if (!line.starts_with(key)) continue;
    std::uint64_t value = 0;
    std::from_chars(line.data() + key.size(), line.data() + line.size(), value);
    return value;
  }
  return 0;
}

std::optional<CgroupMemory> memory_of(const std::string& folder, bool is_v2) {
  const auto limit = read_number(folder + (is_v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  const auto used = read_number(folder + (is_v2 ? "/memory.current" : "/memory.usage_in_bytes"));
  if (!limit || !used || *limit < 0 || *used < 0) return std::nullopt;
  const auto limit_bytes = static_cast<std::uint64_t>(*limit);
  if (limit_bytes >= kUnlimitedBytes) return std::nullopt;
  const auto used_bytes = static_cast<std::uint64_t>(*used);
  return CgroupMemory{limit_bytes,
                      used_bytes - std::min(used_bytes, droppable_cache(folder, is_v2))};
}

}  // namespace

std::vector<CgroupChain> cgroup_chains(const std::string& root, std::string_view controller) {
  std::vector<CgroupChain> chains;
  const Result<std::string> mounts = read_small_file(root + "/proc/self/mountinfo");
  if (!mounts) return chains;
  // "32 31 0:29 ROOT POINT rw,relatime [optional fields] - TYPE SOURCE rw,cpu"
  for (const std::string_view line : split(*mounts, '\n')) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto left = split(line.substr(0, dash), ' ');
    const auto right = split(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.empty()) continue;
    const bool is_v2 = right[0] == "cgroup2";
    const bool is_v1 = right[0] == "cgroup" && lists(right.back(), controller);
    if (!is_v1 && !is_v2) continue;
    const auto group = own_group(root, controller, is_v2);
    if (!group) continue;
    chains.push_back({is_v2, folders_upwards(root + std::string(left[4]), left[3], *group)});
  }
  return chains;
}

std::optional<double> cgroup_cpu_quota(const std::string& root) {
  std::optional<double> tightest;
  for (const CgroupChain& chain : cgroup_chains(root, "cpu")) {
    for (const std::string& folder : chain.folders) {
      const auto quota = quota_of(folder, chain.is_v2);
      if (quota && (!tightest || *quota < *tightest)) tightest = quota;
    }
  }
  return tightest;
}

std::optional<CgroupMemory> cgroup_memory(const std::string& root) {
  const auto left = [](const CgroupMemory& memory) {
    return memory.limit_bytes - std::min(memory.limit_bytes, memory.used_bytes);
  };
  std::optional<CgroupMemory> tightest;
  for (const CgroupChain& chain : cgroup_chains(root, "memory")) {
    for (const std::string& folder : chain.folders) {
      const auto memory = memory_of(folder, chain.is_v2);
      if (memory && (!tightest || left(*memory) < left(*tightest))) tightest = memory;
    }
  }
  return tightest;
}

}  // namespace paring
