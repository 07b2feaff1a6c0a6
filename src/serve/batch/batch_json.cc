// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

// Names of files are any bytes that are no control characters: what is no UTF-8 is replaced.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

template <typename T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

// Text that we have written as JSON before.
Json parsed(const std::optional<std::string>& text) {
  if (!text) return {};
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return json.is_discarded() ? Json() : json;
}

Json file_object(const store::FileRow& file) {
  Json json = {{"id", file.id},
               {"object", "file"},
               {"bytes", file.bytes},
               {"created_at", file.created_s},
               {"filename", file.filename},
               {"purpose", file.purpose},
               {"status", "processed"},
               {"status_details", nullptr}};
  if (file.expires_s) json["expires_at"] = *file.expires_s;
  return json;
}

Json usage_object(const store::BatchUsage& usage) {
  return {{"input_tokens", usage.input_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"output_tokens", usage.output_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.input_tokens + usage.output_tokens}};
}

Json batch_object(const store::BatchRow& batch) {
  const Json errors = parsed(batch.errors);
  return {{"id", batch.id},
          {"object", "batch"},
          {"endpoint", batch.endpoint},
          {"model", optional_json(batch.model)},
          {"errors", errors.is_null() ? Json() : Json{{"object", "list"}, {"data", errors}}},
          {"input_file_id", batch.input_file_id},
          {"completion_window", batch.completion_window},
          {"status", store::batch_state_name(batch.state)},
          {"output_file_id", optional_json(batch.output_file_id)},
          {"error_file_id", optional_json(batch.error_file_id)},
          {"created_at", batch.created_s},
          {"in_progress_at", optional_json(batch.in_progress_s)},
          {"expires_at", batch.expires_s},
          {"finalizing_at", optional_json(batch.finalizing_s)},
          {"completed_at", optional_json(batch.completed_s)},
          {"failed_at", optional_json(batch.failed_s)},
          {"expired_at", optional_json(batch.expired_s)},
          {"cancelling_at", optional_json(batch.cancelling_s)},
          {"cancelled_at", optional_json(batch.cancelled_s)},
          {"request_counts",
           {{"total", batch.total}, {"completed", batch.completed}, {"failed", batch.failed}}},
          {"usage", usage_object(batch.usage)},
          {"metadata", parsed(batch.metadata)}};
}

template <typename Row>
std::string list_json(const store::Page<Row>& page, Json (*object_of)(const Row&)) {
  Json data = Json::array();
  for (const Row& row : page.rows) data.push_back(object_of(row));
  const bool is_empty = page.rows.empty();
  return dump({{"object", "list"},
               {"data", std::move(data)},
               {"first_id", is_empty ? Json() : Json(page.rows.front().id)},
               {"last_id", is_empty ? Json() : Json(page.rows.back().id)},
               {"has_more", page.has_more}});
}

Json frame(const std::string& request_id, const std::string& custom_id) {
  return {{"id", request_id}, {"custom_id", custom_id}};
}

}  // namespace

std::string file_json(const store::FileRow& file) { return dump(file_object(file)); }

std::string file_list_json(const store::Page<store::FileRow>& page) {
  return list_json(page, file_object);
}

std::string file_deleted_json(const store::FileRow& file) {
  return dump({{"id", file.id}, {"object", "file"}, {"deleted", true}});
}

std::string batch_json(const store::BatchRow& batch) { return dump(batch_object(batch)); }

std::string batch_list_json(const store::Page<store::BatchRow>& page) {
  return list_json(page, batch_object);
}

std::string batch_errors_json(const std::vector<BatchLineError>& errors) {
  Json data = Json::array();
  for (const BatchLineError& error : errors) {
    data.push_back({{"code", error.code},
                    {"message", error.message},
                    {"param", error.param.empty() ? Json() : Json(error.param)},
                    {"line", error.line == 0 ? Json() : Json(error.line)}});
  }
  return dump(data);
}

std::string batch_output_line(const LineRequest& request, const LineAnswer& answer) {
  Json line = frame(request.request_id, request.custom_id);
  Json body = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (body.is_discarded()) body = answer.body;
  line["response"] = {{"status_code", answer.status},
                      {"request_id", request.request_id},
                      {"body", std::move(body)}};
  line["error"] = nullptr;
  return dump(line);
}

std::string batch_unanswered_line(const std::string& request_id, const std::string& custom_id,
                                  const char* code) {
  Json line = frame(request_id, custom_id);
  line["response"] = nullptr;
  const bool is_expired = std::string_view(code) == "batch_expired";
  line["error"] = {{"code", code},
                   {"message", is_expired ? "The request was not run before the completion window "
                                            "ended."
                                          : "The batch was cancelled before the request was run."}};
  return dump(line);
}

}  // namespace paring::serve
