// SPDX-License-Identifier: Apache-2.0
// Answers in every protocol, byte for byte as in tests/data/wire, which tests/test_wire.py gives to
// the official clients. With PARING_RENEW_GOLDEN=1 the files are written instead.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "serve/wire/anthropic_messages.h"
#include "serve/wire/detail/shape_check.h"
#include "serve/wire/endpoints.h"
#include "serve/wire/model_admin.h"
#include "serve/wire/model_card.h"
#include "serve/wire/ollama.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/openai_completions.h"
#include "serve/wire/openai_responses.h"
#include "serve/wire/pooling.h"

namespace paring::serve::wire {
namespace {

const std::string kFolder = PARING_SOURCE_DIR "/tests/data/wire/";

void expect_golden(const std::string& name, const std::string& bytes) {
  const std::string path = kFolder + name;
  if (std::getenv("PARING_RENEW_GOLDEN") != nullptr) {
    std::filesystem::create_directories(kFolder);
    std::ofstream(path, std::ios::binary) << bytes;
    return;
  }
  std::ifstream file(path, std::ios::binary);
  ASSERT_TRUE(file) << path << " is missing: run with PARING_RENEW_GOLDEN=1";
  const std::string golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes, golden) << name << " changed: look at it, then run with PARING_RENEW_GOLDEN=1";
}

void expect_shape(const std::string& json, const Shape& shape) {
  const Json value = Json::parse(json);
  const auto error = check_shape(value, shape, {});
  EXPECT_FALSE(error) << error->message << " in " << json;
}

// A whole answer: golden, and as it is declared.
void expect_whole(const std::string& name, const std::string& json, const Shape& shape) {
  expect_golden(name, json);
  expect_shape(json, shape);
}

AnswerLabel label() { return {"0123456789abcdef", "smollm2", "5eed", 1763799000}; }

AnswerUsage usage() {
  AnswerUsage usage;
  usage.prompt_tokens = 20;
  usage.cached_tokens = 16;
  usage.completion_tokens = 8;
  usage.reasoning_tokens = 3;
  usage.queue_seconds = 0.25;
  usage.prefill_seconds = 0.5;
  usage.decode_seconds = 2;
  return usage;
}

// Line ends of Unicode among it, at which careless clients cut lines.
const std::vector<std::string> kPieces = {"Hello", " \"w\xc3\xb6rld\"\xe2\x80\xa8", "\n\xc2\x85\t",
                                          "\xf0\x9f\x98\x80 \\done\x01"};
std::string text_of_pieces() {
  std::string text;
  for (const std::string& piece : kPieces) text += piece;
  return text;
}

const std::vector<ToolCallDelta> kCalls = {{0, "call_a", "get_weather", ""},
                                           {0, "", "", "{\"city\":"},
                                           {0, "", "", " \"Bern\"}"},
                                           {1, "call_b", "get_time", ""},
                                           {1, "", "", "{}"}};

TokenDetail token(const char* bytes, float logprob) {
  return {{1, bytes, logprob}, {{1, bytes, logprob}, {2, " other", -2.5F}}};
}

AnswerEnding ending(AnswerEnd end) {
  AnswerEnding result;
  result.end = end;
  if (end == AnswerEnd::kStopString) result.stop_string = "END";
  return result;
}

AnswerDelta said(const std::string& content) {
  AnswerDelta delta;
  delta.content = content;
  return delta;
}

AnswerDelta thought(const std::string& reasoning) {
  AnswerDelta delta;
  delta.reasoning = reasoning;
  return delta;
}

std::string text_stream(AnswerWriter& writer, AnswerEnd end) {
  std::string out = writer.begin(1);
  for (const std::string& piece : kPieces) out += writer.delta(0, said(piece));
  out += writer.end(0, ending(end));
  return out + writer.finish(usage());
}

// Thoughts, a text, then two calls.
std::string call_stream(AnswerWriter& writer) {
  std::string out = writer.begin(1);
  out += writer.delta(0, thought("Let me"));
  out += writer.delta(0, thought(" think."));
  out += writer.delta(0, said("I look it up."));
  for (const ToolCallDelta& call : kCalls) {
    AnswerDelta delta;
    delta.tool_calls = {call};
    out += writer.delta(0, delta);
  }
  out += writer.end(0, ending(AnswerEnd::kToolCalls));
  return out + writer.finish(usage());
}

std::string failed_stream(AnswerWriter& writer) {
  std::string out = writer.begin(1);
  out += writer.delta(0, said("Hel"));
  return out + writer.fail({503, "server_is_overloaded", "the server is going down", "", 1.0});
}

AnswerChoice text_choice(AnswerEnd end) {
  AnswerChoice choice;
  choice.content = text_of_pieces();
  choice.ending = ending(end);
  return choice;
}

AnswerChoice call_choice() {
  AnswerChoice choice;
  choice.reasoning = "Let me think.";
  choice.content = "I look it up.";
  choice.tool_calls = {{0, "call_a", "get_weather", "{\"city\": \"Bern\"}"},
                       {1, "call_b", "get_time", "{}"}};
  choice.ending.end = AnswerEnd::kToolCalls;
  return choice;
}

using Reader = ApiResult<GenerateCall> (*)(std::string_view, const WireRules&);

std::unique_ptr<AnswerWriter> writer_of(Reader read, const std::string& body) {
  auto call = read(body, {});
  if (call) return call->writer(label());
  ADD_FAILURE() << call.error().message;
  return nullptr;
}

const std::string kChat = R"({"model":"smollm2","messages":[{"role":"user","content":"Hi"}])";

TEST(Golden, OpenAiChat) {
  expect_golden("chat_text.sse",
                text_stream(*writer_of(read_openai_chat, kChat + "}"), AnswerEnd::kStop));
  expect_golden("chat_calls.sse", call_stream(*writer_of(read_openai_chat, kChat + "}")));
  expect_golden("chat_error.sse", failed_stream(*writer_of(read_openai_chat, kChat + "}")));
  const std::string options = R"(,"n":2,"logprobs":true,"top_logprobs":2,"stream_options":)"
                              R"({"include_usage":true}})";
  auto writer = writer_of(read_openai_chat, kChat + options);
  std::string stream = writer->begin(2);
  AnswerDelta delta = said("Hi");
  delta.tokens = {token("Hi", -0.25F)};
  stream += writer->delta(1, delta);
  stream += writer->end(1, ending(AnswerEnd::kLength));
  delta = said("\xc3\xa9");
  delta.tokens = {token("\xc3", -0.5F), token("\xa9", 0)};
  stream += writer->delta(0, delta);
  stream += writer->end(0, ending(AnswerEnd::kStop));
  stream += writer->finish(usage());
  expect_golden("chat_two_usage.sse", stream);

  expect_whole(
      "chat_text.json",
      writer_of(read_openai_chat, kChat + "}")->whole({text_choice(AnswerEnd::kStop)}, usage()),
      openai_chat_answer());
  expect_whole("chat_calls.json",
               writer_of(read_openai_chat, kChat + "}")->whole({call_choice()}, usage()),
               openai_chat_answer());
  AnswerChoice choice = text_choice(AnswerEnd::kLength);
  choice.tokens = {token("Hello", -0.25F), token("\xc3", -std::numeric_limits<float>::infinity())};
  expect_whole("chat_logprobs.json",
               writer_of(read_openai_chat, kChat + options)->whole({choice, choice}, usage()),
               openai_chat_answer());
  choice = call_choice();
  choice.tool_calls.pop_back();
  const std::string functions = R"(,"functions":[{"name":"get_weather"}]})";
  expect_whole("chat_function.json",
               writer_of(read_openai_chat, kChat + functions)->whole({choice}, usage()),
               openai_chat_answer());
}

TEST(Golden, OpenAiCompletions) {
  const std::string body = R"({"model":"smollm2","prompt":"Hi")";
  expect_golden("completions_text.sse", text_stream(*writer_of(read_openai_completions, body + "}"),
                                                    AnswerEnd::kStopString));
  expect_golden("completions_error.sse",
                failed_stream(*writer_of(read_openai_completions, body + "}")));
  auto writer =
      writer_of(read_openai_completions, body + R"(,"logprobs":2,"echo":true,"stream_options":)"
                                                R"({"include_usage":true}})");
  AnswerDelta first = said("Hi");
  first.tokens = {token("Hi", std::nanf(""))};
  AnswerDelta second = said(" \xc3\xa9!");
  second.tokens = {token(" \xc3", -0.5F), token("\xa9", -0.25F), token("!", -1)};
  std::string stream = writer->begin(1);
  stream += writer->delta(0, first);
  stream += writer->delta(0, second);
  stream += writer->end(0, ending(AnswerEnd::kLength));
  stream += writer->finish(usage());
  expect_golden("completions_logprobs.sse", stream);
  AnswerChoice choice;
  choice.content = "Hi \xc3\xa9!";
  choice.tokens = first.tokens;
  choice.tokens.insert(choice.tokens.end(), second.tokens.begin(), second.tokens.end());
  choice.ending.end = AnswerEnd::kLength;
  const std::string json =
      writer_of(read_openai_completions, body + R"(,"logprobs":2,"echo":true})")
          ->whole({choice}, usage());
  expect_whole("completions_logprobs.json", json, openai_completions_answer());
  const Json logprobs = Json::parse(json)["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["text_offset"].dump(), "[0,2,4,4]");
  EXPECT_EQ(logprobs["tokens"][1], "bytes:\\x20\\xc3");
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["top_logprobs"][3]["!"], -1);
  EXPECT_EQ(logprobs["top_logprobs"][3].size(), 2U);
}

// Events must be numbered from 0 without a gap.
void expect_numbered(const std::string& stream) {
  std::size_t at = 0;
  std::size_t expected = 0;
  const std::string mark = "\"sequence_number\":";
  while ((at = stream.find(mark, at)) != std::string::npos) {
    at += mark.size();
    const std::string number = std::to_string(expected++);
    EXPECT_EQ(stream.substr(at, number.size()), number);
  }
  EXPECT_GT(expected, 3U);
}

TEST(Golden, OpenAiResponses) {
  const std::string body = R"({"model":"smollm2","input":"Hi","instructions":"Be \"kind\".")";
  const std::string calls = call_stream(*writer_of(read_openai_responses, body + "}"));
  expect_golden("responses_calls.sse", calls);
  expect_numbered(calls);
  expect_golden("responses_text.sse",
                text_stream(*writer_of(read_openai_responses, body + "}"), AnswerEnd::kStop));
  expect_golden("responses_cut.sse",
                text_stream(*writer_of(read_openai_responses, body + "}"), AnswerEnd::kLength));
  const std::string failed = failed_stream(*writer_of(read_openai_responses, body + "}"));
  expect_golden("responses_error.sse", failed);
  expect_numbered(failed);
  const std::string options =
      R"(,"include":["message.output_text.logprobs"],"top_logprobs":2,"temperature":0.5,)"
      R"("tools":[{"type":"function","name":"get_weather","parameters":{},"strict":true}],)"
      R"("tool_choice":{"type":"function","name":"get_weather"},"metadata":{"a":"b"}})";
  AnswerChoice choice = text_choice(AnswerEnd::kStop);
  choice.tokens = {token("Hello", -0.25F)};
  expect_whole("responses_text.json",
               writer_of(read_openai_responses, body + options)->whole({choice}, usage()),
               openai_responses_answer());
  expect_whole("responses_calls.json",
               writer_of(read_openai_responses, body + "}")->whole({call_choice()}, usage()),
               openai_responses_answer());
}

