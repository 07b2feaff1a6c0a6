// SPDX-License-Identifier: Apache-2.0
#include "base/process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/cgroup.h"
#include "base/file.h"

namespace paring {
namespace {

// Bytes of a line "Key:   123 kB" of procfs.
std::optional<std::uint64_t> kilobytes_of(std::string_view text, std::string_view key) {
  std::size_t start = text.starts_with(key) ? 0 : std::string_view::npos;
  if (start == std::string_view::npos) {
    start = text.find("\n" + std::string(key));
    if (start == std::string_view::npos) return std::nullopt;
    ++start;
  }
  start = text.find_first_not_of(" \t", start + key.size());
  if (start == std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data() + start, text.data() + text.size(), value);
  if (result.ec != std::errc()) return std::nullopt;
  return value * 1024;
}

double seconds_of(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::optional<std::uint64_t> meminfo(const std::string& root, std::string_view key) {
  const Result<std::string> text = read_small_file(root + "/proc/meminfo");
  if (!text) return std::nullopt;
  return kilobytes_of(*text, key);
}

}  // namespace

std::optional<ProcessMemory> process_memory(const std::string& root) {
  const Result<std::string> text = read_small_file(root + "/proc/self/status");
  if (!text) return std::nullopt;
  const auto resident = kilobytes_of(*text, "VmRSS:");
  const auto peak = kilobytes_of(*text, "VmHWM:");
  if (!resident || !peak) return std::nullopt;
  return ProcessMemory{*resident, *peak};
}

bool reset_peak_memory() noexcept {
  const int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool is_written = write(file, "5", 1) == 1;  // 5: the peak only, see proc(5)
  close(file);
  return is_written;
}

PageFaults page_faults() noexcept {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {static_cast<std::uint64_t>(usage.ru_minflt), static_cast<std::uint64_t>(usage.ru_majflt)};
}

double cpu_seconds() noexcept { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

double thread_cpu_seconds() noexcept { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

std::optional<double> machine_busy_seconds(const std::string& root) {
  const Result<std::string> text = read_small_file(root + "/proc/stat");
  if (!text || !text->starts_with("cpu ")) return std::nullopt;
  // user nice system idle iowait irq softirq steal ..., see proc(5). Guests are in user already.
  constexpr std::array<bool, 8> kIsBusy{true, true, true, false, false, true, true, true};
  const char* at = text->data() + 4;
  const char* end = text->data() + std::min(text->find('\n'), text->size());
  std::uint64_t ticks = 0;
  for (const bool is_busy : kIsBusy) {
    while (at < end && *at == ' ') ++at;
    std::uint64_t value = 0;
    const auto result = std::from_chars(at, end, value);
    if (result.ec != std::errc()) return std::nullopt;
    if (is_busy) ticks += value;
    at = result.ptr;
  }
  const long rate = ::sysconf(_SC_CLK_TCK);
  return rate > 0 ? std::optional(static_cast<double>(ticks) / static_cast<double>(rate))
                  : std::nullopt;
}

ThreadTimer::ThreadTimer() noexcept
    : wall_(seconds_of(CLOCK_MONOTONIC)), cpu_(thread_cpu_seconds()) {}

double ThreadTimer::seconds() const noexcept { return seconds_of(CLOCK_MONOTONIC) - wall_; }

double ThreadTimer::own_share() const noexcept {
  constexpr double kTooShort = 20e-6;  // beside what reading both clocks takes
  const double wall = seconds();
  if (wall < kTooShort) return 1;
  return std::clamp((thread_cpu_seconds() - cpu_) / wall, 0.0, 1.0);
}

std::optional<std::uint64_t> available_memory(const std::string& root) {
  auto available = meminfo(root, "MemAvailable:");
  if (const auto group = cgroup_memory(root)) {
    const std::uint64_t left = group->limit_bytes - std::min(group->limit_bytes, group->used_bytes);
    available = available ? std::min(*available, left) : left;
  }
  return available;
}

std::optional<std::uint64_t> total_memory(const std::string& root) {
  return meminfo(root, "MemTotal:");
}

}  // namespace paring
