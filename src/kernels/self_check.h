// SPDX-License-Identifier: Apache-2.0
// A level that was tested by emulation alone proves itself on the CPU at hand before it is taken.
#pragma once

#include "kernels/ops.h"

namespace paring::kernels {

// Whether matmul_q of both tables gives the same bits for small products: signed and unsigned
// codes, with and without minima, one scale a group and two, whole tiles of tokens and rests. About
// a tenth of a millisecond. Both tables must run on this CPU.
bool gives_same_products(const KernelTable& left, const KernelTable& right) noexcept;

}  // namespace paring::kernels