TEST(Golden, AnthropicMessages) {
  const std::string body =
      R"({"model":"smollm2","max_tokens":64,"messages":[{"role":"user","content":"Hi"}]})";
  expect_golden("messages_text.sse",
                text_stream(*writer_of(read_anthropic_messages, body), AnswerEnd::kStopString));
  expect_golden("messages_calls.sse", call_stream(*writer_of(read_anthropic_messages, body)));
  expect_golden("messages_error.sse", failed_stream(*writer_of(read_anthropic_messages, body)));
  expect_whole("messages_text.json",
               writer_of(read_anthropic_messages, body)
                   ->whole({text_choice(AnswerEnd::kStopString)}, usage()),
               anthropic_messages_answer());
  expect_whole("messages_calls.json",
               writer_of(read_anthropic_messages, body)->whole({call_choice()}, usage()),
               anthropic_messages_answer());
  expect_whole("messages_count.json", anthropic_count_answer(20), anthropic_count_answer_shape());
}

TEST(Golden, Ollama) {
  const std::string chat = R"({"model":"smollm2","messages":[{"role":"user","content":"Hi"}]})";
  const std::string prompt = R"({"model":"smollm2","prompt":"Hi"})";
  expect_golden("ollama_chat_text.ndjson",
                text_stream(*writer_of(read_ollama_chat, chat), AnswerEnd::kLength));
  expect_golden("ollama_chat_calls.ndjson", call_stream(*writer_of(read_ollama_chat, chat)));
  expect_golden("ollama_chat_error.ndjson", failed_stream(*writer_of(read_ollama_chat, chat)));
  expect_golden("ollama_generate_text.ndjson",
                text_stream(*writer_of(read_ollama_generate, prompt), AnswerEnd::kStop));
  expect_whole("ollama_chat_calls.json",
               writer_of(read_ollama_chat, chat)->whole({call_choice()}, usage()),
               ollama_chat_answer());
  expect_whole(
      "ollama_generate_text.json",
      writer_of(read_ollama_generate, prompt)->whole({text_choice(AnswerEnd::kStop)}, usage()),
      ollama_generate_answer());
}

