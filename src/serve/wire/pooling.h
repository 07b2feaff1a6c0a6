// SPDX-License-Identifier: Apache-2.0
// Requests that give vectors, scores or tokens in the place of text, and their answers:
// /v1/embeddings (OpenAI), /api/embed (Ollama), /v1/rerank (Jina and Cohere), /v1/score,
// /v1/classify, /tokenize and /detokenize (vLLM). Plain data; functions are stateless, any thread.
// Every read_...() is 400 (413 for its size) for what is no such request, with the field.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/answer.h"
#include "serve/generate_request.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// Text, or its token ids.
using PoolingInput = std::variant<std::string, std::vector<std::int32_t>>;

struct EmbedCall {
  std::string model;
  std::vector<PoolingInput> inputs;       // at least one
  std::optional<std::size_t> dimensions;  // the first so many of each vector, scaled to length 1
  bool is_base64 = false;                 // vectors as base64 of little-endian f32
  bool cuts_inputs = false;               // that are too long, at their end; else they are an error
  std::string user;
  std::optional<double> keep_alive_seconds;  // as of GenerateRequest
};
ApiResult<EmbedCall> read_openai_embeddings(std::string_view body, const WireRules& rules);
ApiResult<EmbedCall> read_ollama_embed(std::string_view body, const WireRules& rules);
// /api/embeddings, its predecessor: one text.
ApiResult<EmbedCall> read_ollama_embeddings(std::string_view body, const WireRules& rules);
std::string ollama_embeddings_answer(const std::vector<float>& vector);
// REQUIRES: one vector for each input.
std::string openai_embeddings_answer(const EmbedCall& call, const AnswerLabel& label,
                                     std::span<const std::vector<float>> vectors,
                                     const AnswerUsage& usage);
std::string ollama_embed_answer(const AnswerLabel& label,
                                std::span<const std::vector<float>> vectors,
                                const AnswerUsage& usage);

struct RerankCall {
  std::string model;
  std::string query;
  std::vector<std::string> documents;  // at least one
  std::size_t top = 0;                 // how many are answered, best first
  bool returns_documents = false;
  std::optional<std::size_t> document_tokens_max;  // longer ones are cut
};
ApiResult<RerankCall> read_rerank(std::string_view body, const WireRules& rules);
// `scores`: relevance of each document, higher is better.
std::string rerank_answer(const RerankCall& call, const AnswerLabel& label,
                          std::span<const double> scores, const AnswerUsage& usage);

// Pairs of texts.
struct ScoreCall {
  std::string model;
  std::vector<std::string> first;   // one, or as many as second
  std::vector<std::string> second;  // at least one
};
ApiResult<ScoreCall> read_score(std::string_view body, const WireRules& rules);
std::string score_answer(const AnswerLabel& label, std::span<const double> scores,
                         const AnswerUsage& usage);

struct ClassifyCall {
  std::string model;
  std::vector<PoolingInput> inputs;  // at least one
};
ApiResult<ClassifyCall> read_classify(std::string_view body, const WireRules& rules);
struct Classified {
  std::string label;  // of the likeliest class
  std::vector<double> probabilities;
};
std::string classify_answer(const AnswerLabel& label, std::span<const Classified> results,
                            const AnswerUsage& usage);

struct TokenizeCall {
  std::string model;
  std::variant<std::string, text::ChatInput> prompt;
  bool adds_special = true;            // of a text; templates write their own
  bool adds_generation_prompt = true;  // of a conversation
  bool returns_texts = false;
};
ApiResult<TokenizeCall> read_tokenize(std::string_view body, const WireRules& rules);
// `texts`: bytes of each token when the call asks for them.
std::string tokenize_answer(const TokenizeCall& call, std::span<const std::int32_t> tokens,
                            std::span<const std::string> texts, std::size_t context_tokens);

struct DetokenizeCall {
  std::string model;
  std::vector<std::int32_t> tokens;
};
ApiResult<DetokenizeCall> read_detokenize(std::string_view body, const WireRules& rules);
std::string detokenize_answer(std::string_view text);

const Shape& openai_embeddings_request();
const Shape& openai_embeddings_answer_shape();
const Shape& ollama_embed_request();
const Shape& ollama_embeddings_request();
const Shape& ollama_embeddings_answer_shape();
const Shape& ollama_embed_answer_shape();
const Shape& rerank_request();
const Shape& rerank_answer_shape();
const Shape& score_request();
const Shape& score_answer_shape();
const Shape& classify_request();
const Shape& classify_answer_shape();
const Shape& tokenize_request();
const Shape& tokenize_answer_shape();
const Shape& detokenize_request();
const Shape& detokenize_answer_shape();

}  // namespace paring::serve::wire
