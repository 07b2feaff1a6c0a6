// SPDX-License-Identifier: Apache-2.0
// Scores as Langfuse's SDKs send them: POST /api/public/scores with one score or a list of them
// (langfuse 5), and events "score-create" of POST /api/public/ingestion (langfuse 2 to 4). A score
// of an observation is one of a span. Functions are stateless.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/scores.h"

namespace paring::serve::wire {

struct LangfuseScore {
  std::string event_id;                // of ingestion
  store::ScoreRow score;               // everything but tenant, key and times
  std::optional<ApiError> error = {};  // set: it is none, the rest does not hold
};
struct LangfuseScoresCall {
  std::vector<LangfuseScore> scores;
  bool is_list = false;
};
// An error of a score in a list is that score's; what is no list and no score is the body's.
ApiResult<LangfuseScoresCall> read_langfuse_scores(std::string_view body, const WireRules& rules);
ApiResult<LangfuseScoresCall> read_langfuse_ingestion(std::string_view body,
                                                      const WireRules& rules);

// With the errors that keeping the scores gave.
std::string langfuse_scores_answer(const LangfuseScoresCall& call);
int langfuse_scores_status(const LangfuseScoresCall& call) noexcept;
std::string langfuse_ingestion_answer(const LangfuseScoresCall& call);
std::string langfuse_deleted_answer();

const Shape& langfuse_score_request();
const Shape& langfuse_scores_answer_shape();
const Shape& langfuse_ingestion_request();
const Shape& langfuse_ingestion_answer_shape();
const Shape& langfuse_deleted_answer_shape();

}  // namespace paring::serve::wire