TEST(Golden, Errors) {
  const ApiError error{400, "decimal_above_max_value", "top_p is 3, it must be \"less\"", "top_p",
                       std::nullopt};
  expect_whole("error_openai.json", openai_error_body(error), error_shape(Protocol::kOpenAi));
  expect_whole("error_anthropic.json", anthropic_error_body(error),
               error_shape(Protocol::kAnthropic));
  expect_whole("error_ollama.json", ollama_error_body(error), error_shape(Protocol::kOllama));
}

TEST(Golden, Pooling) {
  const std::vector<std::vector<float>> vectors = {{0.5F, -0.25F, 1e-7F}, {1.0F, 0.0F, -1.0F}};
  auto call = read_openai_embeddings(R"({"input":["a","b"]})", {});
  ASSERT_TRUE(call);
  expect_whole("embeddings.json", openai_embeddings_answer(*call, label(), vectors, usage()),
               openai_embeddings_answer_shape());
  call->is_base64 = true;
  expect_whole("embeddings_base64.json", openai_embeddings_answer(*call, label(), vectors, usage()),
               openai_embeddings_answer_shape());
  expect_whole("ollama_embed.json", ollama_embed_answer(label(), vectors, usage()),
               ollama_embed_answer_shape());
  auto rerank = read_rerank(R"({"query":"q","documents":["a",{"text":"b"},"c"],"top_n":2,)"
                            R"("return_documents":true})",
                            {});
  ASSERT_TRUE(rerank);
  expect_whole("rerank.json",
               rerank_answer(*rerank, label(), std::vector<double>{0.25, 0.75, 0.5}, usage()),
               rerank_answer_shape());
  expect_whole("score.json", score_answer(label(), std::vector<double>{0.25, -3}, usage()),
               score_answer_shape());
  expect_whole("classify.json",
               classify_answer(label(), std::vector<Classified>{{"good", {0.75, 0.25}}}, usage()),
               classify_answer_shape());
  auto tokenize = read_tokenize(R"({"prompt":"a","return_token_strs":true})", {});
  ASSERT_TRUE(tokenize);
  expect_whole("tokenize.json",
               tokenize_answer(*tokenize, std::vector<std::int32_t>{1, 2},
                               std::vector<std::string>{"a", "\xc3"}, 2048),
               tokenize_answer_shape());
  expect_whole("detokenize.json", detokenize_answer("a\"b"), detokenize_answer_shape());
}

