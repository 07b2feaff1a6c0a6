// SPDX-License-Identifier: Apache-2.0
// Llama, and what shares its block: SmolLM, SmolLM2, Mistral 7B (without a sliding window).
// RMSNorm before each half, grouped-query attention with rotary positions, SwiGLU
// (arXiv:2302.13971).
#include <fmt/format.h>

#include <cmath>

#include "model/arch/arch.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

Result<void> check_unsupported(const io::Metadata& metadata) {
  // Present in files of this architecture name whose block we do not compute yet.
  for (const char* key : {"llama.expert_count", "llama.attention.sliding_window"}) {
    if (!metadata.has(key)) continue;
    PARING_TRY(const std::uint64_t value, metadata.get_u64(key));
    if (value != 0) return unsupported(fmt::format("{} = {} is not supported", key, value));
  }
  if (metadata.has("llama.rope.scaling.type")) {
    PARING_TRY(const std::string type, metadata.get_string("llama.rope.scaling.type"));
    if (type != "none") {
      return unsupported(fmt::format("llama.rope.scaling.type = '{}' is not supported", type));
    }
  }
  return {};
}

Result<BlockSpec> read_llama(const io::Metadata& metadata) {
  PARING_TRY_VOID(check_unsupported(metadata));
  BlockSpec spec;
  spec.architecture = "llama";
  PARING_TRY(spec.layers, read_size(metadata, "llama.block_count", kLayersMax));
  PARING_TRY(spec.width, read_size(metadata, "llama.embedding_length", kWidthMax));
  PARING_TRY(spec.ffn_width, read_size(metadata, "llama.feed_forward_length", kWidthMax));
  PARING_TRY(spec.heads, read_size(metadata, "llama.attention.head_count", kHeadsMax));
  spec.kv_heads = spec.heads;
  if (metadata.has("llama.attention.head_count_kv")) {
    PARING_TRY(spec.kv_heads, read_size(metadata, "llama.attention.head_count_kv", kHeadsMax));
  }
  if (spec.heads % spec.kv_heads != 0) {
    return corrupt(
        fmt::format("llama.attention.head_count {} is not a multiple of head_count_kv {}",
                    spec.heads, spec.kv_heads));
  }
  if (metadata.has("llama.attention.key_length")) {
    PARING_TRY(spec.head_width, read_size(metadata, "llama.attention.key_length", kWidthMax));
  } else {
    if (spec.width % spec.heads != 0) {
      return corrupt(fmt::format("llama.embedding_length {} is not a multiple of head_count {}",
                                 spec.width, spec.heads));
    }
    spec.head_width = spec.width / spec.heads;
  }
  if (spec.head_width % 32 != 0) {
    return unsupported(fmt::format("a head width of {} is not a multiple of 32", spec.head_width));
  }
  PARING_TRY(spec.context_max, read_size(metadata, "llama.context_length", kContextMax));
  PARING_TRY(const double epsilon, metadata.get_f64("llama.attention.layer_norm_rms_epsilon"));
  PARING_TRY(const double base, metadata.f64_or("llama.rope.freq_base", 10000.0));
  if (!(epsilon >= 0.0 && epsilon < 1.0) || !(base > 1.0) || !std::isfinite(base)) {
    return corrupt(fmt::format("layer_norm_rms_epsilon {} or rope.freq_base {} is out of range",
                               epsilon, base));
  }
  spec.norm_epsilon = static_cast<float>(epsilon);
  spec.rope_base = static_cast<float>(base);
  spec.rope_width = spec.head_width;
  if (metadata.has("llama.rope.dimension_count")) {
    PARING_TRY(spec.rope_width, read_size(metadata, "llama.rope.dimension_count", kWidthMax));
  }
  if (spec.rope_width > spec.head_width || spec.rope_width % 2 != 0) {
    return corrupt(
        fmt::format("llama.rope.dimension_count {} must be even and at most the head width {}",
                    spec.rope_width, spec.head_width));
  }
  return spec;
}

constexpr const char* kClasses[] = {"LlamaForCausalLM", "MistralForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfTensorRule kTensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", HfChange::kPairQuery},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", HfChange::kPairQuery},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", HfChange::kPairKey},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", HfChange::kPairKey},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

// Mistral 7B v0.1 has a window, later ones say null.
constexpr HfKeyRule kKeys[] = {
    {"sliding_window", "attention.sliding_window", HfValue::kCount},
};

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "llama",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors};

}  // namespace

const Architecture kLlama{"llama", read_llama, &kHf};

}  // namespace paring::model
