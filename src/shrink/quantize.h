// SPDX-License-Identifier: Apache-2.0
// Writes a model with other tensor types: the explicit method behind `paring quantize`, and the
// last step of `optimize`.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "io/atomic_file.h"
#include "io/model_file.h"
#include "shrink/encode.h"
#include "shrink/statistics.h"
#include "shrink/type_choice.h"

namespace paring::shrink {

struct QuantizeOptions {
  TypeMap types;
  const Statistics* statistics = nullptr;  // null: no importance
  Rounding rounding = Rounding::kNearest;
  // Encoded matrices by slot, instead of encoding here; a null pointer copies the original's.
  std::function<const kernels::PackedMatrix*(std::size_t slot)> prepared;
  io::Metadata extra;                 // added to the file's metadata, e.g. the certificate
  std::uint64_t split_bytes_max = 0;  // not 0: several files (io/gguf_split.h)
  // Applies when the file is committed: it may have appeared since the command began.
  io::Overwrite overwrite = io::Overwrite::kRefuse;
};

struct WrittenFiles {
  std::vector<std::string> paths;
  std::uint64_t bytes = 0;  // of all of them
};

// Exact bytes of the file write_quantized() would write when it is one file.
Result<std::uint64_t> quantized_file_bytes(const engine::LoadedModel& model,
                                           const QuantizeOptions& options);

// Exact bytes of the file that `paring quantize` writes for one type (type_choice.h) and no split,
// of a model of which only the header is known. Errors as choose_types().
Result<std::uint64_t> quantized_file_bytes(const io::ModelFile& file,
                                           std::span<const model::MatrixSlot> slots, DType type,
                                           std::optional<DType> fallback);

// Atomic. Before committing, fails with Internal when statistics were given and the encodings of a
// re-encoded matrix differ in less than kChangedShareMin from those without: the method did
// nothing.
Result<WrittenFiles> write_quantized(const engine::LoadedModel& model,
                                     const QuantizeOptions& options, const std::string& path,
                                     Executor& executor, ProgressSink& progress);

// Copies `source` with `extra` added to its metadata, atomically.
Result<void> write_with_metadata(const io::ModelFile& source, const io::Metadata& extra,
                                 const std::string& path, io::Overwrite overwrite);
// Exact bytes of that copy.
Result<std::uint64_t> bytes_with_metadata(const io::ModelFile& source, const io::Metadata& extra);

inline constexpr double kChangedShareMin = 0.01;

}  // namespace paring::shrink
