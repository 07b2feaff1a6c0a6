// SPDX-License-Identifier: Apache-2.0
// The encoding half of a tokenizer.json, done by the `tokenizers` crate in the bridge. Immutable,
// shared by threads.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/bridge_calls.h"
#include "text/tokenizer.h"

namespace paring::text {

class JsonPipeline {
 public:
  // Corrupt when the crate refuses the file. REQUIRES: its size and depth were checked.
  static Result<JsonPipeline> create(std::string_view tokenizer_json);
  // As Tokenizer::encode.
  Result<std::vector<std::int32_t>> encode(std::string_view utf8, EncodeOptions options) const;

 private:
  explicit JsonPipeline(PipelineHandle handle) : handle_(std::move(handle)) {}
  PipelineHandle handle_;
};

// One that is made when the first text needs it: for a large vocabulary that takes seconds and
// hundreds of MB, which most models never need beside their fast pipeline. Shared by threads.
class LateJsonPipeline {
 public:
  explicit LateJsonPipeline(std::string_view tokenizer_json) : json_(tokenizer_json) {}
  // Makes it now. Errors as JsonPipeline::create(), the same for each call.
  Result<const JsonPipeline*> get() const;

 private:
  mutable std::once_flag once_;
  mutable std::string json_;  // empty once it is made
  mutable std::optional<Result<JsonPipeline>> made_;
};

}  // namespace paring::text
