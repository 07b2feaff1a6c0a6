// SPDX-License-Identifier: Apache-2.0
// What AVX512_BF16 adds to the AVX-512 table (dispatch.cc). Everything but the table has internal
// linkage.
#include "kernels/tables.h"

// The order matters: the shared algorithms use the vectors.
// clang-format off
#include "kernels/avx512/vec-inl.h"
#include "kernels/weights-inl.h"
#include "kernels/float_tile-inl.h"
#include "kernels/avx512bf16/round-inl.h"
#include "kernels/avx512bf16/matmul_bf16_shape-inl.h"
#include "kernels/matmul_bf16-inl.h"
#include "kernels/avx512bf16/matmul_bf16_tile-inl.h"
// clang-format on

namespace paring::kernels {

// Few tokens do not pay for rounding the weights: on Zen 5 both paths of float types take as long
// for 12 tokens, up to which matmul_f reads weights as stored. Block types never: VNNI takes 11
// instructions for 32 columns of a token and 16 rows, vdpbf16ps 16 (docs/benchmarks.md).
const KernelTable kAvx512bf16Kernels = {
    .isa = "avx512bf16",
    .matmul_bf16 = matmul_bf16,
    .bf16_from = {.float_types = 13},
};

}  // namespace paring::kernels
