// SPDX-License-Identifier: Apache-2.0
// What the AMX table (AMX-TILE, AMX-INT8 and AMX-BF16 beside AVX-512 and its BF16) has of its own;
// dispatch.cc takes the rest from the AVX-512 table. Everything but the table has internal linkage.
#include "kernels/tables.h"

// The order matters: the shared algorithms use the vectors.
// clang-format off
#include "kernels/avx512/vec-inl.h"
#include "kernels/weights-inl.h"
#include "kernels/float_tile-inl.h"
#include "kernels/amx/tiles-inl.h"
#include "kernels/amx/matmul_q_shape-inl.h"
#include "kernels/matmul_q_unpacked-inl.h"
#include "kernels/amx/matmul_q_tile-inl.h"
#include "kernels/avx512bf16/round-inl.h"
#include "kernels/amx/matmul_bf16_shape-inl.h"
#include "kernels/matmul_bf16-inl.h"
#include "kernels/amx/matmul_bf16_tile-inl.h"
// clang-format on

namespace paring::kernels {

const KernelTable kAmxKernels = {
    .isa = "amx",
    .matmul_q = matmul_q,
    .matmul_bf16 = matmul_bf16,
    .bf16_from = {.float_types = kVectorTokens + 1, .block_types = kVectorTokens + 1},
};

}  // namespace paring::kernels
