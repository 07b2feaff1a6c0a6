// SPDX-License-Identifier: Apache-2.0
// Text to tokens and back, and how many tokens a request would have.
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/anthropic_messages.h"
#include "serve/wire/pooling.h"

namespace paring::serve {

namespace {

// No model computes here, but a processor does: what a key may ask for in a minute holds here too.
// Empty: refused, and answered.
std::shared_ptr<Ticket> admit(Server& server, const Call& call, const ModelUse& model) {
  auto ticket = server.admit(call, *model, 0, 0);
  if (ticket) return std::move(*ticket);
  server.refuse(call, ticket.error());
  return nullptr;
}

}  // namespace

void serve_tokenize(Server& server, const Call& call) {
  ApiResult<wire::TokenizeCall> read = wire::read_tokenize(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  server.with_model(call, read->model, 0, [&server, call, asked = *read](const ModelUse& model) {
    const std::shared_ptr<Ticket> ticket = admit(server, call, model);
    if (ticket == nullptr) return;
    const text::Tokenizer& tokenizer = model->tokenizer();
    const auto* text = std::get_if<std::string>(&asked.prompt);
    const auto tokens =
        text != nullptr
            ? tokenizer.encode(*text, {.add_special = asked.adds_special, .parse_special = false})
            : model->encode_chat(std::get<text::ChatInput>(asked.prompt));
    if (!tokens) return server.refuse(call, api_error(tokens.error(), "prompt"));
    std::vector<std::string> texts;
    if (asked.returns_texts) {
      for (const std::int32_t token : *tokens) texts.emplace_back(tokenizer.token_bytes(token));
    }
    ticket->settle({});
    server.respond(call, 200, "application/json",
                   wire::tokenize_answer(asked, *tokens, texts, model->context_tokens()));
  });
}

void serve_detokenize(Server& server, const Call& call) {
  ApiResult<wire::DetokenizeCall> read =
      wire::read_detokenize(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  server.with_model(call, read->model, 0, [&server, call, asked = *read](const ModelUse& model) {
    const std::shared_ptr<Ticket> ticket = admit(server, call, model);
    if (ticket == nullptr) return;
    const auto text = model->tokenizer().decode(asked.tokens, {.skip_special = false});
    if (!text) return server.refuse(call, api_error(text.error(), "tokens"));
    ticket->settle({});
    server.respond(call, 200, "application/json", wire::detokenize_answer(*text));
  });
}

void serve_anthropic_count(Server& server, const Call& call) {
  ApiResult<GenerateRequest> read =
      wire::read_anthropic_count(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  server.with_model(call, read->model, 0, [&server, call, asked = *read](const ModelUse& model) {
    const std::shared_ptr<Ticket> ticket = admit(server, call, model);
    if (ticket == nullptr) return;
    const auto tokens = model->encode_chat(std::get<text::ChatInput>(asked.prompts.front()));
    if (!tokens) return server.refuse(call, api_error(tokens.error(), "messages"));
    ticket->settle({});
    server.respond(call, 200, "application/json", wire::anthropic_count_answer(tokens->size()));
  });
}

}  // namespace paring::serve
