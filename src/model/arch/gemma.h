// SPDX-License-Identifier: Apache-2.0
// What Gemma 2 and Gemma 3 share. Files hold norm weights with the model's "1 +" already added.
#pragma once

#include "model/arch/hyper_parameters.h"

namespace paring::model {

// Norms around each half, GELU, embeddings times sqrt(width), and the score scale: head_width^-1/2,
// but (width / heads)^-1/2 in the model of `wide_layers` layers, whose file does not say so.
Result<BlockSpec> read_gemma(const HyperParameters& parameters, std::size_t wide_layers);

}  // namespace paring::model
