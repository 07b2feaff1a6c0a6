// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/langfuse_scores.h"

#include <algorithm>
#include <utility>

#include "serve/trace_context.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kIdCharactersMax = 64;
constexpr std::size_t kSubjectCharactersMax = 256;
constexpr std::size_t kNameCharactersMaxOfScore = 64;
constexpr std::size_t kValueCharactersMax = 65536;
constexpr std::size_t kCategoryCharactersMax = 128;
constexpr std::size_t kCommentCharactersMax = 10000;
constexpr std::size_t kTimeCharactersMax = 64;
constexpr std::size_t kMetadataBytesMax = 16384;
constexpr std::size_t kListMax = 1000;
constexpr std::size_t kNewIdDigits = 24;
constexpr double kNumberMax = 1e12;
constexpr int kCreated = 201;
constexpr int kAccepted = 202;
constexpr int kPartly = 207;

struct DataType {
  const char* name;
  const char* type;  // of store::kScoreTypes
};
constexpr DataType kDataTypes[] = {{"NUMERIC", "numeric"},
                                   {"BOOLEAN", "boolean"},
                                   {"CATEGORICAL", "categorical"},
                                   {"TEXT", "text"},
                                   {"CORRECTION", "correction"}};

ApiError wrong(const char* field, std::string why) {
  return {400, "invalid_value", std::move(why), field};
}

std::optional<ApiError> read_value(const Json& json, store::ScoreRow& score) {
  const Json& value = json["value"];
  const std::string wanted = text_of(json, "dataType");
  const auto found = std::ranges::find(kDataTypes, wanted, &DataType::name);
  score.type = found != std::end(kDataTypes) ? found->type
               : value.is_string()           ? "categorical"
                                             : "numeric";
  if (score.type == "numeric" || score.type == "boolean") {
    if (!value.is_number()) return wrong("value", "a score of this dataType takes a number");
    score.number = value.get<double>();
    if (score.type == "boolean" && *score.number != 0 && *score.number != 1) {
      return wrong("value", "a BOOLEAN score takes 0 or 1");
    }
    return std::nullopt;
  }
  if (!value.is_string()) return wrong("value", "a score of this dataType takes a text");
  score.text = value.get<std::string>();
  if (score.type == "categorical" && score.text->size() > kCategoryCharactersMax) {
    return wrong("value", "a CATEGORICAL score takes at most 128 bytes");
  }
  return std::nullopt;
}

std::optional<ApiError> read_subject(const Json& json, store::ScoreRow& score) {
  const std::string trace = text_of(json, "traceId");
  const std::string observation = text_of(json, "observationId");
  const std::string session = text_of(json, "sessionId");
  if (!session.empty() && !(trace.empty() && observation.empty())) {
    return wrong("sessionId", "a score is about a trace, an observation or a session, not two");
  }
  if (trace.empty() && observation.empty() && session.empty()) {
    return ApiError{400, "missing_required_parameter",
                    "what the score is about is missing: give traceId, observationId or sessionId",
                    "traceId"};
  }
  score.subject_kind = !observation.empty() ? "span" : !trace.empty() ? "trace" : "session";
  score.subject_id = !observation.empty() ? observation : !trace.empty() ? trace : session;
  return std::nullopt;
}

LangfuseScore read_score(const Json& json, const WireRules& rules) {
  LangfuseScore read;
  store::ScoreRow& score = read.score;
  read.error = check_shape(json, langfuse_score_request(), rules);
  if (!read.error) read.error = read_subject(json, score);
  if (!read.error) read.error = read_value(json, score);
  if (read.error) return read;
  score.id = text_of(json, "id");
  if (score.id.empty()) score.id = "lf_" + random_hex(kNewIdDigits);
  score.name = text_of(json, "name");
  score.comment = text_of(json, "comment");
  score.source = text_of(json, "source") == "ANNOTATION" ? "annotator" : "api";
  Json metadata = Json::object();
  if (const Json* given = field_of(json, "metadata")) {
    if (given->is_object()) {
      metadata = *given;
    } else {
      metadata["metadata"] = *given;
    }
  }
  // A span has its trace beside it.
  if (score.subject_kind == "span" && field_of(json, "traceId") != nullptr) {
    metadata["trace_id"] = text_of(json, "traceId");
  }
  if (field_of(json, "environment") != nullptr) {
    metadata["environment"] = text_of(json, "environment");
  }
  if (!metadata.empty()) score.metadata = json_of(metadata);
  if (score.metadata && score.metadata->size() > kMetadataBytesMax) {
    read.error = wrong("metadata", "it has more than 16384 bytes");
  }
  return read;
}

}  // namespace

const Shape& langfuse_score_request() {
  static const Shape shape = object({
      field("id", text(1, kIdCharactersMax), "The same id is the same score, changed."),
      field("traceId", text(1, kSubjectCharactersMax), "The trace that it is about."),
      field("observationId", text(1, kSubjectCharactersMax), "Or the span."),
      field("sessionId", text(1, kSubjectCharactersMax), "Or the session."),
      refused("datasetRunId", "this server has no runs of datasets"),
      required("name", text(1, kNameCharactersMaxOfScore), "What is judged."),
      required("value", one_of({number(-kNumberMax, kNumberMax), text(1, kValueCharactersMax)}),
               "The judgement."),
      field("dataType", name_of({"NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"}),
            "Absent: NUMERIC for a number, CATEGORICAL for a text."),
      field("comment", text(0, kCommentCharactersMax), "Why."),
      field("metadata", any_json(), "For the client's own use; at most 16384 bytes."),
      field("environment", text(0, kIdCharactersMax), "Kept with the metadata."),
      field("source", name_of({"API", "ANNOTATION"}), "Absent: API."),
      ignored("configId", text(0, kIdCharactersMax), "Here scores have no configurations."),
      ignored("queueId", text(0, kIdCharactersMax), "And no queues."),
      ignored("timestamp", text(0, kTimeCharactersMax), "The time at which it came is kept."),
  });
  return shape;
}

