// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/feedback.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "base/sha256.h"
#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kIdCharactersMax = 256;
constexpr std::size_t kNameCharacters = 64;
constexpr std::size_t kValueCharactersMax = 65536;  // a corrected answer
constexpr std::size_t kCategoryCharactersMax = 128;
constexpr std::size_t kCommentCharactersMax = 10000;
constexpr std::size_t kMetadataPairsMax = 16;
constexpr std::size_t kMetadataValueCharactersMax = 512;
constexpr std::int64_t kListedMax = 1000;
constexpr std::int64_t kListed = 100;
constexpr double kNumberMax = 1e12;
constexpr std::size_t kDerivedIdDigits = 24;
constexpr std::int64_t kTimeMax = std::numeric_limits<std::int64_t>::max();

std::vector<std::string> names_of(std::span<const std::string_view> names) {
  return {names.begin(), names.end()};
}

// The field that names a subject of this kind.
std::string field_of_subject(std::string_view kind) { return std::string(kind) + "_id"; }

std::optional<ApiError> read_subject(const Json& body, store::ScoreRow& score) {
  for (const std::string_view kind : store::kScoreSubjects) {
    const std::string name = field_of_subject(kind);
    const std::string id = text_of(body, name.c_str());
    if (id.empty()) continue;
    if (!score.subject_id.empty()) {
      return ApiError{400, "invalid_value",
                      "it is about one thing: give one of response_id, span_id, trace_id and "
                      "session_id",
                      name};
    }
    score.subject_kind = kind;
    score.subject_id = kind == "response" ? without_prefix(id) : id;
  }
  if (!score.subject_id.empty()) return std::nullopt;
  return ApiError{400, "missing_required_parameter",
                  "what it is about is missing: give response_id (the answer's id or its "
                  "x-request-id), span_id, trace_id or session_id",
                  "response_id"};
}

ApiError wrong_value(const std::string& type, const char* takes) {
  return {400, "invalid_value", fmt::format("the value of a score of type {} is {}", type, takes),
          "value"};
}

// The value as its type has it; the type that it has by itself where the request tells none.
std::optional<ApiError> read_value(const Json& body, store::ScoreRow& score) {
  const Json& value = body["value"];
  score.type = text_of(body, "type");
  if (value.is_string()) {
    score.text = value.get<std::string>();
    if (score.type.empty()) {
      score.type = score.text->size() <= kCategoryCharactersMax ? "categorical" : "text";
    }
    if (score.type == "numeric") return wrong_value(score.type, "a number");
    if (score.type == "boolean") return wrong_value(score.type, "true, false, 1 or 0");
    if (score.type == "categorical" && score.text->size() > kCategoryCharactersMax) {
      return wrong_value(score.type, "a word of at most 128 bytes");
    }
    if (score.type == "preference") score.text = without_prefix(std::move(*score.text));
    return std::nullopt;
  }
  if (score.type.empty()) score.type = value.is_boolean() ? "boolean" : "numeric";
  score.number = value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
  if (score.type == "boolean") {
    if (*score.number == 0 || *score.number == 1) return std::nullopt;
    return wrong_value(score.type, "true, false, 1 or 0");
  }
  if (score.type != "numeric") return wrong_value(score.type, "a text");
  if (value.is_boolean()) return wrong_value(score.type, "a number");
  return std::nullopt;
}

Shape value_shape() {
  return one_of({number(-kNumberMax, kNumberMax), boolean(), text(1, kValueCharactersMax)});
}

