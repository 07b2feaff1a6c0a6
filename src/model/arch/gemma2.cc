// SPDX-License-Identifier: Apache-2.0
// Gemma 2 (arXiv:2408.00118): every second layer sees a window of 4,096 tokens, scores and logits
// are capped.
#include <string>

#include "model/arch/arch.h"
#include "model/arch/gemma.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

constexpr std::size_t kWideLayers = 46;  // 27B: score scale (4608 / 32)^-1/2, heads of 128
constexpr double kCapMax = 1e6;

Result<BlockSpec> read_gemma2(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "gemma2");
  PARING_TRY(BlockSpec spec, read_gemma(parameters, kWideLayers));
  // Defaults of the published models, for files without the keys.
  PARING_TRY(spec.attention_soft_cap,
             parameters.real_or("attn_logit_softcapping", 0, kCapMax, 50.0F));
  PARING_TRY(spec.logit_soft_cap, parameters.real_or("final_logit_softcapping", 0, kCapMax, 30.0F));
  PARING_TRY(const std::size_t window, read_window(parameters, 4096));
  PARING_TRY_VOID(set_window_pattern(parameters, window, 2, 0, spec));
  return spec;
}

constexpr const char* kClasses[] = {"Gemma2ForCausalLM"};
constexpr const char* kActivations[] = {"gelu_pytorch_tanh"};
constexpr HfKeyRule kKeys[] = {
    {"sliding_window", "attention.sliding_window", HfValue::kCount},
    {"attn_logit_softcapping", "attn_logit_softcapping", HfValue::kReal},
    {"final_logit_softcapping", "final_logit_softcapping", HfValue::kReal},
};
constexpr HfTensorRule kTensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight", HfChange::kPlusOne},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight", HfChange::kPlusOne},
    {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
    {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
    {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
    {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
    {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.post_attention_norm.weight",
     HfChange::kPlusOne},
    {"model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight",
     HfChange::kPlusOne},
    {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
    {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
    {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
    {"model.layers.{}.post_feedforward_layernorm.weight", "blk.{}.post_ffw_norm.weight",
     HfChange::kPlusOne},
};

Result<void> finish(const io::Metadata& config, io::Metadata& out) {
  // Absent means the published models' caps, on both sides; null means none.
  for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    if (config.is_null(key)) {
      out.set(std::string("gemma2.") + key, io::GgufValue::of_f32(0));
    }
  }
  return check_score_scale(config, out, "gemma2", kWideLayers);
}

Result<void> finish_export(const io::Metadata& metadata, io::Metadata& config) {
  return export_score_scale(metadata, config, "gemma2", kWideLayers);
}

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "gemma2",
                        .activation_key = "hidden_activation",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors,
                        .is_tied_by_default = true,
                        .finish = finish,
                        .finish_export = finish_export};

}  // namespace

const Architecture kGemma2{"gemma2", read_gemma2, &kHf};

}  // namespace paring::model
