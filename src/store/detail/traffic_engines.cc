// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "store/detail/traffic_day.h"

namespace paring::store::detail {

Result<void> TrafficDay::set_engine(const TrafficEngine& engine) {
  return as_void(connections_->write(Durability::kProcess, [&](Connection& connection) {
    return connection.execute(
        "INSERT INTO engines(hour_s, model, variant, loaded_s, facts, steps) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET facts = ?5, steps = ?6",
        {engine.hour_s, engine.model, engine.variant, engine.loaded_s, engine.facts, engine.steps});
  }));
}

Result<void> TrafficDay::add_engines(const TrafficFilter& filter,
                                     std::vector<TrafficEngine>& engines) {
  constexpr double kHourSeconds = 3600;
  return connections_->read([&](Connection& connection) -> Result<void> {
    PARING_TRY(Cursor row,
               connection.query(
                   "SELECT hour_s, model, variant, loaded_s, facts, steps FROM engines "
                   "WHERE hour_s > ?1 AND hour_s < ?2 AND (?3 IS NULL OR model = ?3) "
                   "AND (?4 IS NULL OR variant = ?4) ORDER BY hour_s, loaded_s",
                   {filter.from_s - kHourSeconds, filter.to_s, filter.model, filter.variant}));
    PARING_TRY(bool has_row, row.next());
    while (has_row) {
      engines.push_back(
          {row.integer(0), row.text(1), row.text(2), row.real(3), row.text(4), row.text(5)});
      PARING_TRY(has_row, row.next());
    }
    return {};
  });
}

}  // namespace paring::store::detail
