// SPDX-License-Identifier: Apache-2.0
// A request for text as one protocol brought it: what is asked for, and how the answer is written.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "serve/answer.h"
#include "serve/generate_request.h"

namespace paring::serve::wire {

struct GenerateCall {
  GenerateRequest request;
  // Makes the writer of this call's answer. It needs nothing of `request` any more; call it once
  // for each answer, from any thread.
  std::function<std::unique_ptr<AnswerWriter>(const AnswerLabel&)> writer;
  // Nothing is to be written: the model is loaded, or unloaded where keep_alive is 0, and this is
  // the answer. Empty: there is something.
  std::function<std::string(const AnswerLabel&)> load_answer = nullptr;
  bool unloads() const {
    return load_answer != nullptr && request.keep_alive_seconds == std::optional<double>(0);
  }
};

}  // namespace paring::serve::wire
