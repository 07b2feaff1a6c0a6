// SPDX-License-Identifier: Apache-2.0
// Reads the matrices of a model into panels. All lie in one buffer, so that they share huge pages;
// every worker packs pieces of kPieceBytes, and the file's pages go back to the system piece by
// piece: at no time more of them are in memory than the workers read just then.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/executor.h"
#include "base/result.h"
#include "io/model_file.h"
#include "kernels/packed_matrix.h"
#include "model/weights.h"

namespace paring::model {

// Of the file, that a worker packs at a time.
inline constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

struct LoadedMatrices {
  AlignedBuffer memory;
  std::vector<kernels::PackedMatrix> matrices;  // in `memory`, in the order of the slots
};

// Corrupt for a missing tensor or a wrong shape (named), Unsupported for a type without panels,
// Exhausted when memory does not suffice. Thread-safe as `executor` is.
Result<LoadedMatrices> load_matrices(const io::ModelFile& file, std::span<const MatrixSlot> slots,
                                     Executor& executor);

}  // namespace paring::model
