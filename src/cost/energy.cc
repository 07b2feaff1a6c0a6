// SPDX-License-Identifier: Apache-2.0
#include "cost/energy.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include "base/file.h"
#include "base/text.h"

namespace paring::cost {
namespace {

namespace fs = std::filesystem;

std::string read_line(const std::string& path) {
  Result<std::string> text = read_small_file(path);
  if (!text) return {};
  return text->substr(0, text->find('\n'));
}

Result<std::uint64_t> read_counter(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path));
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc()) {
    return io_error(fmt::format("'{}' holds no number", path));
  }
  return value;
}

// Folders "intel-rapl:0" (packages and psys) and "intel-rapl:0:1" (parts of package 0), sorted.
// AMD's counters carry the same names.
std::vector<std::string> zones(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("intel-rapl:")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The name of a zone to count, nullopt for one that another contains (cores and graphics are part
// of their package, and psys contains the packages).
std::optional<std::string> counted_name(const std::string& folder, const std::string& zone) {
  const std::string name = read_line(folder + "/" + zone + "/name");
  if (std::count(zone.begin(), zone.end(), ':') == 1) {
    if (name.starts_with("package")) return name;
    return std::nullopt;
  }
  if (name != "dram") return std::nullopt;
  const std::string parent = zone.substr(0, zone.rfind(':'));
  return read_line(folder + "/" + parent + "/name") + "/" + name;
}

}  // namespace

Result<EnergyReader> EnergyReader::create(const std::string& root) {
  const std::string folder = root + "/sys/class/powercap";
  EnergyReader reader;
  bool is_refused = false;
  for (const std::string& zone : zones(folder)) {
    const auto name = counted_name(folder, zone);
    if (!name) continue;
    const std::string counter = folder + "/" + zone + "/energy_uj";
    const auto range = read_counter(folder + "/" + zone + "/max_energy_range_uj");
    const auto value = read_counter(counter);
    if (!range || !value || *range == 0) {
      is_refused = true;
      continue;
    }
    reader.domains_.push_back({escape_control(*name), counter, *range, *value});
  }
  if (!reader.domains_.empty()) return reader;
  if (is_refused) {
    return Error{ErrorCode::kUnavailable, "the energy counters of this machine cannot be read",
                 "run as root, or allow reading energy_uj below /sys/class/powercap"};
  }
  return Error{ErrorCode::kUnavailable, "this machine has no energy counters", ""};
}

Result<double> EnergyReader::joules() {
  for (Domain& domain : domains_) {
    PARING_TRY(const std::uint64_t now, read_counter(domain.path));
    const std::uint64_t used =
        now >= domain.last_microjoules
            ? now - domain.last_microjoules
            : domain.range_microjoules -
                  std::min(domain.range_microjoules, domain.last_microjoules) + now;
    domain.last_microjoules = now;
    total_microjoules_ += used;
  }
  return static_cast<double>(total_microjoules_) * 1e-6;
}

std::vector<std::string> EnergyReader::domains() const {
  std::vector<std::string> names;
  for (const Domain& domain : domains_) names.push_back(domain.name);
  return names;
}

}  // namespace paring::cost