TEST(Golden, Models) {
  ModelCard model;
  model.id = "smollm2";
  model.created = 1763799000;
  model.variant = "5eed";
  model.certificate = R"({"version":1})";
  model.architecture = "llama";
  model.weight_type = "Q4_1";
  model.weights_sha256 = "abcd";
  model.chat_template = "{{ messages }}";
  model.parameters = 134515008;
  model.file_bytes = 98000000;
  model.context_tokens = 8192;
  model.embedding_width = 576;
  model.capabilities = {"completion"};
  ModelCard adapter = model;
  adapter.id = "smollm2:poet";
  adapter.base = "smollm2";
  adapter.certificate.clear();
  const std::vector<ModelCard> models = {model, adapter};
  expect_whole("models.json", openai_models_answer(models), openai_models_answer_shape());
  expect_whole("model.json", openai_model_answer(model), openai_model_answer_shape());
  expect_whole("ollama_tags.json", ollama_tags_answer(models), ollama_tags_answer_shape());
  expect_whole("ollama_show.json", ollama_show_answer(model), ollama_show_answer_shape());
  ModelCard known;  // and not in memory
  known.id = "later";
  known.state = "unloaded";
  expect_whole("model_unloaded.json", openai_model_answer(known), openai_model_answer_shape());
  expect_whole("model_unload.json", unload_answer("smollm2", "unloading"), unload_answer_shape());
  model.memory_bytes = 150000000;
  model.expires_at = "2026-01-02T03:04:05Z";
  expect_whole("ollama_ps.json", ollama_ps_answer(std::vector<ModelCard>{model, adapter}),
               ollama_ps_answer_shape());
  expect_whole("ollama_version.json", ollama_version_answer("0.1.0"),
               ollama_version_answer_shape());
}

}  // namespace
}  // namespace paring::serve::wire
