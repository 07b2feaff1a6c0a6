// SPDX-License-Identifier: Apache-2.0
// Qwen3 with experts (arXiv:2505.09388): Qwen3's block with a mixture of experts in every layer.
#include <fmt/format.h>

#include <variant>

#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/arch/qwen.h"
#include "model/arch/tensor_rules.h"
#include "model/experts.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

constexpr const char* kName = "qwen3moe";
constexpr const char* kNormKey = "expert_weights_norm";

Result<BlockSpec> read_qwen3moe(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, kName);
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves, Experts::kAlways));
  spec.has_head_norms = true;
  return spec;
}

// Layers without experts, which these keys ask for, are not computed.
Result<void> refuse_dense_layers(const io::Metadata& config) {
  PARING_TRY(const std::uint64_t step, config.u64_or("decoder_sparse_step", 1));
  if (step != 1) {
    return unsupported(fmt::format("{}: 'decoder_sparse_step' is {}, which is not supported",
                                   config.source(), step),
                       "every layer must have experts");
  }
  const io::GgufValue* dense = config.find("mlp_only_layers");
  const auto* list = dense == nullptr ? nullptr : std::get_if<io::GgufArray>(&dense->data);
  const bool is_empty =
      dense == nullptr ||
      (list != nullptr && std::visit([](const auto& items) { return items.empty(); }, list->items));
  if (is_empty) return {};
  return unsupported(config.source() + ": 'mlp_only_layers' is not empty, which is not supported",
                     "every layer must have experts");
}

Result<void> finish(const io::Metadata& config, io::Metadata& out) {
  PARING_TRY_VOID(refuse_window(config, out));
  PARING_TRY_VOID(refuse_dense_layers(config));
  // transformers 5 writes the name that Mixtral has.
  const char* key = config.has("num_experts") ? "num_experts" : "num_local_experts";
  PARING_TRY(const std::uint64_t experts, config.get_u64(key));
  if (experts == 0 || experts > kExpertsMax) {
    return corrupt(fmt::format("{}: '{}' is {}, it must be between 1 and {}", config.source(), key,
                               experts, kExpertsMax));
  }
  out.set(fmt::format("{}.expert_count", kName),
          io::GgufValue::of_u32(static_cast<std::uint32_t>(experts)));
  PARING_TRY(const bool is_normed, config.bool_or("norm_topk_prob", false));
  if (!is_normed) out.set(fmt::format("{}.{}", kName, kNormKey), io::GgufValue::of_bool(false));
  return {};
}

Result<void> finish_export(const io::Metadata& metadata, io::Metadata& config) {
  PARING_TRY(const std::uint64_t experts, metadata.get_u64(fmt::format("{}.expert_count", kName)));
  config.set("num_experts", io::GgufValue::of_u64(experts));
  PARING_TRY(const bool is_normed, metadata.bool_or(fmt::format("{}.{}", kName, kNormKey), true));
  config.set("norm_topk_prob", io::GgufValue::of_bool(is_normed));
  return {};
}

constexpr const char* kClasses[] = {"Qwen3MoeForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr HfKeyRule kKeys[] = {
    {"num_experts_per_tok", "expert_used_count", HfValue::kCount, true},
    {"moe_intermediate_size", "expert_feed_forward_length", HfValue::kCount, true},
};
constexpr HfTensorRule kExpertRules[] = {
    {"model.layers.{}.mlp.gate.weight", "blk.{}.ffn_gate_inp.weight", HfChange::kWiden},
    {"model.layers.{}.mlp.experts.{}.gate_proj.weight", "blk.{}.ffn_gate_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.up_proj.weight", "blk.{}.ffn_up_exps.weight"},
    {"model.layers.{}.mlp.experts.{}.down_proj.weight", "blk.{}.ffn_down_exps.weight"},
};
constexpr auto kTensors =
    join_rules(kFrameRules, kQwenAttentionRules, kQwenHeadNormRules, kFfnNormRules, kExpertRules);

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "qwen3_moe",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = kKeys,
                        .tensors = kTensors,
                        .finish = finish,
                        .finish_export = finish_export,
                        .has_experts = true};

}  // namespace

const Architecture kQwen3Moe{kName, read_qwen3moe, &kHf};

}  // namespace paring::model
