// SPDX-License-Identifier: Apache-2.0
// Writes a model as a folder in Hugging Face layout: the tables of arch/ (hf_mapping.h) backwards.
// Query and key rows get Hugging Face's order back, quantized matrices are decoded. Tokenizer files
// are the caller's. Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/progress.h"
#include "base/result.h"
#include "io/atomic_file.h"
#include "io/model_file.h"

namespace paring::model {

inline constexpr std::uint64_t kHfShardBytesMax = std::uint64_t{5'000'000'000};

struct HfExportOptions {
  // Type of all tensors: F32, F16 or BF16. Empty: nothing is lost, i.e. F16 and BF16 stay what they
  // are and everything else becomes F32.
  std::optional<DType> type;
  std::uint64_t shard_bytes_max = kHfShardBytesMax;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
};

// The config.json of a model, as text. Unsupported: an architecture or rotary scaling that
// config.json has no way to say.
Result<std::string> hf_config_json(const io::ModelFile& file, const HfExportOptions& options);

// Writes config.json, then model.safetensors, or shards with model.safetensors.index.json when all
// tensors have more than shard_bytes_max bytes. `folder` must exist. Unsupported: as above; a
// tensor that has no name there. InvalidArgument: a tensor is larger than a shard may be; a type
// other than F32, F16, BF16; a value beyond the range of F16.
Result<void> export_hf(const io::ModelFile& file, const std::string& folder,
                       const HfExportOptions& options, ProgressSink& progress);

}  // namespace paring::model
