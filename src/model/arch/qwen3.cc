// SPDX-License-Identifier: Apache-2.0
// Qwen3, dense (arXiv:2505.09388): Llama's block with a norm on each query and key head.
#include "model/arch/arch.h"
#include "model/arch/hyper_parameters.h"

namespace paring::model {

namespace {

Result<BlockSpec> read_qwen3(const io::Metadata& metadata) {
  const HyperParameters parameters(metadata, "qwen3");
  PARING_TRY(BlockSpec spec, read_decoder(parameters, RopePairing::kHalves));
  spec.has_head_norms = true;
  return spec;
}

}  // namespace

const Architecture kQwen3{"qwen3", read_qwen3};

}  // namespace paring::model
