// SPDX-License-Identifier: Apache-2.0
#include "measure/memory.h"

#include <algorithm>

#include "engine/generator.h"
#include "engine/text_encoder.h"
#include "model/forward.h"
#include "model/kv_cache.h"
#include "model/matrix_loader.h"

namespace paring::measure {

namespace {

// Measured on models of 49,152 to 262,144 tokens, with and without merges: the program's own pages,
// and per entry the text in the file's metadata, in the tokenizer and in its index.
constexpr std::uint64_t kProgramBytes = 15'000'000;
constexpr std::uint64_t kTokenBytes = 65;
constexpr std::uint64_t kMergeBytes = 160;

// Entries of a list in the metadata; 0 where there is none.
std::uint64_t entries(const io::ModelFile& file, const char* key) {
  const auto texts = file.metadata().strings(key);
  return texts ? texts->size() : 0;
}

}  // namespace

std::uint64_t process_peak_bytes(const io::ModelFile& file, const MemoryUse& use,
                                 std::size_t threads) {
  const std::uint64_t loading = use.weight_bytes + threads * model::kPieceBytes;
  return std::max(loading, use.total()) + kProgramBytes +
         kTokenBytes * entries(file, "tokenizer.ggml.tokens") +
         kMergeBytes * entries(file, "tokenizer.ggml.merges");
}

MemoryUse run_memory(const model::BlockSpec& spec, std::uint64_t weight_bytes,
                     const RunShape& shape) {
  if (spec.encoder) {
    return {
        .weight_bytes = weight_bytes,
        .kv_bytes = 0,
        .buffer_bytes = engine::TextEncoder::bytes_for(spec, shape.context_tokens, shape.threads)};
  }
  const std::size_t chunk = std::min(engine::kPrefillChunkTokens, shape.context_tokens);
  MemoryUse use;
  use.weight_bytes = weight_bytes;
  use.kv_bytes = model::KvPool::bytes_for(spec, shape.kv_type,
                                          {.tokens = shape.context_tokens, .step_tokens = chunk});
  use.buffer_bytes = model::Forward::bytes_for(spec, {chunk, shape.context_tokens}, shape.threads) +
                     spec.vocabulary * sizeof(float);  // the generator's copy of one row
  return use;
}

}  // namespace paring::measure
