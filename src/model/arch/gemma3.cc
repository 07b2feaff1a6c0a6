// SPDX-License-Identifier: Apache-2.0
// Gemma 3, text (arXiv:2503.19786): five windowed layers to one that sees all, windowed layers with
// a rotary base of their own and without scaling, norms on query and key heads.
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "io/printable.h"
#include "model/arch/arch.h"
#include "model/arch/gemma.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

constexpr std::size_t kWideLayers = 62;  // 27B: score scale (5376 / 32)^-1/2, heads of 128
constexpr std::size_t kPeriod = 6;       // one layer of so many sees all
constexpr double kCapMax = 1e6;

Result<BlockSpec> read_gemma3(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "gemma3");
  PARING_TRY(BlockSpec spec, read_gemma(parameters, kWideLayers));
  spec.has_head_norms = true;
  PARING_TRY(spec.logit_soft_cap, parameters.real_or("final_logit_softcapping", 0, kCapMax, 0.0F));
  PARING_TRY(const std::size_t window, read_window(parameters, 0));
  if (window != 0) {
    RopeSpec local;
    local.width = spec.ropes[0].width;
    local.pairing = spec.ropes[0].pairing;
    PARING_TRY(local.base, parameters.real_or("rope.freq_base_swa", 1.001, 1e12, 10000.0F));
    spec.ropes.push_back(std::move(local));
  }
  PARING_TRY_VOID(set_window_pattern(parameters, window, kPeriod, 1, spec));
  return spec;
}

constexpr const char* kClasses[] = {"Gemma3ForCausalLM"};
constexpr const char* kActivations[] = {"gelu_pytorch_tanh"};
constexpr HfKeyRule kKeys[] = {
    {"sliding_window", "attention.sliding_window", HfValue::kCount},
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
    {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight", HfChange::kPlusOne},
    {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight", HfChange::kPlusOne},
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

// Which layers see a window, where it is not the usual five of six.
Result<void> put_pattern(const io::Metadata& config, io::Metadata& out) {
  constexpr const char* kPatternKey = "gemma3.attention.sliding_window_pattern";
  if (config.has("layer_types")) {
    PARING_TRY(const auto types, config.strings("layer_types"));
    std::vector<std::uint64_t> flags;
    bool is_usual = true;
    for (std::size_t layer = 0; layer < types.size(); ++layer) {
      if (types[layer] != "sliding_attention" && types[layer] != "full_attention") {
        return unsupported(fmt::format("{}: 'layer_types' holds '{}'", config.source(),
                                       io::printable(types[layer])),
                           "known: sliding_attention, full_attention");
      }
      flags.push_back(types[layer] == "sliding_attention" ? 1 : 0);
      is_usual = is_usual && flags.back() == (layer % kPeriod < kPeriod - 1 ? 1U : 0U);
    }
    if (!is_usual) {
      out.set(kPatternKey, {io::GgufValueType::kArray,
                            io::GgufArray{io::GgufValueType::kBool, std::move(flags)}});
    }
    return {};
  }
  for (const char* key : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    if (!config.has(key)) continue;
    PARING_TRY(const std::uint64_t period, config.get_u64(key));
    if (period == 0 || period > kLayersMax) {
      return corrupt(fmt::format("{}: '{}' is {}, it must be between 1 and {}", config.source(),
                                 key, period, kLayersMax));
    }
    if (period != kPeriod) {
      out.set(kPatternKey, io::GgufValue::of_u32(static_cast<std::uint32_t>(period)));
    }
  }
  return {};
}

Result<void> finish(const io::Metadata& config, io::Metadata& out) {
  PARING_TRY(const bool sees_ahead, config.bool_or("use_bidirectional_attention", false));
  if (sees_ahead || config.has("attn_logit_softcapping")) {
    return unsupported(
        fmt::format("{}: 'use_bidirectional_attention' and "
                    "'attn_logit_softcapping' are not supported",
                    config.source()));
  }
  PARING_TRY_VOID(put_pattern(config, out));
  return check_score_scale(config, out, "gemma3", kWideLayers);
}

// The way back: one word a layer, and the period for versions of transformers that know no other.
Result<void> export_pattern(const io::Metadata& metadata, io::Metadata& config) {
  PARING_TRY(const BlockSpec spec, read_gemma3(metadata));
  if (spec.scopes.empty()) return {};
  std::vector<std::string> types;
  bool is_usual = true;
  for (std::size_t layer = 0; layer < spec.scopes.size(); ++layer) {
    const bool is_local = spec.scopes[layer].window != 0;
    is_usual = is_usual && is_local == (layer % kPeriod < kPeriod - 1);
    types.emplace_back(is_local ? "sliding_attention" : "full_attention");
  }
  config.set("layer_types", io::GgufValue::of_strings(std::move(types)));
  if (is_usual) config.set("sliding_window_pattern", io::GgufValue::of_u64(kPeriod));
  return {};
}

Result<void> finish_export(const io::Metadata& metadata, io::Metadata& config) {
  if (!config.has("rope_local_base_freq")) {
    config.set("rope_local_base_freq", io::GgufValue::of_f64(10000));
  }
  PARING_TRY_VOID(export_pattern(metadata, config));
  return export_score_scale(metadata, config, "gemma3", kWideLayers);
}

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "gemma3_text",
                        .activation_key = "hidden_activation",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors,
                        .is_tied_by_default = true,
                        .finish = finish,
                        .finish_export = finish_export};

}  // namespace

const Architecture kGemma3{"gemma3", read_gemma3, &kHf};

}  // namespace paring::model
