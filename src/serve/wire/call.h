// SPDX-License-Identifier: Apache-2.0
// A request for text as one protocol brought it: what is asked for, and how the answer is written.
#pragma once

#include <functional>
#include <memory>

#include "serve/answer.h"
#include "serve/generate_request.h"

namespace paring::serve::wire {

struct GenerateCall {
  GenerateRequest request;
  // Makes the writer of this call's answer. It needs nothing of `request` any more; call it once
  // for each answer, from any thread.
  std::function<std::unique_ptr<AnswerWriter>(const AnswerLabel&)> writer;
};

}  // namespace paring::serve::wire
