// SPDX-License-Identifier: Apache-2.0
// Reads a Hugging Face folder as the GGUF file that llama.cpp's converter would make of it: names,
// order of dimensions, order of query and key rows, hyper-parameters. Tokenizer keys are the
// caller's (engine/open_model.h). By the tables of arch/ (hf_mapping.h). Stateless.
#pragma once

#include "base/result.h"
#include "io/hf_folder.h"
#include "io/model_file.h"

namespace paring::model {

// Takes the maps out of `folder`. Unsupported: an architecture, activation, rotary scaling, tensor
// or tensor type that is not known, named. Corrupt: a hyper-parameter or shape that cannot be.
Result<io::ModelParts> translate_hf(io::HfFolder& folder);

}  // namespace paring::model
