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
  // Whether a table has one.
  bool (*is_there)(const KernelTable& table);
  // Puts the one of `own`, if it has one, in the place of that of `table`.
  void (*take)(KernelTable& table, const KernelTable& own);
};

std::span<const OpName> op_names() noexcept;
// `base` with the name and the operations of `own` in the place of its own.
KernelTable extended(const KernelTable& base, const KernelTable& own) noexcept;
// The slowest level, of those from `table` on, whose table has the same implementation: a table may
// borrow from one below it.
const char* origin_of(const OpName& op, const KernelTable& table) noexcept;

}  // namespace paring::kernels
