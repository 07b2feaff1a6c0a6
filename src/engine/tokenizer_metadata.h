// SPDX-License-Identifier: Apache-2.0
// A tokenizer as GGUF metadata: the inverse of read_tokenizer_spec() (loaded_model.h). Stateless.
#pragma once

#include "io/metadata.h"
#include "text/tokenizer.h"

namespace paring::engine {

// Sets tokenizer.ggml.* as llama.cpp's converter names and types them.
void put_tokenizer(const text::TokenizerSpec& spec, io::Metadata& metadata);

}  // namespace paring::engine
