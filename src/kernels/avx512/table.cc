// SPDX-License-Identifier: Apache-2.0
// The AVX-512 table (F, BW, CD, DQ, VL and VNNI). Everything but the table has internal linkage:
// the algorithms are instantiated here over this folder's vectors.
#include "kernels/tables.h"

// The order matters: the shared algorithms use the vectors.
// clang-format off
#include "kernels/avx512/vec-inl.h"
#include "kernels/exp-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/weights-inl.h"
#include "kernels/float_tile-inl.h"
#include "kernels/matmul_f-inl.h"
#include "kernels/attention_state-inl.h"
#include "kernels/attention_f-inl.h"
#include "kernels/attention_q-inl.h"
#include "kernels/attention-inl.h"
#include "kernels/avx512/matmul_q_shape-inl.h"
#include "kernels/matmul_q_unpacked-inl.h"
#include "kernels/matmul_q-inl.h"
#include "kernels/avx512/matmul_q_tile-inl.h"
// clang-format on

namespace paring::kernels {

const KernelTable kAvx512Kernels = {
    .isa = "avx512",
    .quantize_rows = quantize_rows,
    .matmul_q = matmul_q,
    .matmul_f = matmul_f,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .add = add_rows,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .gelu_erf = gelu_erf,
    .gelu_tanh = gelu_tanh,
    .soft_cap = soft_cap,
    .kv_write = kv_write,
    .attention = attention,
    .attention_join = attention_join,
    .log_sum_exp = log_sum_exp,
    .kl_divergence = kl_divergence,
};

}  // namespace paring::kernels
