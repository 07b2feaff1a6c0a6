// SPDX-License-Identifier: Apache-2.0
// Reads an adapter that Hugging Face's PEFT saved as what llama.cpp's converter would make of it:
// names of GGUF, rows of queries and keys in GGUF's order. By the tables of arch/ (hf_mapping.h).
// Stateless. Source: PEFT's description of its checkpoint format, and its code for what fields of
// the configuration mean.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "io/model_file.h"
#include "io/peft_folder.h"
#include "model/block_spec.h"

namespace paring::model {

struct PeftAdapter {
  io::ModelParts parts;                 // tensors NAME.lora_a and NAME.lora_b
  std::map<std::string, float> scales;  // by NAME: alpha / rank of the configuration
};

// For a model of `spec`. Unsupported: a field (PeftConfig), a tensor or a tensor type that is not
// computed, named; an architecture whose folders are not known. Corrupt: tensors that the
// configuration contradicts, or that cannot be of such a model.
Result<PeftAdapter> translate_peft(io::PeftFolder&& folder, const BlockSpec& spec);

}  // namespace paring::model
