// SPDX-License-Identifier: Apache-2.0
// The audit log: what administrators did and what was refused. The database itself refuses to
// change or remove a row. No field may hold a secret or text of a prompt; serve/access writes it.
// Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"

namespace paring::store {

struct AuditRow {
  std::int64_t id = 0;  // given by append(), ascending
  std::int64_t at_s = 0;
  std::string actor;   // id of a key, or "cli"
  std::string action;  // "key.create"
  std::string object;  // what was acted on: id of a key, file or batch; a route
  std::string result;  // "ok", or the name of the refusal
  std::string detail;
};

class AuditLog {
 public:
  explicit AuditLog(const ControlDb& control) : control_(control) {}
  // `row.id` is ignored.
  Result<void> append(const AuditRow& row) const;
  // Rows with an id above `after`, oldest first, at most `limit`.
  Result<std::vector<AuditRow>> read(std::int64_t after, std::int64_t limit) const;
  // The newest `limit` rows, oldest first.
  Result<std::vector<AuditRow>> tail(std::int64_t limit) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
