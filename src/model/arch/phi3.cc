// SPDX-License-Identifier: Apache-2.0
// Phi-3, Phi-3.5 and Phi-4 mini (arXiv:2404.14219): Llama's block with queries, keys and values in
// one matrix, gate and up in another, and LongRoPE in the long-context models.
#include <fmt/format.h>

#include "kernels/packed_matrix.h"
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

Result<BlockSpec> read_phi3(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "phi3");
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_fused_qkv = true;
  spec.has_fused_gate = true;
  if (spec.ffn_width % kernels::kPanelRows != 0) {
    return unsupported(fmt::format("{} {} is not a multiple of {}",
                                   parameters.key("feed_forward_length"), spec.ffn_width,
                                   kernels::kPanelRows));
  }
  PARING_TRY(const std::size_t window, read_window(parameters, 0));
  if (window != 0) spec.scopes.assign(spec.layers, LayerScope{.window = window});
  return spec;
}

constexpr const char* kClasses[] = {"Phi3ForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfKeyRule kKeys[] = {
    {"sliding_window", "attention.sliding_window", HfValue::kCount},
    {"original_max_position_embeddings", "rope.scaling.original_context_length", HfValue::kCount},
};
constexpr HfTensorRule kTensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "phi3",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors};

}  // namespace

const Architecture kPhi3{"phi3", read_phi3, &kHf};

}  // namespace paring::model
