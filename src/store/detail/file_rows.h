// SPDX-License-Identifier: Apache-2.0
// Rows of the table of files, for the transactions of more than one table. Stateless.
#pragma once

#include "store/detail/sqlite.h"
#include "store/files.h"

namespace paring::store::detail {

Result<void> insert_file(Connection& connection, const FileRow& file);

}  // namespace paring::store::detail
