// SPDX-License-Identifier: Apache-2.0
// The table of each instruction-set folder: the only symbols that those objects export
// (tests/check_isa_symbols.py). Used by dispatch.cc alone. Immutable.
#pragma once

#include "kernels/ops.h"

namespace paring::kernels {

extern const KernelTable kReferenceKernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
extern const KernelTable kNeonKernels;

}  // namespace paring::kernels
