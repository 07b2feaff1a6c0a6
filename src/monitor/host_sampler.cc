// SPDX-License-Identifier: Apache-2.0
#include "monitor/host_sampler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "base/cgroup.h"
#include "base/check.h"
#include "base/cpus.h"
#include "base/file.h"
#include "base/process.h"

namespace paring::monitor {

namespace {

template <typename Number>
std::optional<Number> number_at(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return std::nullopt;
  Number value{};
  const auto result = std::from_chars(text.data() + start, text.data() + text.size(), value);
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

// What stands behind `key` at the start of a line.
std::optional<std::uint64_t> value_of(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (text.starts_with(key)) {
      return number_at<std::uint64_t>(text.substr(key.size(), end - key.size()));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

std::vector<std::string> cpu_stat_files(const std::string& root) {
  std::vector<std::string> files;
  for (const CgroupChain& chain : cgroup_chains(root, "cpu")) {
    for (const std::string& folder : chain.folders) {
      const std::string file = folder + "/cpu.stat";
      if (read_small_file(file)) files.push_back(file);
    }
  }
  return files;
}

// now - before; absent when either is, or when a counter began anew.
template <typename Number>
std::optional<Number> grown(const std::optional<Number>& before, const std::optional<Number>& now) {
  if (!before || !now || *now < *before) return std::nullopt;
  return *now - *before;
}

std::optional<double> rate(const std::optional<double>& before, const std::optional<double>& now,
                           double seconds) {
  const auto more = grown(before, now);
  if (!more || !(seconds > 0)) return std::nullopt;
  return *more / seconds;
}

// "cpu MHz		: 2600.000" of each CPU.
std::optional<double> cpuinfo_hz(std::string_view text) {
  constexpr std::string_view kKey = "cpu MHz";
  double sum = 0;
  int cpus = 0;
  for (std::size_t at = text.find(kKey); at != std::string_view::npos;
       at = text.find(kKey, at + 1)) {
    const std::size_t colon = text.find(':', at);
    if (colon == std::string_view::npos) break;
    const auto megahertz = number_at<double>(text.substr(colon + 1));
    if (!megahertz) continue;
    sum += *megahertz * 1e6;
    ++cpus;
  }
  if (cpus == 0) return std::nullopt;
  return sum / cpus;
}

}  // namespace

HostSampler::HostSampler(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      cpu_stats_(cpu_stat_files(options_.root)),
      memory_counters_(MemoryCounters::create(options_.root, options_.open_counter)) {
  PARING_CHECK(options_.samples > 0, "a sampler keeps samples");
  samples_.reserve(options_.samples);
}

// /proc/self/stat (proc_pid_stat(5)): "PID (NAME) STATE ..."; the name may hold anything.
void HostSampler::read_process(Counts& counts, HostSample& sample) const {
  const Result<std::string> text = read_small_file(options_.root + "/proc/self/stat");
  if (!text) return;
  const std::size_t name_end = text->rfind(") ");
  if (name_end == std::string::npos) return;
  // Fields by their number in the manual; behind the name stands field 3.
  constexpr int kMinorFaults = 10, kMajorFaults = 12, kUser = 14, kSystem = 15, kResident = 24;
  std::string_view rest(*text);
  rest.remove_prefix(name_end + 2);
  std::uint64_t user = 0;
  for (int field = 3; field <= kResident && !rest.empty(); ++field) {
    const auto value = number_at<std::uint64_t>(rest);
    rest.remove_prefix(std::min(rest.find(' '), rest.size() - 1) + 1);
    if (!value) continue;
    if (field == kMinorFaults) counts.minor_faults = value;
    if (field == kMajorFaults) counts.major_faults = value;
    if (field == kUser) user = *value;
    if (field == kSystem) {
      counts.process_seconds =
          static_cast<double>(user + *value) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }
    if (field == kResident) {
      sample.resident_bytes = *value * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    }
  }
}

// As available_memory() of base/process.h, with one walk along the control groups, which is most of
// what a sample costs.
void HostSampler::read_memory(HostSample& sample) const {
  constexpr std::uint64_t kKilobyte = 1024;
  if (const Result<std::string> text = read_small_file(options_.root + "/proc/meminfo")) {
    if (const auto kilobytes = value_of(*text, "MemAvailable:")) {
      sample.available_bytes = *kilobytes * kKilobyte;
    }
  }
  const auto group = cgroup_memory(options_.root);
  if (!group) return;
  sample.memory_limit_bytes = group->limit_bytes;
  sample.memory_used_bytes = group->used_bytes;
  const std::uint64_t left = group->limit_bytes - std::min(group->limit_bytes, group->used_bytes);
  sample.available_bytes = std::min(sample.available_bytes.value_or(left), left);
}

std::optional<double> HostSampler::read_throttled() const {
  std::optional<double> sum;
  for (const std::string& file : cpu_stats_) {
    const Result<std::string> text = read_small_file(file);
    if (!text) continue;
    if (const auto microseconds = value_of(*text, "throttled_usec ")) {  // v2
      sum = sum.value_or(0) + static_cast<double>(*microseconds) * 1e-6;
    } else if (const auto nanoseconds = value_of(*text, "throttled_time ")) {  // v1
      sum = sum.value_or(0) + static_cast<double>(*nanoseconds) * 1e-9;
    }
  }
  return sum;
}

std::optional<double> HostSampler::read_frequency() const {
  double sum = 0;
  int known = 0;
  int looked_at = 0;
  for (const int cpu : affinity_cpus()) {
    if (looked_at++ >= kFrequencyCpusMax) break;
    const Result<std::string> text = read_small_file(fmt::format(
        "{}/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq", options_.root, cpu));
    const auto kilohertz = text ? number_at<double>(*text) : std::nullopt;
    if (!kilohertz) break;  // a machine has this file for all of its CPUs or for none
    sum += *kilohertz * 1e3;
    ++known;
  }
  if (known > 0) return sum / known;
  const Result<std::string> text = read_small_file(options_.root + "/proc/cpuinfo");
  if (!text) return std::nullopt;
  return cpuinfo_hz(*text);
}

HostSample HostSampler::sample() {
  const std::lock_guard lock(mutex_);
  HostSample sample;
  Counts now;
  const double monotonic = clock_.monotonic_seconds();
  sample.at_s = clock_.wall_seconds();
  now.host_seconds = machine_busy_seconds(options_.root);
  read_process(now, sample);
  now.throttled_seconds = read_throttled();
  if (memory_counters_) now.memory_bytes = memory_counters_->bytes();
  if (before_) {
    sample.seconds = monotonic - sampled_at_;
    sample.host_cpus = rate(before_->host_seconds, now.host_seconds, sample.seconds);
    sample.process_cpus = rate(before_->process_seconds, now.process_seconds, sample.seconds);
    sample.minor_faults = grown(before_->minor_faults, now.minor_faults);
    sample.major_faults = grown(before_->major_faults, now.major_faults);
    sample.memory_bytes_per_second = rate(before_->memory_bytes, now.memory_bytes, sample.seconds);
    sample.throttled_seconds = grown(before_->throttled_seconds, now.throttled_seconds);
  }
  if (taken_ % kFrequencyEvery == 0) frequency_hz_ = read_frequency();
  sample.frequency_hz = frequency_hz_;
  sample.cpu_quota = cgroup_cpu_quota(options_.root);
  read_memory(sample);
  before_ = now;
  sampled_at_ = monotonic;
  if (samples_.size() < options_.samples) {
    samples_.push_back(sample);
  } else {
    samples_[taken_ % options_.samples] = sample;
  }
  ++taken_;
  return sample;
}

std::optional<HostSample> HostSampler::latest() const {
  const std::lock_guard lock(mutex_);
  if (taken_ == 0) return std::nullopt;
  return samples_[(taken_ - 1) % options_.samples];
}

std::vector<HostSample> HostSampler::since(double at_s) const {
  const std::lock_guard lock(mutex_);
  std::vector<HostSample> found;
  for (std::size_t i = taken_ - samples_.size(); i < taken_; ++i) {
    const HostSample& sample = samples_[i % options_.samples];
    if (sample.at_s > at_s) found.push_back(sample);
  }
  return found;
}

}  // namespace paring::monitor
