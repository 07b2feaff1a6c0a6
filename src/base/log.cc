// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fmt/core.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <memory>

#include "base/redact.h"
#include "base/text.h"

namespace paring {
namespace {

struct LevelRow {
  LogLevel level;
  const char* name;
  spdlog::level::level_enum library_level;
};
constexpr std::array<LevelRow, 5> kLevels = {{
    {LogLevel::kDebug, "debug", spdlog::level::debug},
    {LogLevel::kInfo, "info", spdlog::level::info},
    {LogLevel::kWarning, "warning", spdlog::level::warn},
    {LogLevel::kError, "error", spdlog::level::err},
    {LogLevel::kOff, "off", spdlog::level::off},
}};

std::atomic<LogLevel> current_level{LogLevel::kInfo};

spdlog::logger& logger() {
  static const std::unique_ptr<spdlog::logger> instance = [] {
    auto created = std::make_unique<spdlog::logger>(
        "paring", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_level(spdlog::level::trace);  // filtered by current_level
    created->flush_on(spdlog::level::trace);
    created->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    return created;
  }();
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) noexcept { current_level.store(level); }
LogLevel log_level() noexcept { return current_level.load(); }

Result<LogLevel> parse_log_level(std::string_view name) {
  std::string choices;
  for (const LevelRow& row : kLevels) {
    if (name == row.name) return row.level;
    choices += choices.empty() ? "" : ", ";
    choices += row.name;
  }
  return invalid_argument(fmt::format("'{}' is not a log level", escape_control(name)),
                          "choose one of " + choices);
}

bool is_logged(LogLevel level) noexcept {
  return level != LogLevel::kOff && level >= current_level.load(std::memory_order_relaxed);
}

void log(LogLevel level, std::string_view text) {
  if (!is_logged(level)) return;
  const LevelRow& row = kLevels[static_cast<std::size_t>(level)];
  logger().log(row.library_level, escape_control(redact(text)));
}

}  // namespace paring
