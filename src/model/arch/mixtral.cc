// SPDX-License-Identifier: Apache-2.0
// Folders of Mixtral (arXiv:2401.04088): Mistral's block with a mixture of experts in every layer.
// In GGUF it is "llama" with expert_count.
#include "model/arch/arch.h"
#include "model/arch/llama.h"
#include "model/arch/tensor_rules.h"

namespace paring::model {

namespace {

constexpr const char* kClasses[] = {"MixtralForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfKeyRule kKeys[] = {
    kLlamaKeys[0],
    {"num_local_experts", "expert_count", HfValue::kCount, true},
    {"num_experts_per_tok", "expert_used_count", HfValue::kCount, true},
};
constexpr HfTensorRule kAttentionRules[] = {
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", HfChange::kPairQuery},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", HfChange::kPairKey},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
};
constexpr HfTensorRule kExpertRules[] = {
    {"model.layers.{}.block_sparse_moe.gate.weight", "blk.{}.ffn_gate_inp.weight",
     HfChange::kWiden},
    {"model.layers.{}.block_sparse_moe.experts.{}.w1.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.block_sparse_moe.experts.{}.w3.weight", "blk.{}.ffn_up_exps.weight"},
    {"model.layers.{}.block_sparse_moe.experts.{}.w2.weight", "blk.{}.ffn_down_exps.weight"},
};
constexpr auto kTensors = join_rules(kFrameRules, kAttentionRules, kFfnNormRules, kExpertRules);

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "mixtral",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors,
                        .has_experts = true};

}  // namespace

const Architecture kMixtral{kLlamaName, read_llama, &kHf};

}  // namespace paring::model
