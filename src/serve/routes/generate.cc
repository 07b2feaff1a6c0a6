// SPDX-License-Identifier: Apache-2.0
// Routes that give text, one for each protocol. What differs between them is reading the request
// and writing the answer (wire/); between the two all take the same way.
#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "serve/cache/question.h"
#include "serve/captured_content.h"
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
constexpr const char* kPromptVersionHeader = "x-prompt-version";

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

// Ollama's keep_alive, of those who may say which models are in memory.
void keep(Server& server, const Call& call, const GenerateRequest& request) {
  if (!request.keep_alive_seconds || !call.principal.scopes.has(Scope::kAdmin)) return;
  server.models().set_idle(request.model, request.keep_alive_seconds);
}

// A client that only wants the model in memory, or out of it.
void load(Server& server, const Call& call, const wire::GenerateCall& asked) {
  const GenerateRequest& request = asked.request;
  const auto respond = [&server, call, asked](const std::string& variant) {
    const AnswerLabel label{.id = call.id,
                            .model = asked.request.model,
                            .variant = variant,
                            .created = static_cast<std::int64_t>(system_clock().wall_seconds())};
    server.respond(call, 200, asked.request.streams ? "application/x-ndjson" : "application/json",
                   asked.load_answer(label));
  };
  if (!asked.unloads()) {
    return server.with_model(call, request.model, 0,
                             [&server, call, asked, respond](const ModelUse& model) {
                               keep(server, call, asked.request);
                               respond(model.variant());
                             });
  }
  if (auto error = check_scope(call.principal, Scope::kAdmin)) return server.refuse(call, *error);
  const ApiResult<ModelStatus> status = server.models().status(request.model);
  if (!status) return server.refuse(call, status.error());
  server.models().set_idle(request.model, 0);
  respond("");
}

void answer(Server& server, const Call& call, wire::GenerateCall& asked, const ModelUse& model,
            double deadline) {
  constexpr double kSecondsMin = 0.001;
  GenerateRequest& request = asked.request;
  // What the model took to come is a part of the request's time.
  if (deadline > 0) {
    request.timeout_seconds = std::max(kSecondsMin, deadline - system_clock().monotonic_seconds());
  }
  keep(server, call, request);
  // The header serves protocols that have no field for it.
  const std::string* version = call.exchange->head().find(kPromptVersionHeader);
  call.record->set_prompt_version(version != nullptr ? *version : request.prompt_version);
  ApiResult<AnswerPlan> plan = prepare(request, model, server.options().limits, server.masks());
  if (!plan) return server.refuse(call, plan.error());
  if (server.semantic_cache() != nullptr) {
    plan->question = question_of(request);
  } else if (request.uses_semantic_cache.value_or(false)) {
    return server.refuse(call, bad_request("cache",
                                           "this server has no semantic cache; start it "
                                           "with --semantic-cache, or take \"exact\""));
  }
  const AnswerLabel label = Server::label(call, model, request.model);
  const monitor::ContentFilter* const filter = server.content_filter();
  if (filter != nullptr && filter->takes(call.id)) {
    // The last use of the prompt.
    call.record->set_content(std::make_shared<CapturedContent>(request, *model, filter->room()));
  }
  server.answer(call, model, std::move(*plan), asked.writer(label), request.streams);
}

void generate(Server& server, const Call& call, ApiResult<wire::GenerateCall> read) {
  if (!read) return server.refuse(call, read.error());
  const auto asked = std::make_shared<wire::GenerateCall>(std::move(*read));
  GenerateRequest& request = asked->request;
  if (asked->load_answer != nullptr) return load(server, call, *asked);
  if (!read_timeout(call.exchange->head(), request)) {
    return server.refuse(call, bad_request(kTimeoutHeader, "it takes a number of seconds"));
  }
  double deadline = 0;
  // A time that is out of bounds is refused with the rest of the request.
  if (request.timeout_seconds && *request.timeout_seconds > 0 &&
      *request.timeout_seconds <= server.options().limits.timeout_seconds_max) {
    deadline = system_clock().monotonic_seconds() + *request.timeout_seconds;
  }
  call.record->set_user(request.user);
  server.with_model(call, request.model, deadline,
                    [&server, call, asked, deadline](const ModelUse& model) {
                      answer(server, call, *asked, model, deadline);
                    });
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
