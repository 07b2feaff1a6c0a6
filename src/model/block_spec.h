// SPDX-License-Identifier: Apache-2.0
// BlockSpec: a decoder architecture as data. arch/*.cc translate a file's metadata into it; the
// forward pass is written once over it and knows no architecture names. Plain data,
// thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace paring::model {

// How rotary position embedding pairs the values of a head (arXiv:2104.09864, sec. 3.4).
enum class RopePairing : std::uint8_t {
  kAdjacent,  // (0,1), (2,3), ...: GGUF's llama layout
  kHalves,    // (0, D/2), (1, D/2+1), ...: Hugging Face's layout, GGUF's Qwen and Gemma
};

struct BlockSpec {
  std::string architecture;  // as the file names it
  std::size_t layers = 0;
  std::size_t width = 0;       // D, residual stream
  std::size_t ffn_width = 0;   // F
  std::size_t heads = 0;       // query heads
  std::size_t kv_heads = 0;    // key/value heads; heads % kv_heads == 0
  std::size_t head_width = 0;  // multiple of 32
  std::size_t vocabulary = 0;
  std::size_t context_max = 0;  // positions the model was trained for
  float norm_epsilon = 1e-5F;
  float rope_base = 10000.0F;
  std::size_t rope_width = 0;  // leading values of a head that are rotated, even
  RopePairing rope_pairing = RopePairing::kAdjacent;
  bool tied_head = false;  // the output matrix is the embedding

  std::size_t query_width() const { return heads * head_width; }
  std::size_t kv_width() const { return kv_heads * head_width; }
  std::size_t group() const { return heads / kv_heads; }  // query heads that share a KV head
};

}  // namespace paring::model
