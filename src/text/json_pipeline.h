// SPDX-License-Identifier: Apache-2.0
// The encoding half of a tokenizer.json, done by the `tokenizers` crate in the bridge. Immutable,
// shared by threads.
#pragma once

#include <cstdint>
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

}  // namespace paring::text
