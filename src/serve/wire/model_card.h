// SPDX-License-Identifier: Apache-2.0
// What clients are told of a model, and the answers of /v1/models, /api/tags and /api/show. Plain
// data; functions are stateless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

struct ModelCard {
  std::string id;  // what requests name it by
  std::int64_t created = 0;
  std::string variant;       // id of what is computed (api/variant.h)
  std::string certificate;   // JSON of api::Certificate; "": none
  std::string base;          // of an adapter: the model's id; "": a model
  std::string architecture;  // "llama", "qwen2", ...
  std::string weight_type;   // "Q4_1", ...
  std::string weights_sha256;
  std::string chat_template;
  std::uint64_t parameters = 0;
  std::uint64_t file_bytes = 0;
  std::size_t context_tokens = 0;  // 0: not known before it is loaded
  std::size_t embedding_width = 0;
  std::string state = "ready";     // "unloaded", "loading", "ready", "unloading"
  std::uint64_t memory_bytes = 0;  // that it takes; 0: none
  std::string expires_at;          // when it will be unloaded if nobody asks for it; "": never
  std::vector<std::string> capabilities;  // "completion", "tools", "thinking", "embedding"
};

// {"object": "list", "data": [...]}, and one of them.
std::string openai_models_answer(std::span<const ModelCard> models);
std::string openai_model_answer(const ModelCard& model);

std::string ollama_tags_answer(std::span<const ModelCard> models);
// Of the models that are in memory.
std::string ollama_ps_answer(std::span<const ModelCard> models);
std::string ollama_show_answer(const ModelCard& model);
std::string ollama_version_answer(std::string_view version);
// The model that /api/show asks about.
ApiResult<std::string> read_ollama_show(std::string_view body, const WireRules& rules);

const Shape& openai_models_answer_shape();
const Shape& openai_model_answer_shape();
const Shape& ollama_tags_answer_shape();
const Shape& ollama_ps_answer_shape();
const Shape& ollama_show_request();
const Shape& ollama_show_answer_shape();
const Shape& ollama_version_answer_shape();

}  // namespace paring::serve::wire
