// SPDX-License-Identifier: Apache-2.0
// What Gemma 2 and Gemma 3 share. Files hold norm weights with the model's "1 +" already added.
#pragma once

#include "model/arch/hyper_parameters.h"

namespace paring::model {

// Norms around each half, GELU, embeddings times sqrt(width), and the score scale: head_width^-1/2,
// but (width / heads)^-1/2 in the model of `wide_layers` layers, whose file does not say so.
Result<BlockSpec> read_gemma(const HyperParameters& parameters, std::size_t wide_layers);

// Of folders in Hugging Face layout: Unsupported when config.json's "query_pre_attn_scalar" is not
// the scale that read_gemma() takes; and the way back.
Result<void> check_score_scale(const io::Metadata& config, const io::Metadata& metadata,
                               const char* architecture, std::size_t wide_layers);
Result<void> export_score_scale(const io::Metadata& metadata, io::Metadata& config,
                                const char* architecture, std::size_t wide_layers);

}  // namespace paring::model
