// SPDX-License-Identifier: Apache-2.0
// Answers of /v1/messages: named events or one object. Each writer belongs to one answer.
#pragma once

#include <memory>

#include "serve/answer.h"

namespace paring::serve::wire {

std::unique_ptr<AnswerWriter> anthropic_writer(const AnswerLabel& label);

}  // namespace paring::serve::wire
