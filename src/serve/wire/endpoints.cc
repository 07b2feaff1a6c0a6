// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/endpoints.h"

#include "serve/wire/advice.h"
#include "serve/wire/agreement.h"
#include "serve/wire/alerts.h"
#include "serve/wire/anthropic_messages.h"
#include "serve/wire/canaries.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/feedback.h"
#include "serve/wire/langfuse_scores.h"
#include "serve/wire/model_admin.h"
#include "serve/wire/model_card.h"
#include "serve/wire/model_weights.h"
#include "serve/wire/ollama.h"
#include "serve/wire/openai_batches.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/openai_completions.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/openai_responses.h"
#include "serve/wire/orq_feedback.h"
#include "serve/wire/otlp_answer.h"
#include "serve/wire/pooling.h"
#include "serve/wire/quality.h"
#include "serve/wire/roofline.h"
#include "serve/wire/traffic.h"
#include "serve/wire/traffic_users.h"

namespace paring::serve::wire {
namespace {

// The error of a reader.
template <auto kRead>
std::optional<ApiError> error_of(std::string_view body, const WireRules& rules) {
  const auto result = kRead(body, rules);
  if (result) return std::nullopt;
  return result.error();
}

constexpr const char* kEvents = "text/event-stream";
constexpr const char* kLines = "application/x-ndjson";
constexpr Protocol kOpenAi = Protocol::kOpenAi;
constexpr Protocol kAnthropic = Protocol::kAnthropic;
constexpr Protocol kOllama = Protocol::kOllama;

// Of OpenAI's kind, that reads nothing but its path and what stands behind '?'.
constexpr Endpoint query_of(const char* path, const char* name, const char* summary,
                            const Shape& (*query)(), const Shape& (*answer)()) {
  return {.method = "GET",
          .path = path,
          .name = name,
          .summary = summary,
          .protocol = kOpenAi,
          .request = nullptr,
          .answer = answer,
          .stream_type = nullptr,
          .check = nullptr,
          .query = query};
}

// Takes OTLP over HTTP, which is read by its own rules.
constexpr Endpoint otlp_of(const char* path, const char* name, const char* summary,
                           const Shape& (*request)(), const Shape& (*answer)()) {
  return {.method = "POST",
          .path = path,
          .name = name,
          .summary = summary,
          .protocol = kOpenAi,
          .request = request,
          .answer = answer,
          .stream_type = nullptr,
          .check = nullptr,
          .form_type = "application/json",
          .binary_type = "application/x-protobuf"};
}

constexpr Endpoint kEndpoints[] = {
    {"POST", "/v1/chat/completions", "create_chat_completion", "Answer a conversation", kOpenAi,
     openai_chat_request, openai_chat_answer, kEvents, error_of<read_openai_chat>},
    {"POST", "/v1/completions", "create_completion", "Go on from a text", kOpenAi,
     openai_completions_request, openai_completions_answer, kEvents,
     error_of<read_openai_completions>},
    {"POST", "/v1/responses", "create_response", "Answer a conversation, as items", kOpenAi,
     openai_responses_request, openai_responses_answer, kEvents, error_of<read_openai_responses>},
    {"POST", "/v1/embeddings", "create_embedding", "Vectors of texts", kOpenAi,
     openai_embeddings_request, openai_embeddings_answer_shape, nullptr,
     error_of<read_openai_embeddings>},
    {"POST", "/v1/rerank", "rerank", "Order documents by their relevance", kOpenAi, rerank_request,
     rerank_answer_shape, nullptr, error_of<read_rerank>},
    {"POST", "/v1/score", "score", "Scores of pairs of texts", kOpenAi, score_request,
     score_answer_shape, nullptr, error_of<read_score>},
    {"POST", "/v1/classify", "classify", "Classes of texts", kOpenAi, classify_request,
     classify_answer_shape, nullptr, error_of<read_classify>},
    {.method = "POST",
     .path = "/v1/files",
     .name = "create_file",
     .summary = "Upload a file",
     .protocol = kOpenAi,
     .request = file_form_request,
     .answer = file_answer_shape,
     .stream_type = nullptr,
     .check = nullptr,
     .form_type = "multipart/form-data"},
    {.method = "GET",
     .path = "/v1/files",
     .name = "list_files",
     .summary = "The files",
     .protocol = kOpenAi,
     .request = nullptr,
     .answer = file_list_answer_shape,
     .stream_type = nullptr,
     .check = nullptr,
     .query = file_list_query},
    {"GET", "/v1/files/{file_id}", "get_file", "A file", kOpenAi, nullptr, file_answer_shape,
     nullptr, nullptr},
    {"DELETE", "/v1/files/{file_id}", "delete_file", "Delete a file", kOpenAi, nullptr,
     file_deleted_answer_shape, nullptr, nullptr},
    {.method = "GET",
     .path = "/v1/files/{file_id}/content",
     .name = "get_file_content",
     .summary = "What a file holds",
     .protocol = kOpenAi,
     .request = nullptr,
     .answer = file_content_answer_shape,
     .stream_type = nullptr,
     .check = nullptr,
     .answer_type = "application/octet-stream"},
    {"POST", "/v1/batches", "create_batch", "Run the requests of a file", kOpenAi,
     openai_batch_request, openai_batch_answer_shape, nullptr, error_of<read_openai_batch>},
    {.method = "GET",
     .path = "/v1/batches",
     .name = "list_batches",
     .summary = "The batches",
     .protocol = kOpenAi,
     .request = nullptr,
     .answer = batch_list_answer_shape,
     .stream_type = nullptr,
     .check = nullptr,
     .query = batch_list_query},
    {"GET", "/v1/batches/{batch_id}", "get_batch", "A batch", kOpenAi, nullptr,
     openai_batch_answer_shape, nullptr, nullptr},
    {"POST", "/v1/batches/{batch_id}/cancel", "cancel_batch", "Cancel a batch", kOpenAi, nullptr,
     openai_batch_answer_shape, nullptr, nullptr},
    {"GET", "/v1/models", "list_models", "The models", kOpenAi, nullptr, openai_models_answer_shape,
     nullptr, nullptr},
    {"GET", "/v1/models/{model}", "get_model", "A model", kOpenAi, nullptr,
     openai_model_answer_shape, nullptr, nullptr},
    {"POST", "/v1/models/load", "load_model", "Load a model", kOpenAi, load_request,
     openai_model_answer_shape, nullptr, error_of<read_load>},
    {"POST", "/v1/models/unload", "unload_model", "Unload a model", kOpenAi, unload_request,
     unload_answer_shape, nullptr, error_of<read_unload>},
    {"POST", "/v1/feedback", "create_feedback", "Tell what an answer was worth", kOpenAi,
     feedback_request, feedback_answer_shape, nullptr, error_of<read_feedback>},
    {.method = "GET",
     .path = "/v1/feedback",
     .name = "list_feedback",
     .summary = "What was told of answers",
     .protocol = kOpenAi,
     .request = nullptr,
     .answer = feedback_list_answer_shape,
     .stream_type = nullptr,
     .check = nullptr,
     .query = feedback_list_query},
    {"DELETE", "/v1/feedback/{feedback_id}", "delete_feedback", "Take it back", kOpenAi, nullptr,
     feedback_deleted_answer_shape, nullptr, nullptr},
    {"POST", "/v2/feedback", "orq_feedback", "The same, as Orq", kOpenAi, orq_feedback_request,
     orq_feedback_answer_shape, nullptr, error_of<read_orq_feedback>},
    {"POST", "/v2/feedback/remove", "orq_remove_feedback", "Take it back, as Orq", kOpenAi,
     orq_remove_request, orq_remove_answer_shape, nullptr, error_of<read_orq_remove>},
    {"POST", "/api/public/scores", "langfuse_create_score",
     "The same, as Langfuse; or a list of scores", kOpenAi, langfuse_score_request,
     langfuse_scores_answer_shape, nullptr, error_of<read_langfuse_scores>},
    {"POST", "/api/public/ingestion", "langfuse_ingest", "The same, as Langfuse's older SDKs",
     kOpenAi, langfuse_ingestion_request, langfuse_ingestion_answer_shape, nullptr,
     error_of<read_langfuse_ingestion>},
    {"DELETE", "/api/public/scores/{score_id}", "langfuse_delete_score",
     "Take it back, as Langfuse", kOpenAi, nullptr, langfuse_deleted_answer_shape, nullptr,
     nullptr},
    query_of("/v1/scores/agreement", "scores_agreement", "How far a judge agrees with people",
             agreement_query, agreement_answer_shape),
    query_of("/v1/quality", "list_quality",
             "How far live answers are from those of the original model", nullptr,
             quality_answer_shape),
    query_of("/v1/roofline", "get_roofline",
             "What the steps of each model did against the machine's limits, and what binds",
             roofline_query, roofline_answer_shape),
    query_of("/v1/alerts", "list_alerts", "Objectives, how they stand, and their alerts", nullptr,
             alerts_answer_shape),
    {"POST", "/v1/alerts/{objective}/silence", "silence_alerts", "Tell nobody for a while", kOpenAi,
     silence_request, silence_answer_shape, nullptr, error_of<read_silence>},
    {"POST", "/v1/canaries", "create_canary", "Try a change on a share of the requests", kOpenAi,
     canary_request, canary_answer_shape, nullptr, error_of<read_canary>},
    query_of("/v1/canaries", "list_canaries", "Changes that were tried", canary_list_query,
             canary_list_answer_shape),
    query_of("/v1/canaries/{canary_id}", "get_canary", "A change that is or was tried", nullptr,
             canary_answer_shape),
    {"POST", "/v1/canaries/{canary_id}/stop", "stop_canary", "Take a change back", kOpenAi, nullptr,
     canary_answer_shape, nullptr, nullptr},
    query_of("/v1/advice", "get_advice", "What to change about this server", advice_query,
             advice_answer_shape),
    query_of("/v1/advice/ledger", "list_advice",
             "What was predicted of changes, and what came of it", canary_list_query,
             advice_ledger_answer_shape),
    otlp_of("/v1/traces", "otlp_traces", "Take spans of other programs (OTLP)", otlp_traces_request,
            otlp_traces_answer_shape),
    otlp_of("/v1/logs", "otlp_logs", "Take evaluation events of other programs (OTLP)",
            otlp_logs_request, otlp_logs_answer_shape),
    query_of("/v1/traffic", "list_traffic", "Requests that were served, newest first",
             traffic_list_query, traffic_list_answer_shape),
    query_of("/v1/traffic/summary", "summarize_traffic", "Sums and percentiles of requests",
             traffic_summary_query, traffic_summary_answer_shape),
    query_of("/v1/traffic/series", "series_of_traffic", "The same over time", traffic_series_query,
             traffic_series_answer_shape),
    query_of("/v1/traffic/users", "users_of_traffic", "What each end user asked for",
             traffic_users_query, traffic_users_answer_shape),
    query_of("/v1/models/{model}/weights", "get_model_weights",
             "Type and size of every tensor of a model", nullptr, model_weights_answer_shape),
    query_of("/v1/traffic/requests/{request_id}", "get_traffic", "A request that was served",
             nullptr, traffic_requests_answer_shape),
    {"POST", "/tokenize", "tokenize", "Token ids of a text or conversation", kOpenAi,
     tokenize_request, tokenize_answer_shape, nullptr, error_of<read_tokenize>},
    {"POST", "/detokenize", "detokenize", "The text of token ids", kOpenAi, detokenize_request,
     detokenize_answer_shape, nullptr, error_of<read_detokenize>},
    {"POST", "/v1/messages", "create_message", "Answer a conversation, as Anthropic", kAnthropic,
     anthropic_messages_request, anthropic_messages_answer, kEvents,
     error_of<read_anthropic_messages>},
    {"POST", "/v1/messages/count_tokens", "count_message_tokens", "Tokens of a conversation",
     kAnthropic, anthropic_count_request, anthropic_count_answer_shape, nullptr,
     error_of<read_anthropic_count>},
    {"POST", "/api/chat", "ollama_chat", "Answer a conversation, as Ollama", kOllama,
     ollama_chat_request, ollama_chat_answer, kLines, error_of<read_ollama_chat>},
    {"POST", "/api/generate", "ollama_generate", "Answer a prompt, as Ollama", kOllama,
     ollama_generate_request, ollama_generate_answer, kLines, error_of<read_ollama_generate>},
    {"POST", "/api/embed", "ollama_embed", "Vectors of texts, as Ollama", kOllama,
     ollama_embed_request, ollama_embed_answer_shape, nullptr, error_of<read_ollama_embed>},
    {"POST", "/api/embeddings", "ollama_embeddings", "The vector of a text, as Ollama before embed",
     kOllama, ollama_embeddings_request, ollama_embeddings_answer_shape, nullptr,
     error_of<read_ollama_embeddings>},
    {"GET", "/api/tags", "ollama_tags", "The models, as Ollama", kOllama, nullptr,
     ollama_tags_answer_shape, nullptr, nullptr},
    {"GET", "/api/ps", "ollama_ps", "The models in memory, as Ollama", kOllama, nullptr,
     ollama_ps_answer_shape, nullptr, nullptr},
    {"POST", "/api/show", "ollama_show", "A model, as Ollama", kOllama, ollama_show_request,
     ollama_show_answer_shape, nullptr, error_of<read_ollama_show>},
    {"GET", "/api/version", "ollama_version", "The server's version, as Ollama", kOllama, nullptr,
     ollama_version_answer_shape, nullptr, nullptr},
};

}  // namespace

std::span<const Endpoint> endpoints() noexcept { return kEndpoints; }

std::string error_body(Protocol protocol, const ApiError& error) {
  if (protocol == Protocol::kAnthropic) return anthropic_error_body(error);
  return protocol == Protocol::kOllama ? ollama_error_body(error) : openai_error_body(error);
}

const Shape& error_shape(Protocol protocol) {
  static const Shape openai = openai_error_shape();
  if (protocol == Protocol::kAnthropic) return anthropic_error_shape();
  return protocol == Protocol::kOllama ? ollama_error_shape() : openai;
}

}  // namespace paring::serve::wire
