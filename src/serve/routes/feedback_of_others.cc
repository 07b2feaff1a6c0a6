// SPDX-License-Identifier: Apache-2.0
// Feedback in the shapes of Orq and Langfuse; kept and listed as that of /v1/feedback is.
#include "serve/routes/feedback.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/langfuse_scores.h"
#include "serve/wire/orq_feedback.h"

namespace paring::serve {

namespace {

// Errors of the database itself end the call; an error of one score is that score's.
void keep_all(Server& server, const store::ControlDb& control, const Call& call,
              wire::LangfuseScoresCall& scores) {
  for (wire::LangfuseScore& one : scores.scores) {
    if (one.error) continue;
    const ApiResult<store::ScoreRow> kept = keep_score(server, control, call, one.score);
    if (!kept) one.error = kept.error();
  }
}

}  // namespace

void serve_orq_feedback(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  ApiResult<wire::OrqFeedbackCall> read =
      wire::read_orq_feedback(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  const ApiResult<store::ScoreRow> kept = keep_score(server, *control, call, read->score);
  if (!kept) return server.refuse(call, kept.error());
  server.respond(call, 200, "application/json", std::move(read->answer));
}

void serve_orq_remove(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  ApiResult<wire::OrqRemoveCall> read =
      wire::read_orq_remove(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  if (const auto error = remove_score(*control, call, read->id, "id")) {
    return server.refuse(call, *error);
  }
  server.respond(call, 200, "application/json", std::move(read->answer));
}

void serve_langfuse_scores(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  ApiResult<wire::LangfuseScoresCall> read =
      wire::read_langfuse_scores(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  keep_all(server, *control, call, *read);
  if (!read->is_list && read->scores.front().error) {
    return server.refuse(call, *read->scores.front().error);
  }
  server.respond(call, wire::langfuse_scores_status(*read), "application/json",
                 wire::langfuse_scores_answer(*read));
}

void serve_langfuse_ingestion(Server& server, const Call& call) {
  constexpr int kMultiStatus = 207;
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  ApiResult<wire::LangfuseScoresCall> read =
      wire::read_langfuse_ingestion(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  keep_all(server, *control, call, *read);
  server.respond(call, kMultiStatus, "application/json", wire::langfuse_ingestion_answer(*read));
}

void serve_langfuse_delete(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  if (const auto error = remove_score(*control, call, call.path_values[0], "score_id")) {
    return server.refuse(call, *error);
  }
  server.respond(call, 202, "application/json", wire::langfuse_deleted_answer());
}

}  // namespace paring::serve