void append_score(std::string& out, const store::ScoreRow& score,
                  const AnswerOrigin* origin = nullptr) {
  append(out, "{\"id\":", json_string(score.id), ",\"object\":\"feedback\",\"", score.subject_kind,
         "_id\":", json_string(score.subject_id), ",\"name\":", json_string(score.name),
         ",\"type\":", json_string(score.type), ",\"value\":");
  if (score.text) {
    append(out, json_string(*score.text));
  } else if (score.type == "boolean") {
    append(out, score.number.value_or(0) != 0);
  } else {
    append(out, score.number.value_or(0));
  }
  append(out, ",\"comment\":", json_string(score.comment),
         ",\"source\":", json_string(score.source), ",\"author\":", json_string(score.author),
         ",\"metadata\":", score.metadata.value_or("{}"), ",\"created_at\":", score.created_s,
         ",\"updated_at\":", score.updated_s);
  if (origin != nullptr) {
    append(out, ",\"origin\":{\"model\":", json_string(origin->model),
           ",\"variant\":", json_string(origin->variant),
           ",\"prompt_version\":", json_string(origin->prompt_version), '}');
  }
  out += '}';
}

Shape score_shape() {
  return object(
      {required("id", text(), "What names it."),
       required("object", name_of({"feedback"}), "The kind of object."),
       field("response_id", text(), "The request whose answer it is about."),
       field("span_id", text(), "Or a span."), field("trace_id", text(), "Or a trace."),
       field("session_id", text(), "Or a session."), required("name", text(), "What is judged."),
       required("type", name_of(names_of(store::kScoreTypes)), "Of the value."),
       required("value", value_shape(), "The judgement."), required("comment", text(), "Why."),
       required("source", name_of(names_of(store::kScoreSources)), "Who judges."),
       required("author", text(), "Who exactly; empty: nobody said."),
       field("origin",
             object({required("model", text(), "The model."),
                     required("variant", text(), "What was computed."),
                     required("prompt_version", text(), "As the client named it; empty: not.")}),
             "What made the answer; absent unless asked for, and where it is not kept."),
       required("metadata", map(text(), kMetadataPairsMax), "As it was given."),
       required("created_at", integer(0, kTimeMax), "Seconds since 1970."),
       required("updated_at", integer(0, kTimeMax), "When it was last given.")});
}

}  // namespace

std::string without_prefix(std::string id) {
  for (const std::string_view prefix : {"chatcmpl-", "cmpl-", "resp_", "msg_"}) {
    if (id.starts_with(prefix)) return id.substr(prefix.size());
  }
  return id;
}

std::string derived_score_id(const store::ScoreRow& score) {
  Sha256 hash;
  for (const std::string* part :
       {&score.subject_kind, &score.subject_id, &score.name, &score.source, &score.author}) {
    hash.update(std::to_string(part->size()) + ':' + *part);
  }
  return "fb_" + hex(hash.finish()).substr(0, kDerivedIdDigits);
}

const Shape& feedback_request() {
  static const Shape shape = object({
      field("response_id", text(1, kIdCharactersMax),
            "The answer that it is about: its id, or the x-request-id of its request."),
      field("span_id", text(1, kIdCharactersMax), "Or a span."),
      field("trace_id", text(1, kIdCharactersMax), "Or a trace."),
      field("session_id", text(1, kIdCharactersMax), "Or a session."),
      field("id", text(1, kNameCharacters),
            "The same id is the same feedback, changed; absent: made of subject, name, source and "
            "author."),
      field("name", text(1, kNameCharacters), "What is judged; absent: rating."),
      required("value", value_shape(),
               "A number, true or false, a word, a text, a corrected answer, or of a preference "
               "the id of the answer that is worse."),
      field("type", name_of(names_of(store::kScoreTypes)), "Absent: what the value is by itself."),
      field("comment", text(0, kCommentCharactersMax), "Why."),
      field("source", name_of(names_of(store::kScoreSources)), "Who judges; absent: user."),
      field("author", text(0, kNameCharactersMax), "Who exactly: an end user, an annotator."),
      field("metadata", map(text(0, kMetadataValueCharactersMax), kMetadataPairsMax),
            "Texts for the client's own use."),
  });
  return shape;
}

