// SPDX-License-Identifier: Apache-2.0
#include "model/arch/gemma.h"

#include <cmath>

namespace paring::model {

Result<BlockSpec> read_gemma(const HyperParameters& parameters, std::size_t wide_layers) {
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_post_norms = true;
  spec.activation = GateActivation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.width));
  if (spec.layers == wide_layers) {
    spec.query_scale = 1.0F / std::sqrt(static_cast<float>(spec.width / spec.heads));
  }
  return spec;
}

}  // namespace paring::model
