// SPDX-License-Identifier: Apache-2.0
// Llama, and what shares its block: SmolLM, SmolLM2, Llama 3 (rotary divisors in a tensor), Mistral
// (with a sliding window on all layers where the file has one), Mixtral (with experts). RMSNorm
// before each half, grouped-query attention with rotary positions, SwiGLU (arXiv:2302.13971,
// arXiv:2310.06825).
#include "model/arch/llama.h"
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/arch/tensor_rules.h"
#include "model/hf_mapping.h"

namespace paring::model {

Result<BlockSpec> read_llama(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, kLlamaName);
  PARING_TRY(BlockSpec spec,
             read_decoder(parameters, RopePairing::kAdjacent, Experts::kWhereCounted));
  PARING_TRY(const std::size_t window, read_window(parameters, 0));
  if (window != 0) spec.scopes.assign(spec.layers, LayerScope{.window = window});
  return spec;
}

namespace {

constexpr const char* kClasses[] = {"LlamaForCausalLM", "MistralForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfTensorRule kAttentionRules[] = {
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight", HfChange::kPairQuery},
    {"model.layers.{}.self_attn.q_proj.bias", "blk.{}.attn_q.bias", HfChange::kPairQuery},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight", HfChange::kPairKey},
    {"model.layers.{}.self_attn.k_proj.bias", "blk.{}.attn_k.bias", HfChange::kPairKey},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.v_proj.bias", "blk.{}.attn_v.bias"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.self_attn.o_proj.bias", "blk.{}.attn_output.bias"},
};
constexpr auto kTensors = join_rules(kFrameRules, kAttentionRules, kFfnNormRules, kDenseFfnRules);

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "llama",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = kLlamaKeys,
                        .tensors = kTensors};

}  // namespace

const Architecture kLlama{kLlamaName, read_llama, &kHf};

}  // namespace paring::model
