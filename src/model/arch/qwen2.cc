// SPDX-License-Identifier: Apache-2.0
// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama's block with biases on queries, keys and values.
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/arch/qwen.h"
#include "model/arch/tensor_rules.h"
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
constexpr auto kTensors =
    join_rules(kFrameRules, kQwenAttentionRules, kFfnNormRules, kDenseFfnRules);

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
