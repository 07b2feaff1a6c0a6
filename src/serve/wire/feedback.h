// SPDX-License-Identifier: Apache-2.0
// POST, GET and DELETE /v1/feedback: what people and programs thought of an answer. Functions are
// stateless.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/scores.h"

namespace paring::serve::wire {

// Everything but tenant, key and times. An id that the request does not bring is made of subject,
// name, source and author: the same person's second opinion takes the place of the first.
ApiResult<store::ScoreRow> read_feedback(std::string_view body, const WireRules& rules);

// Answers carry the request's id behind a prefix of their protocol.
std::string without_prefix(std::string id);
// Equal for the same opinion of the same author.
std::string derived_score_id(const store::ScoreRow& score);

// What made an answer that was judged.
struct AnswerOrigin {
  std::string model;
  std::string variant;
  std::string prompt_version;  // as the client names it; may be empty
};
using AnswerOrigins = std::map<std::string, AnswerOrigin>;  // by the answer's id

struct FeedbackListCall {
  store::ScoreFilter filter;
  store::PageRequest page;
  bool with_origins = false;
};
ApiResult<FeedbackListCall> read_feedback_list(const NamedTexts& query, const WireRules& rules);

std::string feedback_answer(const store::ScoreRow& score);
// Scores of answers that are not among `origins` have none.
std::string feedback_list_answer(const store::Page<store::ScoreRow>& page,
                                 const AnswerOrigins& origins);
std::string feedback_deleted_answer(const std::string& id);

const Shape& feedback_request();
const Shape& feedback_list_query();
const Shape& feedback_answer_shape();
const Shape& feedback_list_answer_shape();
const Shape& feedback_deleted_answer_shape();

}  // namespace paring::serve::wire
