// SPDX-License-Identifier: Apache-2.0
// What Qwen2, Qwen3 and Qwen3 with experts share.
#pragma once

#include "base/result.h"
#include "io/metadata.h"
#include "model/hf_mapping.h"

namespace paring::model {

// An HfMapping::finish: Unsupported when config.json's "use_sliding_window" is true. The published
// models have a window's size there but do not use it.
Result<void> refuse_window(const io::Metadata& config, io::Metadata& out);

inline constexpr HfTensorRule kQwenAttentionRules[] = {
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias"},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
};

// Of Qwen3.
inline constexpr HfTensorRule kQwenHeadNormRules[] = {
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"},
};

}  // namespace paring::model
