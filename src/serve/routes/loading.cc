// SPDX-License-Identifier: Apache-2.0
// Models that come and go on request. Only the scope admin gets here: a source is any file that
// this process can read.
#include <limits>
#include <utility>

#include "base/log.h"
#include "hub/model_source.h"
#include "serve/routes/handlers.h"
#include "serve/routes/model_cards.h"
#include "serve/server.h"
#include "serve/wire/model_admin.h"

namespace paring::serve {

namespace {

// For operators: the whole text, paths as well.
ApiError told(const Error& error, const char* param) {
  ApiError told = api_error(error, param);
  told.message = error.text();
  if (told.status >= 500) told.status = 400;  // the source is wrong, not the server
  told.retry_after_seconds.reset();
  return told;
}

ApiResult<ModelSource> source_of(const wire::LoadCall& call, const ServedModelOptions& defaults) {
  ModelSource source;
  source.name = call.model;
  source.options = defaults;
  source.is_configured = false;
  auto path = hub::find_model(call.source);
  if (!path) return told(path.error(), "source");
  source.path = std::move(*path);
  for (const wire::LoadCall::Adapter& adapter : call.adapters) {
    auto file = hub::find_adapter(adapter.source);
    if (!file) return told(file.error(), "lora");
    source.options.adapters.push_back({adapter.name, *file, static_cast<float>(adapter.scale)});
  }
  source.options.context_tokens = call.context_tokens.value_or(defaults.context_tokens);
  source.options.cache_tokens = call.cache_tokens.value_or(defaults.cache_tokens);
  source.idle_seconds = call.idle_seconds;
  return source;
}

// What only a new model can have.
std::optional<ApiError> check_known(const wire::LoadCall& call) {
  const char* const param = call.context_tokens      ? "context_tokens"
                            : call.cache_tokens      ? "cache_tokens"
                            : !call.adapters.empty() ? "lora"
                                                     : nullptr;
  if (param == nullptr) return std::nullopt;
  return bad_request(param, std::string(param) + " is of a new model, and there is no source");
}

// Makes a new model known, or finds one that is. Whether it is new.
ApiResult<bool> know(Server& server, const wire::LoadCall& call) {
  ModelRegistry& models = server.models();
  if (call.source.empty()) {
    const auto known = models.status(call.model);
    if (!known) return known.error();
    if (auto error = check_known(call)) return *error;
    if (call.idle_seconds) {
      // 0 is never here, and at once there.
      models.set_idle(call.model, *call.idle_seconds > 0 ? *call.idle_seconds : -1);
    }
    return false;
  }
  if (models.status(call.model)) {
    return ApiError{.status = 409,
                    .code = "model_exists",
                    .message =
                        "a model or adapter of this name is known; unload it first, or "
                        "load it without a source",
                    .param = "model"};
  }
  ApiResult<ModelSource> source = source_of(call, server.options().model);
  if (!source) return source.error();
  const Result<void> added = models.add(*source);
  if (!added) return told(added.error(), "model");
  return true;
}

// Into the audit log. What cannot be written there has happened all the same.
void note(Server& server, const Call& call, const char* action, const std::string& model,
          const std::string& detail) {
  const Result<void> noted = server.audit(call, action, model, detail);
  if (!noted) log_error(noted.error().text());
}

void respond_with_card(Server& server, const Call& call, int status, const std::string& name) {
  auto known = server.models().status(name);
  if (!known) return server.refuse(call, known.error());
  server.respond(call, status, "application/json",
                 wire::openai_model_answer(cards_of(*known).front()));
}

}  // namespace

void serve_load_model(Server& server, const Call& call) {
  ApiResult<wire::LoadCall> read = wire::read_load(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  ApiResult<bool> is_new = know(server, *read);
  if (!is_new) return server.refuse(call, is_new.error());
  note(server, call, "model.load", read->model, read->source);
  ModelWish wish{.name = read->model, .is_operators = true};
  const std::string name = read->model;
  if (!read->waits) {
    wish.deadline = std::numeric_limits<double>::infinity();  // nobody waits here
    server.models().acquire(wish, [](const ApiResult<ModelUse>&) {});
    return respond_with_card(server, call, 202, name);
  }
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  wish.cancelled = cancelled;
  call.exchange->on_gone([cancelled] { cancelled->store(true); });
  server.models().acquire(wish,
                          [&server, call, name, forgets = *is_new](const ApiResult<ModelUse>& use) {
                            if (use) return respond_with_card(server, call, 200, name);
                            // What came with this request goes with it.
                            if (forgets) server.models().unload(name, true, [](const auto&) {});
                            server.refuse(call, use.error());
                          });
}

void serve_unload_model(Server& server, const Call& call) {
  ApiResult<wire::UnloadCall> read = wire::read_unload(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  ModelRegistry& models = server.models();
  auto known = models.status(read->model);
  if (!known) return server.refuse(call, known.error());
  const bool forgets = !known->source.is_configured;
  const std::string name = read->model;
  const auto tell = [&server, call, name](int status, const char* state) {
    server.respond(call, status, "application/json", wire::unload_answer(name, state));
  };
  const auto refused =
      models.unload(name, forgets, [&server, call, tell, waits = read->waits](const auto& error) {
        if (!waits) return;
        if (error) return server.refuse(call, *error);
        tell(200, "unloaded");
      });
  if (refused) return server.refuse(call, *refused);
  note(server, call, "model.unload", name, "");
  if (!read->waits) tell(202, "unloading");
}

}  // namespace paring::serve
