// SPDX-License-Identifier: Apache-2.0
#include "kernels/op_list.h"

#include <iterator>

namespace paring::kernels {

namespace {

#define PARING_OP(op)                                                                           \
  OpName {                                                                                      \
    #op, [](const KernelTable& left, const KernelTable& right) { return left.op == right.op; }, \
        [](const KernelTable& table) { return table.op != nullptr; },                           \
        [](KernelTable& table, const KernelTable& own) {                                        \
          if (own.op != nullptr) table.op = own.op;                                             \
        }                                                                                       \
  }
constexpr OpName kOps[] = {
    PARING_OP(quantize_rows), PARING_OP(matmul_q),      PARING_OP(matmul_f),
    PARING_OP(matmul_bf16),   PARING_OP(rms_norm),      PARING_OP(layer_norm),
    PARING_OP(add),           PARING_OP(silu_mul),      PARING_OP(gelu_mul),
    PARING_OP(gelu_erf),      PARING_OP(gelu_tanh),     PARING_OP(soft_cap),
    PARING_OP(kv_write),      PARING_OP(attention),     PARING_OP(attention_join),
    PARING_OP(log_sum_exp),   PARING_OP(kl_divergence),
};
#undef PARING_OP
// The table holds its name, one pointer an operation and when one of them is worth it.
static_assert(sizeof(KernelTable) == (std::size(kOps) + 1) * sizeof(void*) + sizeof(Bf16Tokens),
              "an operation of KernelTable is missing in this list");

}  // namespace

std::span<const OpName> op_names() noexcept { return kOps; }

KernelTable extended(const KernelTable& base, const KernelTable& own) noexcept {
  KernelTable table = base;
  table.isa = own.isa;
  for (const OpName& op : kOps) op.take(table, own);
  if (own.matmul_bf16 != nullptr) table.bf16_from = own.bf16_from;
  return table;
}

const char* origin_of(const OpName& op, const KernelTable& table) noexcept {
  const char* name = table.isa;
  bool is_below = false;
  for (const IsaLevel& level : isa_levels()) {
    is_below = is_below || level.table == &table;
    if (is_below && op.is_same(*level.table, table)) name = level.name;
  }
  return name;
}

}  // namespace paring::kernels
