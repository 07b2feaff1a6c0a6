// SPDX-License-Identifier: Apache-2.0
// What this process uses and what is left for it: memory, page faults, CPU time. Values that the
// system does not tell are absent, never guessed. `root` stands in front of every path, "" on a
// real machine. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace paring {

struct ProcessMemory {
  std::uint64_t resident_bytes = 0;       // VmRSS
  std::uint64_t peak_resident_bytes = 0;  // VmHWM, since start or since reset_peak_memory()
};
std::optional<ProcessMemory> process_memory(const std::string& root = "");

// Sets the peak back to the present value. False where the system does not let us.
bool reset_peak_memory() noexcept;

struct PageFaults {
  std::uint64_t minor = 0;
  std::uint64_t major = 0;  // had to read from disk
};
PageFaults page_faults() noexcept;

// User and system time of all threads.
double cpu_seconds() noexcept;

// User and system time of the calling thread.
double thread_cpu_seconds() noexcept;

// Time since boot in which the machine's CPUs did something, all of them added up: every process,
// the system itself and, in a virtual machine, time that the host took away. Counted in ticks, of
// 10 ms as a rule.
std::optional<double> machine_busy_seconds(const std::string& root = "");

// A piece of work of one thread: how long it took, and which share of that time the thread ran. The
// rest it waited, for other threads of its job or for a processor that others were using.
class ThreadTimer {
 public:
  ThreadTimer() noexcept;
  double seconds() const noexcept;
  // 0..1; 1 for a piece too short to tell.
  double own_share() const noexcept;

 private:
  double wall_;
  double cpu_;
};
// A figure measured while less of the time than this was the thread's own says little about the
// machine.
inline constexpr double kQuietShare = 0.9;

// Bytes that can still be allocated without swapping: the smaller of MemAvailable and what the
// control groups leave.
std::optional<std::uint64_t> available_memory(const std::string& root = "");
// Memory of the machine, not of the control group.
std::optional<std::uint64_t> total_memory(const std::string& root = "");

}  // namespace paring
