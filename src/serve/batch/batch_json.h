// SPDX-License-Identifier: Apache-2.0
// Files and batches as OpenAI's API writes them. JSON text, stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/batch/batch_input.h"
#include "serve/batch/line_executor.h"
#include "store/batches.h"
#include "store/files.h"

namespace paring::serve {

std::string file_json(const store::FileRow& file);
std::string file_list_json(const store::Page<store::FileRow>& page);
std::string file_deleted_json(const store::FileRow& file);

std::string batch_json(const store::BatchRow& batch);
std::string batch_list_json(const store::Page<store::BatchRow>& page);

// What a client sends to make a batch (wire/openai_batches.h).
struct BatchSpec {
  std::string input_file_id;
  std::string endpoint;
  std::string completion_window;
  std::int64_t window_seconds = 0;
  std::optional<std::string> metadata;  // a JSON object
};
// The column `errors` of a batch: a JSON array.
std::string batch_errors_json(const std::vector<BatchLineError>& errors);

// A line of the output file (2xx) or the error file, without a newline. `body` that is no JSON is
// written as a text.
std::string batch_output_line(const LineRequest& request, const LineAnswer& answer);
// A line of the error file for a request that was not run: code "batch_expired" or
// "batch_cancelled".
std::string batch_unanswered_line(const std::string& request_id, const std::string& custom_id,
                                  const char* code);

}  // namespace paring::serve
