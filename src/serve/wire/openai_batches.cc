// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_batches.h"

#include <fmt/format.h>

#include <limits>

#include "base/text.h"
#include "serve/batch/batch_input.h"
#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"
#include "store/batches.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kMetadataPairsMax = 16;
constexpr std::size_t kMetadataKeyBytesMax = 64;
constexpr std::size_t kMetadataValueCharactersMax = 512;
constexpr double kWindowSecondsMax = 14.0 * 86400;
constexpr std::int64_t kBatchesListedMax = 100;
constexpr std::int64_t kBatchesListed = 20;
constexpr std::size_t kIdCharactersMax = 128;
constexpr std::size_t kErrorsMax = 1000;
constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();

Field time_field(const char* name, const char* help) {
  return field(name, integer(0, kCountMax), help);
}

Field count(const char* name, const char* help) {
  return required(name, integer(0, kCountMax), help);
}

std::vector<std::string> state_names() {
  return {
#define PARING_X(name, text) text,
      PARING_BATCH_STATES(PARING_X)
#undef PARING_X
  };
}

Shape errors_shape() {
  const Shape error = object({required("code", text(), "What is wrong, in a word."),
                              required("message", text(), "What is wrong."),
                              field("param", text(), "The field of the line."),
                              field("line", integer(1, kCountMax), "Of the input file.")});
  return object({required("object", name_of({"list"}), "The kind of object."),
                 required("data", list(error, 0, kErrorsMax), "What is wrong with the input.")});
}

Shape usage_shape() {
  return object(
      {count("input_tokens", "Of the prompts."),
       required("input_tokens_details", object({count("cached_tokens", "Not computed again.")}),
                "Of those."),
       count("output_tokens", "Of the answers."),
       required("output_tokens_details",
                object({count("reasoning_tokens", "Before the answers proper.")}), "Of those."),
       count("total_tokens", "Both together.")});
}

}  // namespace

const Shape& openai_batch_request() {
  static const Shape shape = object({
      required("input_file_id", text(1, kIdCharactersMax),
               "A file for \"batch\": a request a line, with custom_id, method, url and body."),
      required("endpoint", name_of({batch_endpoints().begin(), batch_endpoints().end()}),
               "Where all its requests go."),
      required("completion_window", text(2, 16),
               "\"24h\", or any number of hours or days up to \"14d\": what is not answered then "
               "expires."),
      field("metadata", map(text(0, kMetadataValueCharactersMax), kMetadataPairsMax),
            "Texts for the client's own use; names have at most 64 bytes."),
      refused("output_expires_after", "output files are kept for 30 days"),
  });
  return shape;
}

ApiResult<BatchSpec> read_openai_batch(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, openai_batch_request(), rules);
  if (!json) return json.error();
  BatchSpec spec;
  spec.input_file_id = text_of(*json, "input_file_id");
  spec.endpoint = text_of(*json, "endpoint");
  spec.completion_window = text_of(*json, "completion_window");
  const Result<double> seconds = parse_duration(spec.completion_window);
  const bool has_unit = spec.completion_window.find_first_of("hd") != std::string::npos;
  if (!seconds || !has_unit || *seconds < 1 || *seconds > kWindowSecondsMax) {
    return bad_request("completion_window",
                       "The completion_window must be '24h', or another time up to 14d.");
  }
  spec.window_seconds = static_cast<std::int64_t>(*seconds);
  const Json* const metadata = field_of(*json, "metadata");
  if (metadata == nullptr) return spec;
  for (const auto& [key, value] : metadata->items()) {
    if (key.size() <= kMetadataKeyBytesMax) continue;
    return bad_request("metadata", fmt::format("The name '{}' has {} bytes, the limit is {}.",
                                               escape_control(key.substr(0, kMetadataKeyBytesMax)),
                                               key.size(), kMetadataKeyBytesMax));
  }
  spec.metadata = json_of(*metadata);
  return spec;
}

const Shape& batch_list_query() {
  static const Shape shape = object({
      field("limit", integer(1, kBatchesListedMax), "At most so many; absent: 20."),
      field("after", text(1, kIdCharactersMax), "Only those that were made before this batch."),
  });
  return shape;
}

ApiResult<store::PageRequest> read_batch_list(const NamedTexts& query, const WireRules& rules) {
  ApiResult<Json> read = read_flat(query, batch_list_query(), rules);
  if (!read) return read.error();
  return store::PageRequest{.after = text_of(*read, "after"),
                            .limit = integer_of(*read, "limit").value_or(kBatchesListed)};
}

const Shape& openai_batch_answer_shape() {
  static const Shape shape = object({
      required("id", text(), "What requests name it by."),
      required("object", name_of({"batch"}), "The kind of object."),
      required("endpoint", text(), "Where its requests go."),
      field("model", text(), "Of all its requests; absent before they were read."),
      field("errors", errors_shape(), "Why it failed."),
      required("input_file_id", text(), "Its requests."),
      required("completion_window", text(), "As it was asked for."),
      required("status", name_of(state_names()), "How far it is."),
      field("output_file_id", text(), "Answers, once it has ended."),
      field("error_file_id", text(), "Requests that failed, once it has ended."),
      count("created_at", "Seconds since 1970, as all times."),
      time_field("in_progress_at", "When its requests began to run."),
      count("expires_at", "When its window ends."),
      time_field("finalizing_at", "When its last answer was there."),
      time_field("completed_at", "When it was complete."),
      time_field("failed_at", "When its input was refused."),
      time_field("expired_at", "When its window was over."),
      time_field("cancelling_at", "When it was cancelled."),
      time_field("cancelled_at", "When it had ended because of that."),
      required("request_counts",
               object({count("total", "All."), count("completed", "Answered."),
                       count("failed", "Answered with an error, or not at all.")}),
               "Of its requests."),
      required("usage", usage_shape(), "Tokens so far."),
      field("metadata", map(text(), kMetadataPairsMax), "As it was given."),
  });
  return shape;
}

const Shape& batch_list_answer_shape() {
  static const Shape shape = object({
      required("object", name_of({"list"}), "The kind of object."),
      required("data", list(openai_batch_answer_shape(), 0, kBatchesListedMax), "The batches."),
      field("first_id", text(), "Of the first one."),
      field("last_id", text(), "Of the last one: the next page's after."),
      required("has_more", boolean(), "Whether there is a next page."),
  });
  return shape;
}

}  // namespace paring::serve::wire
