// SPDX-License-Identifier: Apache-2.0
#include "wire_targets.h"

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"
#include "serve/wire/anthropic_messages.h"
#include "serve/wire/endpoints.h"
#include "serve/wire/ollama.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/openai_completions.h"
#include "serve/wire/openai_responses.h"
#include "serve/wire/pooling.h"

namespace paring::fuzz {
namespace {

namespace wire = serve::wire;
using Input = std::span<const std::byte>;

std::string_view text_of(Input input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

void check_json(const std::string& json) {
  PARING_CHECK(nlohmann::json::accept(json), "an answer is no JSON: " + json);
}

// An error that can be sent: of the client, with words.
void check_api_error(const serve::ApiError& error) {
  PARING_CHECK(error.status == 400 || error.status == 413, "not the client's fault");
  PARING_CHECK(!error.message.empty() && error.message.size() < 4096, "an error without words");
  for (const auto protocol :
       {wire::Protocol::kOpenAi, wire::Protocol::kAnthropic, wire::Protocol::kOllama}) {
    check_json(wire::error_body(protocol, error));
  }
}

// Every object of a stream: what follows "data: ", or a line.
void check_stream(const std::string& stream, bool has_events) {
  std::size_t begin = 0;
  while (begin < stream.size()) {
    const std::size_t end = stream.find('\n', begin);
    PARING_CHECK(end != std::string::npos, "a stream ends within a line");
    std::string line = stream.substr(begin, end - begin);
    begin = end + 1;
    if (has_events) {
      if (!line.starts_with("data: ") || line == "data: [DONE]") continue;
      line.erase(0, 6);
    }
    check_json(line);
  }
}

// The input itself is what the model says: bytes of all kinds.
void check_writers(const wire::GenerateCall& call, const std::string& said) {
  const serve::AnswerLabel label{said.substr(0, 16), call.request.model, "variant", 1};
  serve::AnswerDelta delta;
  delta.content = said;
  delta.reasoning = said;
  delta.tool_calls = {{0, "id", said, said}};
  delta.tokens = {{{1, said, -1}, {{1, said, -1}}}};
  const auto stream = call.writer(label);
  std::string bytes = stream->begin(1);
  bytes += stream->delta(0, delta);
  bytes += stream->end(0, {});
  bytes += stream->finish({});
  const bool has_events = std::string_view(stream->content_type(true)) == "text/event-stream";
  check_stream(bytes, has_events);
  check_stream(call.writer(label)->fail({500, said, said, said, {}}), has_events);
  serve::AnswerChoice choice;
  choice.content = said;
  choice.reasoning = said;
  choice.tool_calls = delta.tool_calls;
  choice.tokens = delta.tokens;
  check_json(call.writer(label)->whole({choice}, {}));
}

template <auto kRead>
void run_generate(Input input) {
  for (const bool is_strict : {true, false}) {
    auto call = kRead(text_of(input), {.is_strict = is_strict});
    if (!call) {
      check_api_error(call.error());
      continue;
    }
    const serve::GenerateRequest& request = call->request;
    // What only loads or unloads a model has no prompt.
    PARING_CHECK(request.prompts.empty() == (call->load_answer != nullptr) &&
                     request.prompts.size() <= wire::kPromptsMax,
                 "absurd prompts");
    PARING_CHECK(request.samples >= 1 && request.samples <= wire::kSamplesMax, "absurd samples");
    PARING_CHECK(request.prompts.size() * request.samples <= wire::kAnswersMax, "absurd answers");
    PARING_CHECK(request.stop.size() <= wire::kStopsMax, "absurd stops");
    if (call->load_answer == nullptr) {
      check_writers(*call, std::string(text_of(input)));
    } else {
      check_json(call->load_answer({}));
    }
  }
}

template <auto kRead>
void run_plain(Input input) {
  for (const bool is_strict : {true, false}) {
    auto call = kRead(text_of(input), {.is_strict = is_strict});
    if (!call) check_api_error(call.error());
  }
}

}  // namespace

void run_wire_openai_chat(Input input) { run_generate<wire::read_openai_chat>(input); }
void run_wire_openai_completions(Input input) {
  run_generate<wire::read_openai_completions>(input);
}
void run_wire_openai_responses(Input input) { run_generate<wire::read_openai_responses>(input); }

void run_wire_anthropic(Input input) {
  run_generate<wire::read_anthropic_messages>(input);
  run_plain<wire::read_anthropic_count>(input);
}

void run_wire_ollama(Input input) {
  run_generate<wire::read_ollama_chat>(input);
  run_generate<wire::read_ollama_generate>(input);
  run_plain<wire::read_ollama_embed>(input);
}

void run_wire_pooling(Input input) {
  run_plain<wire::read_openai_embeddings>(input);
  run_plain<wire::read_rerank>(input);
  run_plain<wire::read_score>(input);
  run_plain<wire::read_classify>(input);
  run_plain<wire::read_tokenize>(input);
  run_plain<wire::read_detokenize>(input);
}

}  // namespace paring::fuzz
