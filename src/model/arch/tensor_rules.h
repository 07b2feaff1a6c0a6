// SPDX-License-Identifier: Apache-2.0
// Rules for tensors of Hugging Face folders that several architectures have in common, and how a
// list of rules is put together from such groups.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "model/hf_mapping.h"

namespace paring::model {

// The groups one after the other.
template <std::size_t... kCounts>
constexpr auto join_rules(const HfTensorRule (&... groups)[kCounts]) {
  std::array<HfTensorRule, (kCounts + ...)> all{};
  auto* next = all.data();
  ((next = std::copy_n(groups, kCounts, next)), ...);
  return all;
}

// Around the blocks, and the norm that a block begins with.
inline constexpr HfTensorRule kFrameRules[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
};

inline constexpr HfTensorRule kFfnNormRules[] = {
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
};

inline constexpr HfTensorRule kDenseFfnRules[] = {
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

}  // namespace paring::model
