// SPDX-License-Identifier: Apache-2.0
// From what a client asked to what the engine computes: token ids, bounds checked against the
// model, defaults filled in. On an HTTP worker; stateless, thread-safe.
#pragma once

#include <cstddef>

#include "serve/answering.h"
#include "serve/api_error.h"
#include "serve/generate_request.h"
#include "serve/mask_pool.h"
#include "serve/model_use.h"

namespace paring::serve {

// Bounds on what one request may set off.
struct RequestLimits {
  std::size_t prompts_max = 64;   // of one request
  std::size_t choices_max = 128;  // prompts times samples
  std::size_t stop_strings_max = 16;
  std::size_t stop_bytes_max = 512;  // of one
  std::size_t logprobs_max = 20;     // likeliest tokens told with each
  double timeout_seconds_max = 3600;
};

// What max_tokens is when a request does not say: as many as the context has room for.
// Limits on the output are compiled here, which may take most of a second. `masks` must outlive the
// answer. 400 naming the field for what is out of bounds, code "context_length_exceeded" for a
// prompt that leaves no room, unless the request allows to shorten it.
ApiResult<AnswerPlan> prepare(const GenerateRequest& request, const ModelUse& use,
                              const RequestLimits& limits, MaskPool& masks);

}  // namespace paring::serve
