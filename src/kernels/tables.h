// SPDX-License-Identifier: Apache-2.0
// The table of each instruction-set folder: the only symbols that those objects export
// (tests/check_isa_symbols.py). Used by dispatch.cc, and by folders that extend another's. An
// operation that a table lacks (null) is that of the table it extends. Immutable.
#pragma once

#include "kernels/ops.h"

namespace paring::kernels {

extern const KernelTable kReferenceKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kAvx512bf16Kernels;  // extends AVX-512, where the CPU has AVX512_BF16
extern const KernelTable kAmxKernels;         // extends AVX-512
extern const KernelTable kNeonKernels;

}  // namespace paring::kernels
