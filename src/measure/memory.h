// SPDX-License-Identifier: Apache-2.0
// Memory that one sequence of a model takes while it runs: weights, cache, step buffers. Pure
// functions of sizes; the peak of the process is process_memory() (base/process.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/model_file.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::measure {

struct MemoryUse {
  std::uint64_t weight_bytes = 0;  // matrices in panels, and norms
  // Cache of `context_tokens` positions in whole pages; of layers with windows no more than those.
  std::uint64_t kv_bytes = 0;
  std::uint64_t buffer_bytes = 0;  // activations of a step, logits
  std::uint64_t total() const noexcept { return weight_bytes + kv_bytes + buffer_bytes; }
};

struct RunShape {
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 2048;
  std::size_t threads = 1;
};

// Resident memory of the process at its peak, while it loads or runs: the larger of `use` and of
// the packed weights beside the pieces of the file that `threads` workers pack; and about what
// program, vocabulary and merges take. An estimate, within kPeakTolerance of what the system
// reports (tests/test_predictions.py).
std::uint64_t process_peak_bytes(const io::ModelFile& file, const MemoryUse& use,
                                 std::size_t threads);
inline constexpr double kPeakTolerance = 0.15;

// What engine::Generator takes for this shape beside `weight_bytes`; of an encoder what
// engine::TextEncoder takes for texts of `context_tokens`.
MemoryUse run_memory(const model::BlockSpec& spec, std::uint64_t weight_bytes,
                     const RunShape& shape);

}  // namespace paring::measure
