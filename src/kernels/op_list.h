// SPDX-License-Identifier: Apache-2.0
// The operations of a KernelTable by name, for what is printed about them. A new operation that is
// not in this list does not compile.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/ops.h"

namespace paring::kernels {

struct OpName {
  const char* name;
  // Whether two tables have the same implementation.
  bool (*is_same)(const KernelTable& left, const KernelTable& right);
};

std::span<const OpName> op_names() noexcept;
// The slowest level, of those from `table` on, whose table has the same implementation: a table may
// borrow from one below it.
const char* origin_of(const OpName& op, const KernelTable& table) noexcept;

}  // namespace paring::kernels
