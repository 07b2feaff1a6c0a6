// SPDX-License-Identifier: Apache-2.0
#include "monitor/memory_counters.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/file.h"

namespace paring::monitor {

namespace {

namespace fs = std::filesystem;

// Read and written, by what kernels call them. Servers have both the first and the second, which
// count the same traffic: of the first that a machine has.
struct Events {
  std::string_view unit;
  std::array<std::string_view, 2> names;
};
constexpr Events kEvents[] = {
    {"uncore_imc", {"cas_count_read", "cas_count_write"}},
    {"uncore_imc_free_running", {"read", "write"}},
    {"uncore_imc_free_running", {"data_read", "data_write"}},
    {"uncore_imc", {"data_reads", "data_writes"}},
};

int open_event(std::uint32_t type, std::uint64_t config, int cpu) {
  perf_event_attr attributes{};
  attributes.type = type;
  attributes.size = sizeof(attributes);
  attributes.config = config;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(
      ::syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC));
}

template <typename Number>
std::optional<Number> number_of(std::string_view text, int base = 10) {
  Number value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (result.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<double> decimal_of(std::string_view text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || !(value > 0)) return std::nullopt;
  return value;
}

std::string read_line(const std::string& path) {
  const Result<std::string> text = read_small_file(path);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

// "uncore_imc", "uncore_imc_3".
bool is_unit(std::string_view name, std::string_view unit) {
  if (!name.starts_with(unit)) return false;
  name.remove_prefix(unit.size());
  if (name.starts_with('_')) name.remove_prefix(1);
  return std::ranges::all_of(name, [](char each) { return each >= '0' && each <= '9'; });
}

// "event=0x04,umask=0x03", by the unit's format files: "config:8-15".
std::optional<std::uint64_t> config_of(const std::string& folder, std::string_view terms) {
  constexpr int kHexadecimal = 16;
  constexpr int kBits = 64;
  std::uint64_t config = 0;
  while (!terms.empty()) {
    const std::string_view term = terms.substr(0, terms.find(','));
    terms.remove_prefix(std::min(term.size() + 1, terms.size()));
    const std::size_t equals = term.find("=0x");
    if (equals == std::string_view::npos) return std::nullopt;
    const auto value = number_of<std::uint64_t>(term.substr(equals + 3), kHexadecimal);
    const std::string format = read_line(folder + "/format/" + std::string(term.substr(0, equals)));
    constexpr std::string_view kConfig = "config:";
    if (!value || !format.starts_with(kConfig)) return std::nullopt;
    const auto shift = number_of<int>(std::string_view(format).substr(kConfig.size()));
    if (!shift || *shift < 0 || *shift >= kBits) return std::nullopt;
    config |= *value << *shift;
  }
  return config;
}

// One a socket: "0,56".
std::vector<int> cpus_of(const std::string& folder) {
  const std::string line = read_line(folder + "/cpumask");
  std::vector<int> cpus;
  std::string_view text(line);
  while (!text.empty()) {
    const auto cpu = number_of<int>(text);
    if (!cpu) return {};
    cpus.push_back(*cpu);
    text.remove_prefix(std::min(text.find(','), text.size() - 1) + 1);
  }
  return cpus;
}

Error none() {
  return Error{ErrorCode::kUnavailable, "this machine has no counters of its memory's traffic", ""};
}

std::vector<std::string> units(const std::string& folder, std::string_view unit) {
  std::vector<std::string> folders;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    if (is_unit(entry->path().filename().string(), unit)) folders.push_back(entry->path().string());
  }
  return folders;
}

}  // namespace

Result<MemoryCounters> MemoryCounters::create(const std::string& root, Open open) {
  constexpr double kMebibyte = 1024.0 * 1024.0;
  if (!open) open = open_event;
  for (const Events& events : kEvents) {
    MemoryCounters counters;
    for (const std::string& unit : units(root + "/sys/bus/event_source/devices", events.unit)) {
      const auto type = number_of<std::uint32_t>(read_line(unit + "/type"));
      for (const std::string_view name : events.names) {
        const std::string file = unit + "/events/" + std::string(name);
        const std::string terms = read_line(file);
        if (terms.empty()) continue;
        const auto config = config_of(unit, terms);
        const auto scale = decimal_of(read_line(file + ".scale"));
        const std::vector<int> cpus = cpus_of(unit);
        // Of what we do not understand there is no part either: it would be too small a figure.
        if (!type || !config || !scale || cpus.empty() || read_line(file + ".unit") != "MiB") {
          return none();
        }
        for (const int cpu : cpus) {
          const int descriptor = open(*type, *config, cpu);
          if (descriptor < 0) {
            return Error{ErrorCode::kUnavailable,
                         "the counters of this machine's memory traffic cannot be read",
                         "run as root, or set kernel.perf_event_paranoid to 0"};
          }
          counters.counters_.push_back({descriptor, *scale * kMebibyte});
        }
      }
    }
    if (!counters.counters_.empty()) return counters;
  }
  return none();
}

MemoryCounters::~MemoryCounters() {
  for (const Counter& counter : counters_) ::close(counter.descriptor);
}

std::optional<double> MemoryCounters::bytes() const {
  double sum = 0;
  for (const Counter& counter : counters_) {
    std::array<std::uint64_t, 3> read{};  // value, time enabled, time running
    if (::read(counter.descriptor, read.data(), sizeof(read)) != sizeof(read)) return std::nullopt;
    if (read[2] < read[1]) return std::nullopt;  // others used it meanwhile
    sum += static_cast<double>(read[0]) * counter.unit_bytes;
  }
  return sum;
}

}  // namespace paring::monitor
