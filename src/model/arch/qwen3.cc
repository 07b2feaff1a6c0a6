// SPDX-License-Identifier: Apache-2.0
// Qwen3, dense (arXiv:2505.09388): Llama's block with a norm on each query and key head.
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"
#include "model/arch/qwen.h"
#include "model/arch/tensor_rules.h"
#include "model/hf_mapping.h"

namespace paring::model {

namespace {

Result<BlockSpec> read_qwen3(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "qwen3");
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_head_norms = true;
  return spec;
}

constexpr const char* kClasses[] = {"Qwen3ForCausalLM"};
constexpr const char* kActivations[] = {"silu"};
constexpr auto kTensors =
    join_rules(kFrameRules, kQwenAttentionRules, kQwenHeadNormRules, kFfnNormRules, kDenseFfnRules);

constexpr HfMapping kHf{.classes = kClasses,
                        .model_type = "qwen3",
                        .activation_key = "hidden_act",
                        .activations = kActivations,
                        .keys = {},
                        .tensors = kTensors,
                        .finish = refuse_window};

}  // namespace

const Architecture kQwen3{"qwen3", read_qwen3, &kHf};

}  // namespace paring::model
