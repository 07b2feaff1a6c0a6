// SPDX-License-Identifier: Apache-2.0
#include "measure/memory.h"

#include <algorithm>

#include "engine/generator.h"
#include "model/forward.h"
#include "model/kv_cache.h"

namespace paring::measure {

MemoryUse run_memory(const model::BlockSpec& spec, std::uint64_t weight_bytes,
                     const RunShape& shape) {
  const std::size_t chunk = std::min(engine::kPrefillChunkTokens, shape.context_tokens);
  MemoryUse use;
  use.weight_bytes = weight_bytes;
  use.kv_bytes = model::KvPool::bytes_for(spec, shape.kv_type,
                                          {.tokens = shape.context_tokens, .step_tokens = chunk});
  use.buffer_bytes = model::Forward::bytes_for(spec, chunk, shape.threads) +
                     spec.vocabulary * sizeof(float);  // the generator's copy of one row
  return use;
}

TokenOperations token_operations(const model::BlockSpec& spec,
                                 const model::PositionRange& range) noexcept {
  const auto width = static_cast<double>(spec.width);
  const auto query = static_cast<double>(spec.query_width());
  const auto kv = static_cast<double>(spec.kv_width());
  const auto ffn = static_cast<double>(spec.ffn_width);
  const auto layers = static_cast<double>(spec.layers);
  TokenOperations operations;
  // q, attention output; k, v; gate, up, down.
  operations.matrices = 2 * layers * (2 * width * query + 2 * width * kv + 3 * width * ffn);
  operations.head = 2 * width * static_cast<double>(spec.vocabulary);
  // A score and a weighted value: one multiply-add each for every value of every query head.
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    operations.attention += 2 * 2 * query * range.mean_visible(spec.scope(layer).window);
  }
  return operations;
}

}  // namespace paring::measure
