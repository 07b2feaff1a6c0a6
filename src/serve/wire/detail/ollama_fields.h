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

// "keep_alive": seconds, or a duration as a text.
Field keep_alive_field();
ApiResult<std::optional<double>> keep_alive_of(const Json& body);

}  // namespace paring::serve::wire
