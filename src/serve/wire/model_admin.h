// SPDX-License-Identifier: Apache-2.0
// Requests that load and unload models: /v1/models/load, /v1/models/unload; durations as Ollama
// has them. Plain data; functions are stateless. Every read_...() is 400 (413 for its size) for
// what is no such request, with the field.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

struct LoadCall {
  struct Adapter {
    std::string name;
    std::string source;
    double scale = 1;
  };
  std::string model;
  std::string source;  // "": one that is known
  std::optional<std::size_t> context_tokens;
  std::optional<std::size_t> cache_tokens;
  std::optional<double> idle_seconds;  // 0: never
  std::vector<Adapter> adapters;
  bool waits = true;  // for its end
};
ApiResult<LoadCall> read_load(std::string_view body, const WireRules& rules);

struct UnloadCall {
  std::string model;
  bool waits = true;
};
ApiResult<UnloadCall> read_unload(std::string_view body, const WireRules& rules);
std::string unload_answer(const std::string& model, std::string_view state);

const Shape& load_request();
const Shape& unload_request();
const Shape& unload_answer_shape();

// Seconds of Ollama's keep_alive, in Go's syntax, which paring::parse_duration() does not take:
// "5m", "1h30m", "-1s", "300". 400 for what is none.
ApiResult<double> parse_keep_alive(std::string_view text);

}  // namespace paring::serve::wire
