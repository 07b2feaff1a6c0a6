// SPDX-License-Identifier: Apache-2.0
// /v1/traces and /v1/logs: what others send by OpenTelemetry's OTLP over HTTP. Spans of models
// become rows of traffic, the event gen_ai.evaluation.result becomes feedback; both are on the disk
// when the answer says so. What says nothing about a model is counted and told as rejected.
#include <fmt/format.h>

#include <span>
#include <utility>

#include "base/metrics.h"
#include "base/redact.h"
#include "base/text.h"
#include "monitor/otlp_json.h"
#include "monitor/otlp_reader.h"
#include "net/gzip.h"
#include "serve/batch/storage_failure.h"
#include "serve/routes/feedback.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/feedback.h"
#include "serve/wire/otlp_answer.h"

namespace paring::serve {

namespace {

constexpr const char* kProtobuf = "application/x-protobuf";
constexpr const char* kJson = "application/json";
// What a compressed body may become: twice what one may be that comes plain.
constexpr std::size_t kInflatedBytesMax = std::size_t{16} << 20;

// The type without its parameters.
std::string media_type(const Call& call) {
  const std::string* const header = call.exchange->head().find("content-type");
  const std::string_view text = header == nullptr ? std::string_view() : *header;
  std::string type(text.substr(0, text.find(';')));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  return ascii_lower(type);
}

// The body as it was before the client compressed it; refused and false when that cannot be told.
bool unpack(Server& server, const Call& call) {
  const std::string* const coding = call.exchange->head().find("content-encoding");
  if (coding == nullptr || ascii_lower(*coding) != "gzip") return true;
  Result<std::string> plain = net::gunzip(call.exchange->body(), kInflatedBytesMax);
  if (!plain) {
    const bool is_large = plain.error().code == ErrorCode::kExhausted;
    server.refuse(call, {.status = is_large ? 413 : 400,
                         .code = is_large ? "body_too_large" : "invalid_value",
                         .message = plain.error().text(),
                         .param = "content-encoding"});
    return false;
  }
  call.exchange->body() = std::move(*plain);
  return true;
}

// The body in Protocol Buffers; answered and nothing when it is not OTLP.
std::optional<std::string> body_of(Server& server, const Call& call, monitor::OtlpRequest request) {
  const std::string type = media_type(call);
  if (type != kProtobuf && type != kJson) {
    server.refuse(call, {.status = 415,
                         .code = "unsupported_media_type",
                         .message = fmt::format("the content type is '{}'; OTLP comes as {} or {}",
                                                redact(type), kProtobuf, kJson),
                         .param = "content-type"});
    return std::nullopt;
  }
  if (!unpack(server, call)) return std::nullopt;
  if (type == kProtobuf) return std::move(call.exchange->body());
  Result<std::string> read = monitor::otlp_of_json(call.exchange->body(), request);
  if (read) return std::move(*read);
  server.refuse(call, {400, "invalid_value", read.error().text(), ""});
  return std::nullopt;
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

ApiError otlp_error(const Error& error) { return {400, "invalid_value", error.text(), ""}; }

void respond(Server& server, const Call& call, const wire::OtlpRejected& rejected,
             bool is_of_spans) {
  metrics().otlp_received_not_understood.add(static_cast<std::uint64_t>(rejected.count));
  if (media_type(call) == kJson) {
    return server.respond(call, 200, kJson, wire::otlp_json_answer(rejected, is_of_spans));
  }
  server.respond(call, 200, kProtobuf, wire::otlp_answer(rejected));
}

// By which no other span is the same. OTLP says that a span without ids is none.
bool has_id(const store::TrafficRequest& row) {
  return !row.id.empty() || (!row.trace_id.empty() && !row.span_id.empty());
}

// Whose it is says the key, and texts become what a database of texts takes.
void make_own(const Call& call, store::TrafficRequest& row) {
  row.key_id = call.principal.key_id;
  row.tenant = call.principal.tenant;
  if (row.id.empty()) row.id = row.trace_id + "-" + row.span_id;
  row.id = redact(row.id);
  row.user = redact(row.user);
  for (std::string* text : {&row.id, &row.user, &row.session, &row.model, &row.variant, &row.route,
                            &row.end, &row.error_code, &row.money.currency}) {
    *text = wire::valid_utf8(*text);
  }
}

store::ScoreRow score_of(monitor::OtlpEvaluation evaluation) {
  store::ScoreRow score;
  const bool is_of_response = !evaluation.response_id.empty();
  score.subject_kind = is_of_response ? "response" : "span";
  score.subject_id = is_of_response ? wire::without_prefix(wire::valid_utf8(evaluation.response_id))
                                    : evaluation.span_id;
  score.name = wire::valid_utf8(evaluation.name);
  if (evaluation.value) {
    score.type = "numeric";
    score.number = evaluation.value;
    score.comment = wire::valid_utf8(evaluation.explanation);
    if (!evaluation.label.empty()) {
      score.comment =
          wire::valid_utf8(evaluation.label) + (score.comment.empty() ? "" : ": " + score.comment);
    }
  } else {
    score.type = "categorical";
    score.text = wire::valid_utf8(evaluation.label);
    score.comment = wire::valid_utf8(evaluation.explanation);
  }
  score.source = "judge";
  score.author = wire::valid_utf8(evaluation.evaluator);
  // Sent again, it is the same score.
  score.id = wire::derived_score_id(score);
  return score;
}

}  // namespace

void serve_otlp_traces(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = server.traffic();
  if (traffic == nullptr) {
    return server.refuse(call, {.status = 501,
                                .code = "not_supported",
                                .message = "this server keeps no traffic, since it has no data "
                                           "folder or was started with --traffic off",
                                .param = ""});
  }
  const auto body = body_of(server, call, monitor::OtlpRequest::kTraces);
  if (!body) return;
  auto read = monitor::read_otlp_traces(bytes_of(*body));
  if (!read) return server.refuse(call, otlp_error(read.error()));
  const std::size_t without_id =
      std::erase_if(read->rows, [](const store::TrafficRequest& row) { return !has_id(row); });
  for (store::TrafficRequest& row : read->rows) {
    make_own(call, row);
    // What its sender was charged, it knows better.
    if (row.money.currency.empty()) server.charge_tokens(row);
  }
  const store::TrafficAppended done = traffic->append(read->rows, {});
  wire::OtlpRejected rejected{read->not_understood + static_cast<std::int64_t>(without_id),
                              "spans without a model or an operation of gen_ai, or without ids"};
  for (const store::TrafficAppended::Failure& failure : done.failures) {
    // A time that no file is for stays wrong; everything else may go better later.
    if (failure.error.code != ErrorCode::kInvalidArgument) {
      return server.refuse(call, storage_failure("traffic", failure.error));
    }
    rejected.count += static_cast<std::int64_t>(failure.rows.size());
    rejected.reason = failure.error.text();
  }
  metrics().otlp_received_spans.add(static_cast<std::uint64_t>(done.written));
  respond(server, call, rejected, /*is_of_spans=*/true);
}

void serve_otlp_logs(Server& server, const Call& call) {
  const store::ControlDb* const control = server.control(call);
  if (control == nullptr) return;
  const auto body = body_of(server, call, monitor::OtlpRequest::kLogs);
  if (!body) return;
  auto read = monitor::read_otlp_evaluations(bytes_of(*body));
  if (!read) return server.refuse(call, otlp_error(read.error()));
  for (monitor::OtlpEvaluation& evaluation : read->all) {
    const auto kept = keep_score(server, *control, call, score_of(std::move(evaluation)));
    if (!kept) return server.refuse(call, kept.error());
  }
  respond(server, call,
          {read->not_understood,
           "records other than gen_ai.evaluation.result with a name, a score "
           "and a response or span"},
          /*is_of_spans=*/false);
}

}  // namespace paring::serve
