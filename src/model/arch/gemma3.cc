// SPDX-License-Identifier: Apache-2.0
// Gemma 3, text (arXiv:2503.19786): five windowed layers to one that sees all, windowed layers with
// a rotary base of their own and without scaling, norms on query and key heads.
#include "model/arch/arch.h"
#include "model/arch/gemma.h"

namespace paring::model {

namespace {

constexpr std::size_t kWideLayers = 62;  // 27B: score scale (5376 / 32)^-1/2, heads of 128
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
  PARING_TRY_VOID(set_window_pattern(parameters, window, 6, 1, spec));
  return spec;
}

}  // namespace

const Architecture kGemma3{"gemma3", read_gemma3};

}  // namespace paring::model
