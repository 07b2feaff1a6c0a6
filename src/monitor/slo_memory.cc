// SPDX-License-Identifier: Apache-2.0
#include "monitor/slo_memory.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/file.h"
#include "io/atomic_file.h"

namespace paring::monitor {

namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kCellFields = 3;

Json json_of(const std::vector<SloRing::Cell>& cells) {
  Json list = Json::array();
  for (const SloRing::Cell& cell : cells) {
    list.push_back({cell.period, cell.sum.events, cell.sum.bad});
  }
  return list;
}

Json json_of(const AlertStatus& status) {
  Json json = {{"state", alert_state_name(status.state)},
               {"since", status.since_s},
               {"fired", status.fired_s},
               {"resolved", status.resolved_s}};
  if (status.calm_s) json["calm"] = *status.calm_s;
  return json;
}

// Json::at() and get() throw what parse_slo_memory() catches.
std::vector<SloRing::Cell> cells_of(const Json& list) {
  std::vector<SloRing::Cell> cells;
  for (const Json& each : list) {
    if (each.size() != kCellFields) throw std::invalid_argument("a cell has three numbers");
    cells.push_back(
        {each.at(0).get<std::int64_t>(), {each.at(1).get<double>(), each.at(2).get<double>()}});
  }
  return cells;
}

AlertState state_of(const Json& name) {
  const auto state = alert_state_of(name.get<std::string>());
  if (!state) throw std::invalid_argument("no such state");
  return *state;
}

AlertStatus status_of(const Json& json) {
  AlertStatus status{.state = state_of(json.at("state")),
                     .since_s = json.at("since").get<double>(),
                     .fired_s = json.at("fired").get<double>(),
                     .resolved_s = json.at("resolved").get<double>()};
  if (json.contains("calm")) status.calm_s = json.at("calm").get<double>();
  return status;
}

SloMemory::Objective objective_of(const Json& json) {
  SloMemory::Objective objective{
      .name = json.at("name").get<std::string>(),
      .identity = json.at("identity").get<std::string>(),
      .minutes = cells_of(json.at("minutes")),
      .hours = cells_of(json.at("hours")),
      .ever = {json.at("events").get<double>(), json.at("bad").get<double>()},
      .last_event_s = json.at("last_event").get<double>(),
      .silenced_until_s = json.at("silenced_until").get<double>(),
      .silence_comment = json.at("silence_comment").get<std::string>(),
      .told_s = json.at("told").get<double>(),
      .alerts = {}};
  for (const Json& alert : json.at("alerts")) {
    objective.alerts.push_back({alert.at("name").get<std::string>(), status_of(alert.at("status")),
                                alert.at("is_told").get<bool>()});
  }
  return objective;
}

SloMemory memory_of(const Json& json) {
  if (json.at("version").get<int>() != kVersion) throw std::invalid_argument("another version");
  SloMemory memory{.at_s = json.at("at").get<double>(), .objectives = {}, .changes = {}};
  for (const Json& each : json.at("objectives")) memory.objectives.push_back(objective_of(each));
  for (const Json& each : json.at("changes")) {
    memory.changes.push_back({each.at("at").get<double>(), each.at("objective").get<std::string>(),
                              each.at("alert").get<std::string>(), state_of(each.at("from")),
                              state_of(each.at("to")), each.at("value").get<double>(),
                              each.at("limit").get<double>()});
  }
  return memory;
}

}  // namespace

std::string slo_memory_text(const SloMemory& memory) {
  Json objectives = Json::array();
  for (const SloMemory::Objective& each : memory.objectives) {
    Json alerts = Json::array();
    for (const SloMemory::Objective::Alert& alert : each.alerts) {
      alerts.push_back(
          {{"name", alert.name}, {"status", json_of(alert.status)}, {"is_told", alert.is_told}});
    }
    objectives.push_back({{"name", each.name},
                          {"identity", each.identity},
                          {"minutes", json_of(each.minutes)},
                          {"hours", json_of(each.hours)},
                          {"events", each.ever.events},
                          {"bad", each.ever.bad},
                          {"last_event", each.last_event_s},
                          {"silenced_until", each.silenced_until_s},
                          {"silence_comment", each.silence_comment},
                          {"told", each.told_s},
                          {"alerts", std::move(alerts)}});
  }
  Json changes = Json::array();
  for (const AlertChange& each : memory.changes) {
    changes.push_back({{"at", each.at_s},
                       {"objective", each.objective},
                       {"alert", each.alert},
                       {"from", alert_state_name(each.from)},
                       {"to", alert_state_name(each.to)},
                       {"value", each.value},
                       {"limit", each.limit}});
  }
  const Json all = {{"version", kVersion},
                    {"at", memory.at_s},
                    {"objectives", std::move(objectives)},
                    {"changes", std::move(changes)}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<SloMemory> parse_slo_memory(std::string_view text) {
  try {
    return memory_of(Json::parse(text));
  } catch (const std::exception& error) {
    return Error{ErrorCode::kCorrupt, std::string("no state of alerts: ") + error.what(), ""};
  }
}

Result<void> save_slo_memory(const std::string& path, const SloMemory& memory) {
  return io::write_file(path, slo_memory_text(memory), io::Overwrite::kReplace);
}

Result<std::optional<SloMemory>> load_slo_memory(const std::string& path) {
  const Result<std::string> text = read_small_file(path, kSloMemoryBytesMax);
  if (!text && text.error().code == ErrorCode::kNotFound) return std::optional<SloMemory>();
  if (!text) return text.error();
  PARING_TRY(SloMemory memory, parse_slo_memory(*text));
  return std::optional<SloMemory>(std::move(memory));
}

}  // namespace paring::monitor
