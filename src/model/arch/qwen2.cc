// SPDX-License-Identifier: Apache-2.0
// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama's block with biases on queries, keys and values.
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/arch/qwen.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

Result<BlockSpec> read_qwen2(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "qwen2");
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_qkv_biases = true;
  return spec;
}

constexpr const char* kClasses[] = {"Qwen2ForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfTensorRule kTensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias"},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
};

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "qwen2",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = {},
                        .tensors = kTensors,
                        .finish = refuse_window};

}  // namespace

const Architecture kQwen2{"qwen2", read_qwen2, &kHf};

}  // namespace paring::model
