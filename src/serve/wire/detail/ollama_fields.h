// SPDX-License-Identifier: Apache-2.0
// Fields that Ollama's endpoints have in common. Stateless.
#pragma once

#include <vector>

#include "serve/generate_request.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/shape.h"

namespace paring::serve::wire {

Shape ollama_options();
void read_ollama_options(const Json& body, GenerateRequest& request);

}  // namespace paring::serve::wire
