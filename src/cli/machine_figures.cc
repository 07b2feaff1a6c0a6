// SPDX-License-Identifier: Apache-2.0
#include "cli/machine_figures.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/file.h"
#include "io/atomic_file.h"

namespace paring::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Figure {
  const char* name;
  double cost::Probes::* value;
};
constexpr Figure kFigures[] = {
    {"read_bytes_per_second", &cost::Probes::read_bytes_per_second},
    {"f32_operations_per_second", &cost::Probes::f32_operations_per_second},
    {"int8_operations_per_second", &cost::Probes::int8_operations_per_second},
    {"bf16_operations_per_second", &cost::Probes::bf16_operations_per_second},
    {"own_time_share", &cost::Probes::own_share}};

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

Result<std::string> machine_figures_path() {
  std::string cache = variable("XDG_CACHE_HOME");
  if (cache.empty()) {
    if (variable("HOME").empty()) {
      return invalid_argument(
          "neither XDG_CACHE_HOME nor HOME is set, so figures of the machine are not kept",
          "set XDG_CACHE_HOME");
    }
    cache = variable("HOME") + "/.cache";
  }
  return cache + "/paring/machine.json";
}

Result<void> save_machine_figures(const std::string& path, const std::string& cpu,
                                  const cost::Probes& probes) {
  std::error_code ignored;  // the file tells what is wrong with its folder
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  Json json = {{"cpu", cpu}, {"isa", probes.isa}, {"threads", probes.threads}};
  for (const Figure& figure : kFigures) json[figure.name] = probes.*figure.value;
  PARING_TRY(io::AtomicFile file, io::AtomicFile::create(path, io::Overwrite::kReplace));
  PARING_TRY_VOID(file.write(json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n"));
  return file.commit();
}

std::optional<cost::Probes> load_machine_figures(const std::string& path, const std::string& cpu,
                                                 const std::string& isa, std::size_t threads) {
  const Result<std::string> text = read_small_file(path);
  if (!text) return std::nullopt;
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const Json expected = {{"cpu", cpu}, {"isa", isa}, {"threads", threads}};
  if (!json.is_object()) return std::nullopt;
  for (const auto& [name, value] : expected.items()) {
    if (!json.contains(name) || json[name] != value) return std::nullopt;
  }
  cost::Probes probes;
  probes.isa = isa;
  probes.threads = threads;
  for (const Figure& figure : kFigures) {
    if (!json.contains(figure.name) || !json[figure.name].is_number()) return std::nullopt;
    const auto value = json[figure.name].get<double>();
    if (!std::isfinite(value) || value < 0) return std::nullopt;
    probes.*figure.value = value;
  }
  return probes;
}

}  // namespace paring::cli
