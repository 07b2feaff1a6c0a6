// SPDX-License-Identifier: Apache-2.0
// The one list of versions of control.db. Forward only: a row is never changed once it was
// released, a change of the schema is a new row at the end. Stateless.
#pragma once

#include <cstdint>
#include <span>

#include "store/detail/sqlite.h"

namespace paring::store::detail {

struct Migration {
  std::int64_t version;  // 1, 2, 3, ...
  Sql script;            // ends with PRAGMA user_version = version
};
std::span<const Migration> migrations() noexcept;

// PRAGMA application_id of a control.db: "Prng".
inline constexpr std::int64_t kApplicationId = 0x50726e67;

// Brings an empty or older database to `version`, in one transaction; does nothing to one that is
// there already. Unsupported: the database is newer than the list. Corrupt: a database of another
// program. REQUIRES: version is in the list.
Result<void> migrate(Connection& connection, std::int64_t version);
inline std::int64_t latest_version() noexcept { return migrations().back().version; }

}  // namespace paring::store::detail
