// SPDX-License-Identifier: Apache-2.0
// Phi-3, Phi-3.5 and Phi-4 mini (arXiv:2404.14219): Llama's block with queries, keys and values in
// one matrix, gate and up in another, and LongRoPE in the long-context models.
#include <fmt/format.h>

#include "kernels/packed_matrix.h"
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"

namespace paring::model {

namespace {

Result<BlockSpec> read_phi3(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "phi3");
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_fused_qkv = true;
  spec.has_fused_gate = true;
  if (spec.ffn_width % kernels::kPanelRows != 0) {
    return unsupported(fmt::format("{} {} is not a multiple of {}",
                                   parameters.key("feed_forward_length"), spec.ffn_width,
                                   kernels::kPanelRows));
  }
  PARING_TRY(const std::size_t window, read_window(parameters, 0));
  if (window != 0) spec.scopes.assign(spec.layers, LayerScope{.window = window});
  return spec;
}

}  // namespace

const Architecture kPhi3{"phi3", read_phi3};

}  // namespace paring::model
