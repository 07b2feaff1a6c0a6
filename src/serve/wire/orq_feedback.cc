// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/orq_feedback.h"

#include "base/sha256.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kIdCharactersMax = 64;
constexpr std::size_t kTraceCharactersMax = 256;
constexpr std::size_t kNameCharactersMaxOfScore = 64;
constexpr std::size_t kValueCharactersMax = 65536;
constexpr std::size_t kCategoryCharactersMax = 128;
constexpr std::size_t kWordsMax = 64;
constexpr std::size_t kDerivedIdDigits = 24;
constexpr double kNumberMax = 1e12;

Shape value_shape() {
  return one_of({text(1, kValueCharactersMax), number(-kNumberMax, kNumberMax),
                 list(text(1, kCategoryCharactersMax), 1, kWordsMax)});
}

std::string words_of(const Json& list) {
  std::string words;
  for (const Json& word : list) {
    if (!words.empty()) words += ',';
    words += word.get<std::string>();
  }
  return words;
}

}  // namespace

const Shape& orq_feedback_request() {
  static const Shape shape = object({
      required(
          "property", text(1, kNameCharactersMaxOfScore),
          "What is judged: rating, defects, interactions, correction, or a name of one's own."),
      required("value", value_shape(), "The judgement."),
      required("trace_id", text(1, kTraceCharactersMax), "What it is about."),
      field("id", text(1, kIdCharactersMax), "The same id is the same feedback, changed."),
      ignored("product", text(0, kIdCharactersMax), "Where it comes from."),
  });
  return shape;
}

ApiResult<OrqFeedbackCall> read_orq_feedback(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, orq_feedback_request(), rules);
  if (!json) return json.error();
  OrqFeedbackCall call;
  store::ScoreRow& score = call.score;
  score.subject_kind = "trace";
  score.subject_id = text_of(*json, "trace_id");
  score.name = text_of(*json, "property");
  score.source = "user";
  const Json& value = (*json)["value"];
  if (value.is_number()) {
    score.type = "numeric";
    score.number = value.get<double>();
  } else {
    score.text = value.is_array() ? words_of(value) : value.get<std::string>();
    score.type = score.name == "correction"                     ? "correction"
                 : score.text->size() <= kCategoryCharactersMax ? "categorical"
                                                                : "text";
  }
  score.id = text_of(*json, "id");
  if (score.id.empty()) {
    Sha256 hash;
    hash.update(std::to_string(score.subject_id.size()) + ':' + score.subject_id + score.name);
    score.id = "orq_" + hex(hash.finish()).substr(0, kDerivedIdDigits);
  }
  (*json)["id"] = score.id;
  call.answer = json_of(*json);
  return call;
}

const Shape& orq_feedback_answer_shape() {
  static const Shape shape = object(
      {required("property", text(), "As given."), required("value", value_shape(), "As given."),
       required("trace_id", text(), "As given."), required("id", text(), "What takes it back."),
       field("product", text(), "As given.")});
  return shape;
}

const Shape& orq_remove_request() {
  static const Shape shape = object({
      required("id", text(1, kIdCharactersMax), "Of the feedback."),
      ignored("trace_id", text(0, kTraceCharactersMax), "The id is enough."),
      ignored("product", text(0, kIdCharactersMax), "Where it comes from."),
  });
  return shape;
}

ApiResult<OrqRemoveCall> read_orq_remove(std::string_view body, const WireRules& rules) {
  const ApiResult<Json> json = read_body(body, orq_remove_request(), rules);
  if (!json) return json.error();
  return OrqRemoveCall{.id = text_of(*json, "id"), .answer = json_of(*json)};
}

const Shape& orq_remove_answer_shape() {
  static const Shape shape =
      object({required("id", text(), "As given."), field("trace_id", text(), "As given."),
              field("product", text(), "As given.")});
  return shape;
}

}  // namespace paring::serve::wire
