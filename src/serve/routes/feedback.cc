// SPDX-License-Identifier: Apache-2.0
// /v1/feedback: scores of answers, kept in the database of the server, each tenant's apart.
#include "serve/routes/feedback.h"

#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/routes/json_answer.h"
#include "serve/server.h"
#include "serve/wire/feedback.h"

namespace paring::serve {

namespace {

// What the client's own mistake is stays so; the rest is the server's.
ApiError feedback_error(const Error& error, const char* param) {
  if (error.code == ErrorCode::kNotFound) {
    return {404, "feedback_not_found", "There is no feedback with this id.", param};
  }
  if (error.code == ErrorCode::kExhausted) {
    return {413, "storage_quota_exceeded", error.text(), ""};
  }
  return storage_failure("feedback", error);
}

// Of judged answers, as far as their rows are kept and the tenant's.
Result<wire::AnswerOrigins> origins_of(const store::TrafficDb& traffic, const std::string& tenant,
                                       const std::vector<store::ScoreRow>& scores) {
  wire::AnswerOrigins origins;
  std::set<std::string> known;
  for (const store::ScoreRow& score : scores) {
    if (score.subject_kind != "response" || !known.insert(score.subject_id).second) continue;
    PARING_TRY(const std::vector<store::TrafficRequest> rows, traffic.find(score.subject_id));
    for (const store::TrafficRequest& row : rows) {
      if (row.tenant != tenant) continue;
      origins.emplace(score.subject_id,
                      wire::AnswerOrigin{row.model, row.variant, row.prompt_version});
    }
  }
  return origins;
}

}  // namespace

ApiResult<store::ScoreRow> keep_score(Server& server, const store::ControlDb& control,
                                      const Call& call, store::ScoreRow score) {
  score.tenant = call.principal.tenant;
  score.key_id = call.principal.key_id;
  score.created_s = static_cast<std::int64_t>(system_clock().wall_seconds());
  score.updated_s = score.created_s;
  Result<store::ScoreRow> kept = store::Scores(control).put(score, kScoresMax);
  if (!kept) return feedback_error(kept.error(), "id");
  server.note_score(*kept);
  return *std::move(kept);
}

std::optional<ApiError> remove_score(const store::ControlDb& control, const Call& call,
                                     const std::string& id, const char* param) {
  const Result<void> done = store::Scores(control).remove(call.principal.tenant, id);
  if (!done) return feedback_error(done.error(), param);
  return std::nullopt;
}

void serve_feedback_create(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  ApiResult<store::ScoreRow> score = wire::read_feedback(call.exchange->body(), server.rules());
  if (!score) return server.refuse(call, score.error());
  const ApiResult<store::ScoreRow> kept = keep_score(server, *control, call, *std::move(score));
  if (!kept) return server.refuse(call, kept.error());
  server.respond(call, 200, "application/json", wire::feedback_answer(*kept));
}

void serve_feedback_list(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  auto read = wire::read_feedback_list(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto page = store::Scores(*control).list(call.principal.tenant, read->filter, read->page);
  if (!page) return server.refuse(call, feedback_error(page.error(), "after"));
  wire::AnswerOrigins origins;
  if (read->with_origins && server.traffic() != nullptr) {
    auto found = origins_of(*server.traffic(), call.principal.tenant, page->rows);
    if (!found) return server.refuse(call, storage_failure("traffic", found.error()));
    origins = *std::move(found);
  }
  server.respond(call, 200, "application/json", wire::feedback_list_answer(*page, origins));
}

void serve_feedback_delete(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  const std::string& id = call.path_values[0];
  if (const auto error = remove_score(*control, call, id, "feedback_id")) {
    return server.refuse(call, *error);
  }
  server.respond(call, 200, "application/json", wire::feedback_deleted_answer(id));
}

}  // namespace paring::serve
