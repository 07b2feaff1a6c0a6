// SPDX-License-Identifier: Apache-2.0
// What Llama and Mixtral share: in GGUF they are one architecture, "llama", as llama.cpp has it;
// their folders differ in names.
#pragma once

#include "base/result.h"
#include "io/metadata.h"
#include "model/block_spec.h"
#include "model/hf_mapping.h"

namespace paring::model {

inline constexpr const char* kLlamaName = "llama";

// general.architecture "llama".
Result<BlockSpec> read_llama(const io::Metadata& metadata);

// Mistral 7B v0.1 has a window, later ones say null.
inline constexpr HfKeyRule kLlamaKeys[] = {
    {"sliding_window", "attention.sliding_window", HfValue::kCount},
};

}  // namespace paring::model
