// SPDX-License-Identifier: Apache-2.0
#include "store/runtime_settings.h"

#include "store/detail/connections.h"

namespace paring::store {

using detail::Connection;
using detail::Durability;

Result<void> RuntimeSettings::set(const RuntimeSetting& setting) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        return detail::as_void(connection.execute(
            "INSERT INTO settings(key, value, changed_s, changed_by) VALUES(?1, ?2, ?3, ?4) "
            "ON CONFLICT(key) DO UPDATE SET value = excluded.value, "
            "changed_s = excluded.changed_s, changed_by = excluded.changed_by",
            {setting.key, setting.value, setting.changed_s, setting.changed_by}));
      });
}

Result<bool> RuntimeSettings::clear(std::string_view key) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<bool> {
        PARING_TRY(const std::int64_t removed,
                   connection.execute("DELETE FROM settings WHERE key = ?1", {key}));
        return removed == 1;
      });
}

Result<std::vector<RuntimeSetting>> RuntimeSettings::list() const {
  return control_.connections().read(
      [](Connection& connection) -> Result<std::vector<RuntimeSetting>> {
        PARING_TRY(detail::Cursor row,
                   connection.query(
                       "SELECT key, value, changed_s, changed_by FROM settings ORDER BY key"));
        std::vector<RuntimeSetting> found;
        PARING_TRY(bool has_row, row.next());
        while (has_row) {
          found.push_back({row.text(0), row.text(1), row.integer(2), row.text(3)});
          PARING_TRY(has_row, row.next());
        }
        return found;
      });
}

}  // namespace paring::store
