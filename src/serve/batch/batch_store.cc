// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_store.h"

#include <fmt/format.h>

#include "serve/access/api_key.h"
#include "serve/batch/storage_failure.h"

namespace paring::serve {

namespace {

constexpr std::size_t kIdLetters = 24;

ApiError failure(const Error& error) { return storage_failure("batches", error); }

ApiError no_batch() {
  return {404, "batch_not_found", "There is no batch with this id.", "batch_id"};
}

}  // namespace

ApiResult<store::BatchRow> BatchStore::create(const Principal& principal, const BatchSpec& spec) {
  ApiResult<store::FileRow> file = files_.find(principal.tenant, spec.input_file_id);
  if (!file) {
    ApiError error = file.error();
    error.param = "input_file_id";
    // The route was found; what its body names was not.
    if (error.status == 404) error.status = 400;
    return error;
  }
  if (file->purpose != kBatchPurpose) {
    return ApiError{400, "invalid_value",
                    fmt::format("The file was uploaded for '{}', not for 'batch'.", file->purpose),
                    "input_file_id"};
  }
  const Result<std::string> letters = random_letters(kIdLetters);
  if (!letters) return failure(letters.error());
  store::BatchRow batch;
  batch.id = "batch_" + *letters;
  batch.tenant = principal.tenant;
  batch.key_id = principal.key_id;
  batch.endpoint = spec.endpoint;
  batch.input_file_id = spec.input_file_id;
  batch.completion_window = spec.completion_window;
  batch.metadata = spec.metadata;
  batch.created_s = static_cast<std::int64_t>(clock_.wall_seconds());
  batch.expires_s = batch.created_s + spec.window_seconds;
  const Result<void> done = batches_.insert(batch, kOpenBatchesMax);
  if (!done && done.error().code == ErrorCode::kExhausted &&
      done.error().message.find("have not ended") != std::string::npos) {
    constexpr double kRetrySeconds = 60;
    return ApiError{429, "rate_limit_exceeded", done.error().text(), "", kRetrySeconds};
  }
  if (!done) return failure(done.error());
  changed_();
  return batch;
}

ApiResult<store::BatchRow> BatchStore::find(std::string_view tenant, std::string_view id) const {
  Result<std::optional<store::BatchRow>> batch = batches_.find(tenant, id);
  if (!batch) return failure(batch.error());
  if (!*batch) return no_batch();
  return std::move(**batch);
}

ApiResult<store::Page<store::BatchRow>> BatchStore::list(std::string_view tenant,
                                                         const store::PageRequest& page) const {
  Result<store::Page<store::BatchRow>> found = batches_.list(tenant, page);
  if (found) return std::move(found).value();
  if (found.error().code == ErrorCode::kNotFound) return api_error(found.error(), "after");
  return failure(found.error());
}

ApiResult<store::BatchRow> BatchStore::cancel(std::string_view tenant, std::string_view id) {
  const auto now_s = static_cast<std::int64_t>(clock_.wall_seconds());
  const Result<bool> done = batches_.cancel(tenant, id, now_s);
  if (!done && done.error().code == ErrorCode::kNotFound) return no_batch();
  if (!done) return failure(done.error());
  changed_();
  ApiResult<store::BatchRow> batch = find(tenant, id);
  if (!batch || *done) return batch;
  // To cancel twice is no mistake.
  const store::BatchState state = batch->state;
  if (state == store::BatchState::kCancelling || state == store::BatchState::kCancelled) {
    return batch;
  }
  return ApiError{400, "invalid_state",
                  fmt::format("The batch is '{}' and cannot be cancelled any more.",
                              store::batch_state_name(state)),
                  "batch_id"};
}

}  // namespace paring::serve
