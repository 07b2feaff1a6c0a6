// SPDX-License-Identifier: Apache-2.0
// Routes that give text, one for each protocol. What differs between them is reading the request
// and writing the answer (wire/); between the two all take the same way.
#include <charconv>

#include "serve/cache/question.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/anthropic_messages.h"
#include "serve/wire/ollama.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/openai_completions.h"
#include "serve/wire/openai_responses.h"

namespace paring::serve {

namespace {

// How long a client waits at most, whatever its protocol: answers end with an error then.
constexpr const char* kTimeoutHeader = "x-request-timeout";

// Takes the header into the request. False: it is no number.
bool read_timeout(const net::HttpHead& head, GenerateRequest& request) {
  const std::string* text = head.find(kTimeoutHeader);
  if (text == nullptr) return true;
  double seconds = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, seconds);
  request.timeout_seconds = seconds;
  return error == std::errc() && stop == end;
}

void generate(Server& server, const Call& call, ApiResult<wire::GenerateCall> read) {
  if (!read) return server.refuse(call, read.error());
  GenerateRequest& request = read->request;
  if (!read_timeout(call.exchange->head(), request)) {
    return server.refuse(call, bad_request(kTimeoutHeader, "it takes a number of seconds"));
  }
  auto model = server.models().find(request.model);
  if (!model) return server.refuse(call, model.error());
  ApiResult<AnswerPlan> plan = prepare(request, *model, server.options().limits, server.masks());
  if (!plan) return server.refuse(call, plan.error());
  if (server.semantic_cache() != nullptr) {
    plan->question = question_of(request);
  } else if (request.uses_semantic_cache.value_or(false)) {
    return server.refuse(call, bad_request("cache",
                                           "this server has no semantic cache; start it "
                                           "with --semantic-cache, or take \"exact\""));
  }
  const AnswerLabel label = Server::label(call, *model, request.model);
  server.answer(call, *model, std::move(*plan), read->writer(label), request.streams);
}

}  // namespace

void serve_chat(Server& server, const Call& call) {
  generate(server, call, wire::read_openai_chat(call.exchange->body(), server.rules()));
}

void serve_completions(Server& server, const Call& call) {
  generate(server, call, wire::read_openai_completions(call.exchange->body(), server.rules()));
}

void serve_responses(Server& server, const Call& call) {
  generate(server, call, wire::read_openai_responses(call.exchange->body(), server.rules()));
}

void serve_anthropic_messages(Server& server, const Call& call) {
  generate(server, call, wire::read_anthropic_messages(call.exchange->body(), server.rules()));
}

void serve_ollama_chat(Server& server, const Call& call) {
  generate(server, call, wire::read_ollama_chat(call.exchange->body(), server.rules()));
}

void serve_ollama_generate(Server& server, const Call& call) {
  generate(server, call, wire::read_ollama_generate(call.exchange->body(), server.rules()));
}

}  // namespace paring::serve