ApiResult<LangfuseScoresCall> read_langfuse_scores(std::string_view body, const WireRules& rules) {
  const ApiResult<Json> json = read_json(body);
  if (!json) return json.error();
  LangfuseScoresCall call;
  if (!json->is_array()) {
    call.scores.push_back(read_score(*json, rules));
    if (call.scores.front().error) return *call.scores.front().error;
    return call;
  }
  if (json->empty() || json->size() > kListMax) {
    return wrong("", "a list takes 1 to 1000 scores");
  }
  call.is_list = true;
  for (const Json& one : *json) call.scores.push_back(read_score(one, rules));
  return call;
}

const Shape& langfuse_ingestion_request() {
  static const Shape shape = object({
      required("batch",
               list(object({required("id", text(1, kSubjectCharactersMax), "Of the event."),
                            required("type", text(1, kIdCharactersMax),
                                     "score-create; others are told to be errors, one by one."),
                            required("body", open_object(), "The score."),
                            ignored("timestamp", text(0, kTimeCharactersMax), "Of the event."),
                            ignored("metadata", any_json(), "Of the SDK.")}),
                    1, kListMax),
               "Events."),
      ignored("metadata", any_json(), "Of the SDK."),
  });
  return shape;
}

ApiResult<LangfuseScoresCall> read_langfuse_ingestion(std::string_view body,
                                                      const WireRules& rules) {
  const ApiResult<Json> json = read_body(body, langfuse_ingestion_request(), rules);
  if (!json) return json.error();
  LangfuseScoresCall call{.scores = {}, .is_list = true};
  for (const Json& event : (*json)["batch"]) {
    const std::string type = text_of(event, "type");
    LangfuseScore read;
    if (type == "score-create") {
      read = read_score(event["body"], rules);
    } else {
      read.error = ApiError{400, "not_supported",
                            "events of type " + shown(event["type"]) +
                                " are not kept here; traces come by OpenTelemetry",
                            "type"};
    }
    read.event_id = text_of(event, "id");
    call.scores.push_back(std::move(read));
  }
  return call;
}

int langfuse_scores_status(const LangfuseScoresCall& call) noexcept {
  if (!call.is_list) return 200;
  const bool has_errors = std::ranges::any_of(
      call.scores, [](const LangfuseScore& one) { return one.error.has_value(); });
  return has_errors ? kPartly : kAccepted;
}

std::string langfuse_scores_answer(const LangfuseScoresCall& call) {
  std::string out;
  if (!call.is_list) {
    append(out, "{\"id\":", json_string(call.scores.front().score.id), '}');
    return out;
  }
  if (langfuse_scores_status(call) == kAccepted) return R"({"message":"Accepted"})";
  std::size_t rejected = 0;
  std::string errors;
  for (const LangfuseScore& one : call.scores) {
    if (!one.error) continue;
    append(errors, rejected++ > 0 ? "," : "", "{\"message\":", json_string(one.error->message),
           '}');
  }
  append(out, "{\"accepted\":", call.scores.size() - rejected, ",\"rejected\":", rejected,
         ",\"errors\":[", errors, "]}");
  return out;
}

std::string langfuse_ingestion_answer(const LangfuseScoresCall& call) {
  std::string successes;
  std::string errors;
  for (const LangfuseScore& one : call.scores) {
    std::string& to = one.error ? errors : successes;
    if (!to.empty()) to += ',';
    append(to, "{\"id\":", json_string(one.event_id),
           ",\"status\":", one.error ? one.error->status : kCreated);
    if (one.error) append(to, ",\"message\":", json_string(one.error->message));
    to += '}';
  }
  return "{\"successes\":[" + successes + "],\"errors\":[" + errors + "]}";
}

std::string langfuse_deleted_answer() { return R"({"message":"Score deletion request accepted"})"; }

const Shape& langfuse_scores_answer_shape() {
  static const Shape shape = object({
      field("id", text(), "Of one score."),
      field("message", text(), "Of a list that was taken."),
      field("accepted", integer(0, kListMax), "Of a list with errors."),
      field("rejected", integer(0, kListMax), "Likewise."),
      field("errors", list(object({required("message", text(), "What is wrong.")}), 0, kListMax),
            "Likewise."),
  });
  return shape;
}

const Shape& langfuse_ingestion_answer_shape() {
  const auto event = [] {
    return object({required("id", text(), "Of the event."),
                   required("status", integer(0, 999), "As of HTTP."),
                   field("message", text(), "What is wrong.")});
  };
  static const Shape shape =
      object({required("successes", list(event(), 0, kListMax), "Scores that are kept."),
              required("errors", list(event(), 0, kListMax), "Events that are not.")});
  return shape;
}

const Shape& langfuse_deleted_answer_shape() {
  static const Shape shape = object({required("message", text(), "That it is gone.")});
  return shape;
}

}  // namespace paring::serve::wire
