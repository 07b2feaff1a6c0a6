// SPDX-License-Identifier: Apache-2.0
// The lists of versions of our databases: control.db and the files of traffic. Forward only: a row
// is never changed once it was released, a change of the schema is a new row at the end. Stateless.
#pragma once

#include <cstdint>
#include <span>

#include "store/detail/sqlite.h"

namespace paring::store::detail {

struct Migration {
  std::int64_t version;  // 1, 2, 3, ...
  Sql script;            // ends with PRAGMA user_version = version
};

// A kind of database: how it is known, and its versions.
struct Schema {
  std::int64_t application_id;  // PRAGMA application_id
  std::span<const Migration> versions;
  std::int64_t latest() const noexcept { return versions.back().version; }
};
const Schema& control_schema() noexcept;
const Schema& traffic_schema() noexcept;

// Brings an empty or older database to `version`, in one transaction; does nothing to one that is
// there already. Unsupported: the database is newer than the list. Corrupt: a database of another
// program. REQUIRES: version is in the list.
Result<void> migrate(Connection& connection, const Schema& schema, std::int64_t version);

}  // namespace paring::store::detail
