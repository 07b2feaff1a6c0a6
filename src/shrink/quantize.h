// SPDX-License-Identifier: Apache-2.0
// Writes a model with other tensor types: the explicit method behind `paring quantize`, and the last
// step of `optimize`.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "io/gguf.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// Target type per matrix slot of the model, in slot order.
using TypeMap = std::vector<DType>;

// Every matrix in `type`. InvalidArgument, naming the tensor, when a row is not whole blocks: a type
// is never silently replaced.
Result<TypeMap> uniform_types(const model::Model& model, DType type);

// A matrix's rows in `type`, encoded from the file's own values on `executor` (deterministic). A
// tensor already in that type is copied bit for bit. `importance` is empty or one weight a column.
Result<std::vector<std::byte>> encode_matrix(const io::GgufFile& file, const std::string& name,
                                             DType type, std::span<const float> importance,
                                             Executor& executor);

struct QuantizeOptions {
  TypeMap types;
  const Statistics* statistics = nullptr;  // null: no importance
  io::Metadata extra;                      // added to the file's metadata, e.g. the certificate
};

// Exact bytes of the file write_quantized() would write.
Result<std::uint64_t> quantized_file_bytes(const engine::LoadedModel& model,
                                           const QuantizeOptions& options);

// Atomic. Fails with Internal when fewer than 1 % of the codes of all re-encoded tensors differ from
// plain rounding although statistics were given: the method then did nothing.
Result<void> write_quantized(const engine::LoadedModel& model, const QuantizeOptions& options,
                             const std::string& path, Executor& executor, ProgressSink& progress);

}  // namespace paring::shrink
