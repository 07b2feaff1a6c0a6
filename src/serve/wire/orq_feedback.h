// SPDX-License-Identifier: Apache-2.0
// POST /v2/feedback and /v2/feedback/remove as Orq's SDK sends them (orq-ai-sdk 4.17, operations
// post_v2_feedback and post_v2_feedback_remove): a property of a trace. Functions are stateless.
#pragma once

#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/scores.h"

namespace paring::serve::wire {

struct OrqFeedbackCall {
  store::ScoreRow score;  // everything but tenant, key and times
  std::string answer;     // what the SDK gets: the request with the feedback's id
};
// Several words are one text with commas between; `correction` is a corrected answer. Without an id
// a property of a trace is one feedback, the last one given.
ApiResult<OrqFeedbackCall> read_orq_feedback(std::string_view body, const WireRules& rules);

struct OrqRemoveCall {
  std::string id;
  std::string answer;
};
ApiResult<OrqRemoveCall> read_orq_remove(std::string_view body, const WireRules& rules);

const Shape& orq_feedback_request();
const Shape& orq_feedback_answer_shape();
const Shape& orq_remove_request();
const Shape& orq_remove_answer_shape();

}  // namespace paring::serve::wire
