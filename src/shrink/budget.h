// SPDX-License-Identifier: Apache-2.0
// Budgets before any measuring: what a result takes at least, and the refusal of what cannot be.
// Pure functions of the loaded model's shapes; nothing here takes more than milliseconds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/loaded_model.h"
#include "shrink/optimize.h"

namespace paring::shrink {

// What stays the same whatever types the matrices take.
struct FixedCosts {
  std::uint64_t file_bytes = 0;    // header, metadata, norms, room for the certificate
  std::uint64_t memory_bytes = 0;  // norms, key/value cache and step buffers
};
Result<FixedCosts> fixed_costs(const engine::LoadedModel& model, const OptimizeOptions& options,
                               std::size_t threads);

// To multiples of what the tensors of the output are padded.
Result<std::uint64_t> tensor_alignment(const io::ModelFile& file);

// What one matrix costs in a type.
struct MatrixCost {
  std::uint64_t file_bytes = 0;    // with the padding behind it
  std::uint64_t memory_bytes = 0;  // packed for the kernels: rows are padded to whole panels
};
// InvalidArgument when a row is not whole blocks.
Result<MatrixCost> matrix_cost(DType type, std::size_t rows, std::size_t cols,
                               std::uint64_t alignment);

// The types a matrix may take: its own and those of `allowed` that divide its rows.
std::vector<DType> types_of(const engine::LoadedModel& model, std::size_t slot,
                            std::span<const DType> allowed);

// The types that optimize() chooses from: those asked for, else every block type. Unsupported for
// one that cannot be encoded.
Result<std::vector<DType>> allowed_types(const OptimizeOptions& options);

// InvalidArgument for a budget without a bound or with a bound that is no number.
Result<void> check_bounds(const Budget& budget);

// check_bounds(), and Exhausted, naming the bound and the nearest possible one, when even the
// smallest types of every matrix exceed the file or memory bound. What is named as possible is:
// the search finds types for it.
Result<void> check_budget(const engine::LoadedModel& model, const OptimizeOptions& options,
                          std::size_t threads);

}  // namespace paring::shrink
