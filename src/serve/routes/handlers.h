// SPDX-License-Identifier: Apache-2.0
// The functions behind routes, by file. Each answers its call, now or later.
#pragma once

#include "serve/route.h"

namespace paring::serve {

// page.cc
void serve_page(Server& server, const Call& call);
void serve_monitor(Server& server, const Call& call);
void serve_page_file(Server& server, const Call& call);
// health.cc
void serve_health(Server& server, const Call& call);
void serve_livez(Server& server, const Call& call);
void serve_readyz(Server& server, const Call& call);
// metrics.cc
void serve_metrics(Server& server, const Call& call);
// alerts.cc
void serve_alerts(Server& server, const Call& call);
void serve_alert_silence(Server& server, const Call& call);
// models.cc
void serve_models(Server& server, const Call& call);
void serve_model(Server& server, const Call& call);
void serve_openapi(Server& server, const Call& call);
void serve_ollama_tags(Server& server, const Call& call);
void serve_ollama_ps(Server& server, const Call& call);
void serve_ollama_show(Server& server, const Call& call);
void serve_ollama_version(Server& server, const Call& call);
// loading.cc
void serve_load_model(Server& server, const Call& call);
void serve_unload_model(Server& server, const Call& call);
// generate.cc
void serve_chat(Server& server, const Call& call);
void serve_completions(Server& server, const Call& call);
void serve_responses(Server& server, const Call& call);
void serve_anthropic_messages(Server& server, const Call& call);
void serve_ollama_chat(Server& server, const Call& call);
void serve_ollama_generate(Server& server, const Call& call);
// encode.cc
void serve_embeddings(Server& server, const Call& call);
void serve_ollama_embed(Server& server, const Call& call);
void serve_ollama_embeddings(Server& server, const Call& call);
void serve_rerank(Server& server, const Call& call);
void serve_score(Server& server, const Call& call);
void serve_classify(Server& server, const Call& call);
// files.cc
void serve_file_create(Server& server, const Call& call);
void serve_orq_feedback(Server& server, const Call& call);
void serve_orq_remove(Server& server, const Call& call);
void serve_langfuse_scores(Server& server, const Call& call);
void serve_langfuse_ingestion(Server& server, const Call& call);
void serve_langfuse_delete(Server& server, const Call& call);
void serve_otlp_traces(Server& server, const Call& call);
void serve_otlp_logs(Server& server, const Call& call);
void serve_agreement(Server& server, const Call& call);
void serve_quality(Server& server, const Call& call);
void serve_roofline(Server& server, const Call& call);
void serve_traffic_list(Server& server, const Call& call);
void serve_traffic_summary(Server& server, const Call& call);
void serve_traffic_series(Server& server, const Call& call);
void serve_traffic_users(Server& server, const Call& call);
void serve_model_weights(Server& server, const Call& call);
void serve_traffic_request(Server& server, const Call& call);
void serve_feedback_create(Server& server, const Call& call);
void serve_feedback_list(Server& server, const Call& call);
void serve_feedback_delete(Server& server, const Call& call);
void serve_file_list(Server& server, const Call& call);
void serve_file(Server& server, const Call& call);
void serve_file_delete(Server& server, const Call& call);
void serve_file_content(Server& server, const Call& call);
// batches.cc
void serve_batch_create(Server& server, const Call& call);
void serve_batch_list(Server& server, const Call& call);
void serve_batch(Server& server, const Call& call);
void serve_batch_cancel(Server& server, const Call& call);
// advice.cc
void serve_advice(Server& server, const Call& call);
// canaries.cc
void serve_canary_create(Server& server, const Call& call);
void serve_canary_list(Server& server, const Call& call);
void serve_canary(Server& server, const Call& call);
void serve_canary_stop(Server& server, const Call& call);
void serve_advice_ledger(Server& server, const Call& call);
// tokens.cc
void serve_tokenize(Server& server, const Call& call);
void serve_detokenize(Server& server, const Call& call);
void serve_anthropic_count(Server& server, const Call& call);

}  // namespace paring::serve
