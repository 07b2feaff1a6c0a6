// SPDX-License-Identifier: Apache-2.0
// Gemma 2 (arXiv:2408.00118): every second layer sees a window of 4,096 tokens, scores and logits
// are capped.
#include "model/arch/arch.h"
#include "model/arch/gemma.h"

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

}  // namespace

const Architecture kGemma2{"gemma2", read_gemma2};

}  // namespace paring::model
