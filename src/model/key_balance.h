// SPDX-License-Identifier: Apache-2.0
// Key balance: channels of keys made alike before they are rounded to int8. A group of 32 channels
// of a cached key shares one scale, so one large channel (Qwen2's key biases reach a hundred times
// the rest) takes the bits of the others. Scores are sums over channels of query times key: a key
// channel divided by s and its query channel multiplied by s leave them as they are, and with s a
// power of two not even a rounding changes. With channels of equal size the error of a score is the
// least that a shared scale allows. Moving scale between two factors is SmoothQuant's idea
// (arXiv:2211.10438, sec. 4); KIVI (arXiv:2402.02750, sec. 3) describes large key channels.
#pragma once

#include <cstddef>
#include <vector>

namespace paring::model {

class Model;

struct KeyBalance {
  std::vector<float> query;  // [kv_heads * head_width] factors s, powers of two
  std::vector<float> key;    // 1 / s
  // The `group` query heads that share a key head, one after the other. Nothing when empty.
  void apply_to_queries(float* queries, std::size_t kv_head, std::size_t group,
                        std::size_t head_width) const noexcept;
  // One key head.
  void apply_to_key(float* values, std::size_t kv_head, std::size_t head_width) const noexcept;
};

// Of one layer, from what the file says about sizes: key biases and the weights of a norm on key
// heads; the products with W_k count as equal (estimates from their rows made SmolLM2 worse). Empty
// for a layer that has neither. Channels that rotary embedding mixes have one factor.
KeyBalance key_balance(const Model& model, std::size_t layer);

}  // namespace paring::model