ApiResult<store::ScoreRow> read_feedback(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, feedback_request(), rules);
  if (!json) return json.error();
  store::ScoreRow score;
  if (auto error = read_subject(*json, score)) return *std::move(error);
  if (auto error = read_value(*json, score)) return *std::move(error);
  const auto text_or = [&](const char* name, const char* absent) {
    const Json* const value = field_of(*json, name);
    return value == nullptr ? std::string(absent) : value->get<std::string>();
  };
  score.name = text_or("name", "rating");
  score.comment = text_or("comment", "");
  score.source = text_or("source", "user");
  score.author = text_or("author", "");
  if (const Json* metadata = field_of(*json, "metadata")) score.metadata = json_of(*metadata);
  score.id = text_or("id", "");
  if (score.id.empty()) score.id = derived_score_id(score);
  return score;
}

const Shape& feedback_list_query() {
  static const Shape shape = object({
      field("response_id", text(1, kIdCharactersMax), "Only those about this answer."),
      field("span_id", text(1, kIdCharactersMax), "Or of the span."),
      field("trace_id", text(1, kIdCharactersMax), "Or of the trace."),
      field("session_id", text(1, kIdCharactersMax), "Or of the session."),
      field("name", text(1, kNameCharacters), "Only those of this name."),
      field("limit", integer(1, kListedMax), "At most so many; absent: 100."),
      field("after", text(1, kNameCharacters), "Only those that were given before this one."),
      field("order", name_of({"asc", "desc"}), "asc: oldest first; absent: desc."),
      field("with", name_of({"origin"}), "origin: model, variant and prompt of judged answers."),
  });
  return shape;
}

ApiResult<FeedbackListCall> read_feedback_list(const NamedTexts& query, const WireRules& rules) {
  ApiResult<Json> read = read_flat(query, feedback_list_query(), rules);
  if (!read) return read.error();
  FeedbackListCall call;
  store::ScoreRow subject;
  const bool has_subject = std::ranges::any_of(store::kScoreSubjects, [&](std::string_view kind) {
    return field_of(*read, field_of_subject(kind).c_str()) != nullptr;
  });
  if (has_subject) {
    if (auto error = read_subject(*read, subject)) return *std::move(error);
  }
  call.filter = {subject.subject_kind, subject.subject_id, text_of(*read, "name")};
  call.page = {.after = text_of(*read, "after"),
               .limit = integer_of(*read, "limit").value_or(kListed),
               .oldest_first = text_of(*read, "order") == "asc"};
  call.with_origins = !text_of(*read, "with").empty();
  return call;
}

std::string feedback_answer(const store::ScoreRow& score) {
  std::string out;
  append_score(out, score);
  return out;
}

std::string feedback_list_answer(const store::Page<store::ScoreRow>& page,
                                 const AnswerOrigins& origins) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < page.rows.size(); ++i) {
    if (i > 0) out += ',';
    const store::ScoreRow& score = page.rows[i];
    const auto found =
        score.subject_kind == "response" ? origins.find(score.subject_id) : origins.end();
    append_score(out, score, found == origins.end() ? nullptr : &found->second);
  }
  append(out, "],\"has_more\":", page.has_more, '}');
  return out;
}

std::string feedback_deleted_answer(const std::string& id) {
  return "{\"id\":" + json_string(id) + ",\"object\":\"feedback\",\"deleted\":true}";
}

const Shape& feedback_answer_shape() {
  static const Shape shape = score_shape();
  return shape;
}

const Shape& feedback_list_answer_shape() {
  static const Shape shape =
      object({required("object", name_of({"list"}), "The kind of object."),
              required("data", list(score_shape(), 0, kListedMax), "Newest first."),
              required("has_more", boolean(), "Whether there is a next page.")});
  return shape;
}

const Shape& feedback_deleted_answer_shape() {
  static const Shape shape =
      object({required("id", text(), "What was deleted."),
              required("object", name_of({"feedback"}), "The kind of object."),
              required("deleted", only(true, "it is gone"), "It is gone.")});
  return shape;
}

}  // namespace paring::serve::wire
