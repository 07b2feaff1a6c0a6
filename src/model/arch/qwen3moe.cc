// SPDX-License-Identifier: Apache-2.0
// Qwen3 with experts (arXiv:2505.09388): Qwen3's block with a mixture of experts in every layer.
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"

namespace paring::model {

namespace {

constexpr const char* kName = "qwen3moe";

Result<BlockSpec> read_qwen3moe(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, kName);
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves, Experts::kAlways));
  spec.has_head_norms = true;
  return spec;
}

}  // namespace

const Architecture kQwen3Moe{kName, read_qwen3moe};

}  // namespace paring::model
