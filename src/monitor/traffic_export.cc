// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic_export.h"

#include <string>
#include <utility>

namespace paring::monitor {

Result<std::int64_t> export_traffic(const store::TrafficDb& traffic,
                                    const store::TrafficFilter& filter, bool with_content,
                                    const ExportSink& sink) {
  const std::int64_t limit = with_content ? kExportRowsWithContent : kExportRows;
  const auto parts =
      with_content ? store::TrafficParts::kAll : store::TrafficParts::kWithoutContent;
  std::int64_t rows = 0;
  std::string cursor;
  do {
    PARING_TRY(store::TrafficPage page, traffic.page(filter, cursor, limit, parts));
    if (!page.rows.empty()) PARING_TRY_VOID(sink(page.rows));
    rows += static_cast<std::int64_t>(page.rows.size());
    cursor = std::move(page.next);
  } while (!cursor.empty());
  return rows;
}

}  // namespace paring::monitor
