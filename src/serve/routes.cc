// SPDX-License-Identifier: Apache-2.0
// The one list of routes.
#include "serve/route.h"
#include "serve/routes/handlers.h"

namespace paring::serve {

namespace {

constexpr std::size_t kNoBody = 0;
constexpr std::size_t kTextBody = std::size_t{8} << 20;
constexpr std::size_t kFormBody = std::size_t{64} << 10;
constexpr std::optional<Scope> kAnybody = std::nullopt;
constexpr auto kWork = RoutePolicy::Takes::kWork;
constexpr auto kPacked = RoutePolicy::Takes::kPacked;
constexpr auto kTokens = RoutePolicy::Takes::kTokens;
constexpr RoutePolicy kTokenized{Scope::kInference, kTextBody, kTokens};
constexpr RoutePolicy kProbe{kAnybody, kNoBody, RoutePolicy::Takes::kNothing};

// The segments of a path, as HttpHead::segments has them.
std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

bool is_value(std::string_view segment) { return segment.starts_with('{'); }

// The segments of each route's path, in the order of routes().
const std::vector<std::vector<std::string_view>>& patterns() {
  static const std::vector<std::vector<std::string_view>> list = [] {
    std::vector<std::vector<std::string_view>> all;
    for (const Route& route : routes()) all.push_back(segments_of(route.path));
    return all;
  }();
  return list;
}

const std::vector<Route> kRoutes = {
    {"GET", "/", {kAnybody, kNoBody}, serve_page},
    {"GET", "/monitor", {kAnybody, kNoBody}, serve_monitor},
    {"GET", "/page/{file}", {kAnybody, kNoBody}, serve_page_file},
    {"GET", "/health", kProbe, serve_health},
    {"GET", "/livez", kProbe, serve_livez},
    {"GET", "/readyz", kProbe, serve_readyz},
    {"GET", "/metrics", {Scope::kMetrics, kNoBody}, serve_metrics},
    {"GET", "/openapi.json", {kAnybody, kNoBody}, serve_openapi},
    {"GET", "/v1/models", {Scope::kInference, kNoBody}, serve_models},
    {"GET", "/v1/models/{model}", {Scope::kInference, kNoBody}, serve_model},
    {"GET", "/v1/models/{model}/weights", {Scope::kInference, kNoBody}, serve_model_weights},
    {"POST", "/v1/models/load", {Scope::kAdmin, kTextBody}, serve_load_model},
    {"POST", "/v1/models/unload", {Scope::kAdmin, kTextBody}, serve_unload_model},
    {"POST", "/v1/chat/completions", {Scope::kInference, kTextBody, kWork}, serve_chat},
    {"POST", "/v1/completions", {Scope::kInference, kTextBody, kWork}, serve_completions},
    {"POST", "/v1/responses", {Scope::kInference, kTextBody, kWork}, serve_responses},
    {"POST", "/v1/messages", {Scope::kInference, kTextBody, kWork}, serve_anthropic_messages},
    {"POST", "/v1/messages/count_tokens", kTokenized, serve_anthropic_count},
    {"POST", "/v1/embeddings", {Scope::kEmbeddings, kTextBody, kWork}, serve_embeddings},
    {"POST", "/v1/rerank", {Scope::kEmbeddings, kTextBody, kWork}, serve_rerank},
    {"POST", "/v1/score", {Scope::kEmbeddings, kTextBody, kWork}, serve_score},
    {"POST", "/v1/classify", {Scope::kEmbeddings, kTextBody, kWork}, serve_classify},
    {"POST",
     "/v1/files",
     {Scope::kBatches, kFormBody, RoutePolicy::Takes::kFile},
     serve_file_create},
    {"GET", "/v1/files", {Scope::kBatches, kNoBody}, serve_file_list},
    {"GET", "/v1/files/{file_id}", {Scope::kBatches, kNoBody}, serve_file},
    {"DELETE", "/v1/files/{file_id}", {Scope::kBatches, kNoBody}, serve_file_delete},
    {"GET", "/v1/files/{file_id}/content", {Scope::kBatches, kNoBody}, serve_file_content},
    {"POST", "/v1/batches", {Scope::kBatches, kTextBody}, serve_batch_create},
    {"GET", "/v1/batches", {Scope::kBatches, kNoBody}, serve_batch_list},
    {"GET", "/v1/batches/{batch_id}", {Scope::kBatches, kNoBody}, serve_batch},
    {"POST", "/v1/batches/{batch_id}/cancel", {Scope::kBatches, kNoBody}, serve_batch_cancel},
    {"POST", "/v1/feedback", {Scope::kInference, kTextBody}, serve_feedback_create},
    {"GET", "/v1/feedback", {Scope::kInference, kNoBody}, serve_feedback_list},
    {"DELETE", "/v1/feedback/{feedback_id}", {Scope::kInference, kNoBody}, serve_feedback_delete},
    {"POST", "/v2/feedback", {Scope::kInference, kTextBody}, serve_orq_feedback},
    {"POST", "/v2/feedback/remove", {Scope::kInference, kTextBody}, serve_orq_remove},
    {"POST", "/api/public/scores", {Scope::kInference, kTextBody}, serve_langfuse_scores},
    {"POST", "/api/public/ingestion", {Scope::kInference, kTextBody}, serve_langfuse_ingestion},
    {"DELETE",
     "/api/public/scores/{score_id}",
     {Scope::kInference, kNoBody},
     serve_langfuse_delete},
    {"POST", "/v1/traces", {Scope::kInference, kTextBody, kPacked}, serve_otlp_traces},
    {"POST", "/v1/logs", {Scope::kInference, kTextBody, kPacked}, serve_otlp_logs},
    {"GET", "/v1/scores/agreement", {Scope::kInference, kNoBody}, serve_agreement},
    {"GET", "/v1/quality", {Scope::kMetrics, kNoBody}, serve_quality},
    {"GET", "/v1/roofline", {Scope::kMetrics, kNoBody}, serve_roofline},
    {"GET", "/v1/alerts", {Scope::kMetrics, kNoBody}, serve_alerts},
    {"POST", "/v1/alerts/{objective}/silence", {Scope::kAdmin, kTextBody}, serve_alert_silence},
    {"POST", "/v1/canaries", {Scope::kAdmin, kTextBody}, serve_canary_create},
    {"GET", "/v1/canaries", {Scope::kMetrics, kNoBody}, serve_canary_list},
    {"GET", "/v1/canaries/{canary_id}", {Scope::kMetrics, kNoBody}, serve_canary},
    {"POST", "/v1/canaries/{canary_id}/stop", {Scope::kAdmin, kNoBody}, serve_canary_stop},
    {"GET", "/v1/advice", {Scope::kAdmin, kNoBody}, serve_advice},
    {"GET", "/v1/advice/ledger", {Scope::kMetrics, kNoBody}, serve_advice_ledger},
    {"GET", "/v1/traffic", {Scope::kMetrics, kNoBody}, serve_traffic_list},
    {"GET", "/v1/traffic/summary", {Scope::kMetrics, kNoBody}, serve_traffic_summary},
    {"GET", "/v1/traffic/series", {Scope::kMetrics, kNoBody}, serve_traffic_series},
    {"GET", "/v1/traffic/users", {Scope::kMetrics, kNoBody}, serve_traffic_users},
    {"GET", "/v1/traffic/requests/{request_id}", {Scope::kMetrics, kNoBody}, serve_traffic_request},
    {"POST", "/tokenize", kTokenized, serve_tokenize},
    {"POST", "/detokenize", kTokenized, serve_detokenize},
    {"POST", "/api/chat", {Scope::kInference, kTextBody, kWork}, serve_ollama_chat},
    {"POST", "/api/generate", {Scope::kInference, kTextBody, kWork}, serve_ollama_generate},
    {"POST", "/api/embed", {Scope::kEmbeddings, kTextBody, kWork}, serve_ollama_embed},
    {"POST", "/api/embeddings", {Scope::kEmbeddings, kTextBody, kWork}, serve_ollama_embeddings},
    {"GET", "/api/tags", {Scope::kInference, kNoBody}, serve_ollama_tags},
    {"GET", "/api/ps", {Scope::kInference, kNoBody}, serve_ollama_ps},
    {"POST", "/api/show", {Scope::kInference, kTextBody}, serve_ollama_show},
    {"GET", "/api/version", {kAnybody, kNoBody}, serve_ollama_version},
};

}  // namespace

const std::vector<Route>& routes() { return kRoutes; }

wire::Protocol protocol_of(std::string_view path) noexcept {
  if (path.starts_with("/v1/messages")) return wire::Protocol::kAnthropic;
  if (path.starts_with("/api/") && !path.starts_with("/api/public/"))
    return wire::Protocol::kOllama;
  return wire::Protocol::kOpenAi;
}

RouteMatch match_route(std::string_view method, const std::vector<std::string>& segments) {
  RouteMatch match;
  for (std::size_t r = 0; r < routes().size(); ++r) {
    const Route& route = routes()[r];
    const std::vector<std::string_view>& pattern = patterns()[r];
    if (pattern.size() != segments.size()) continue;
    std::vector<std::string> values;
    bool is_same = true;
    for (std::size_t i = 0; i < pattern.size() && is_same; ++i) {
      if (is_value(pattern[i])) {
        values.push_back(segments[i]);
        is_same = !segments[i].empty();
      } else {
        is_same = pattern[i] == segments[i];
      }
    }
    if (!is_same) continue;
    // HEAD is GET without a body, which the HTTP server leaves out.
    if (method == route.method || (method == "HEAD" && std::string_view(route.method) == "GET")) {
      return {.route = &route, .values = std::move(values), .allowed = {}};
    }
    match.allowed += (match.allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  return match;
}

}  // namespace paring::serve
