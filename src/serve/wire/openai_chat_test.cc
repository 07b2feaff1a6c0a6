// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_chat.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kHello = R"("messages":[{"role":"user","content":"Hi"}])";

std::string with(const std::string& fields) {
  return std::string("{") + kHello + (fields.empty() ? "" : "," + fields) + "}";
}

GenerateCall read(const std::string& body, bool is_strict = true) {
  auto call = read_openai_chat(body, {.is_strict = is_strict});
  if (call) return std::move(*call);
  ADD_FAILURE() << body << ": " << call.error().param << ": " << call.error().message;
  return {};
}

ApiError refused_for(const std::string& body) {
  const auto call = read_openai_chat(body, {});
  if (!call) return call.error();
  ADD_FAILURE() << "taken: " << body;
  return {};
}

Json messages_of(const GenerateCall& call) {
  return Json::parse(std::get<text::ChatInput>(call.request.prompts.at(0)).messages);
}

Json variables_of(const GenerateCall& call) {
  return Json::parse(std::get<text::ChatInput>(call.request.prompts.at(0)).variables);
}

TEST(OpenAiChat, WhatIsAbsentStaysAbsent) {
  const GenerateCall call = read(with(""));
  const GenerateRequest& request = call.request;
  EXPECT_EQ(request.model, "");
  EXPECT_FALSE(request.temperature || request.top_p || request.top_k || request.seed);
  EXPECT_FALSE(request.max_tokens || request.logprobs || request.uses_cache);
  EXPECT_EQ(request.samples, 1U);
  EXPECT_FALSE(request.streams);
  EXPECT_EQ(messages_of(call).dump(), R"([{"role":"user","content":"Hi"}])");
}

TEST(OpenAiChat, NullIsAbsent) {
  const GenerateCall call =
      read(with(R"("temperature":null,"tools":null,"tool_choice":null,"audio":null,"stop":null)"));
  EXPECT_FALSE(call.request.temperature);
  EXPECT_TRUE(call.request.tools.tools.empty());
}

TEST(OpenAiChat, EveryFieldOfSamplingIsRead) {
  const GenerateCall call = read(with(
      R"("model":"m","temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":-1,"seed":-1,"n":3,)"
      R"("repetition_penalty":1.1,"frequency_penalty":-2,"presence_penalty":2,"stop":["a","b"],)"
      R"("logit_bias":{"7":-100},"max_completion_tokens":9,"logprobs":true,"top_logprobs":5,)"
      R"("ignore_eos":true,"priority":3,"truncation":"auto","user":"u","stream":true,)"
      R"("stream_options":{"include_usage":true},"cache":{"mode":"none"})"));
  const GenerateRequest& request = call.request;
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.temperature, 0.5);
  EXPECT_EQ(request.top_p, 0.9);
  EXPECT_EQ(request.min_p, 0.1);
  EXPECT_EQ(request.top_k, 0U);
  EXPECT_EQ(request.seed, 0xffffffffffffffffU);
  EXPECT_EQ(request.samples, 3U);
  EXPECT_EQ(request.repetition_penalty, 1.1);
  EXPECT_EQ(request.frequency_penalty, -2);
  EXPECT_EQ(request.presence_penalty, 2);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(request.logit_bias.size(), 1U);
  EXPECT_EQ(request.logit_bias[0].token, 7);
  EXPECT_EQ(request.logit_bias[0].bias, -100);
  EXPECT_EQ(request.max_tokens, 9U);
  EXPECT_EQ(request.logprobs, 5U);
  EXPECT_TRUE(request.ignores_end && request.streams && request.includes_usage);
  EXPECT_EQ(request.priority, -1);
  EXPECT_EQ(request.truncation, Truncation::kDropOldest);
  EXPECT_EQ(request.uses_cache, false);
  EXPECT_EQ(request.user, "u");
}

TEST(OpenAiChat, FormatsNeverGetLost) {
  using Kind = OutputFormat::Kind;
  const auto format = [](const std::string& fields) { return read(with(fields)).request.format; };
  EXPECT_EQ(format(R"("response_format":{"type":"text"})").kind, Kind::kText);
  EXPECT_EQ(format(R"("response_format":{"type":"json_object"})").kind, Kind::kJsonObject);
  const OutputFormat schema =
      format(R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)"
             R"("schema":{"type":"object","b":1,"a":2}}})");
  EXPECT_EQ(schema.kind, Kind::kJsonSchema);
  EXPECT_EQ(schema.definition, R"({"type":"object","b":1,"a":2})");
  EXPECT_EQ(format(R"("guided_json":"{\"type\":\"null\"}")").definition, R"({"type":"null"})");
  EXPECT_EQ(refused_for(with(R"("guided_json":"{\"a\":")")).param, "guided_json.a");
  EXPECT_EQ(refused_for(with(R"("structured_outputs":{"json":"[]"})")).param,
            "structured_outputs.json");
  EXPECT_EQ(format(R"("guided_regex":"a+")").definition, "a+");
  EXPECT_EQ(format(R"("guided_grammar":"start: \"a\"")").kind, Kind::kGrammar);
  EXPECT_EQ(format(R"("structured_outputs":{"choice":["x","y"]})").choices.size(), 2U);
  EXPECT_EQ(refused_for(with(R"("guided_regex":"a","structured_outputs":{"json":{}})")).param,
            "structured_outputs");
  EXPECT_EQ(
      refused_for(with(R"("response_format":{"type":"json_schema","json_schema":{"name":"n"}})"))
          .param,
      "response_format.json_schema.schema");
  EXPECT_EQ(refused_for(with(R"("response_format":{"type":"xml"})")).param, "response_format.type");
}

TEST(OpenAiChat, MessagesComeInTheWordsOfTemplates) {
  const GenerateCall call =
      read(R"({"messages":[{"role":"developer","content":[{"type":"text","text":"a"},)"
           R"({"type":"text","text":"b"}]},{"role":"user","content":"q","name":"Ann"},)"
           R"({"role":"assistant","content":null,"refusal":null,"reasoning":"why","tool_calls":[)"
           R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},)"
           R"({"role":"tool","tool_call_id":"c1","content":"3"},)"
           R"({"role":"assistant","function_call":{"name":"g","arguments":""}},)"
           R"({"role":"function","name":"g","content":"4"}]})");
  EXPECT_EQ(
      messages_of(call).dump(),
      R"([{"role":"system","content":"a\nb"},{"role":"user","content":"q","name":"Ann"},)"
      R"({"role":"assistant","content":"","reasoning_content":"why","tool_calls":[{"id":"c1",)"
      R"("type":"function","function":{"name":"f","arguments":{"x":1}}}]},)"
      R"({"role":"tool","content":"3","tool_call_id":"c1"},)"
      R"({"role":"assistant","content":"","tool_calls":[{"type":"function",)"
      R"("function":{"name":"g","arguments":{}}}]},{"role":"tool","content":"4","name":"g"}])");
}

TEST(OpenAiChat, ErrorsNameTheField) {
  const auto param = [](const std::string& body) { return refused_for(body).param; };
  EXPECT_EQ(param("{}"), "messages");
  EXPECT_EQ(param(R"({"messages":[]})"), "messages");
  EXPECT_EQ(param(R"({"messages":[{"content":"x"}]})"), "messages[0].role");
  EXPECT_EQ(param(R"({"messages":[{"role":"user"}]})"), "messages[0].content");
  EXPECT_EQ(param(R"({"messages":[{"role":"user","content":[{"type":"image_url",)"
                  R"("image_url":{"url":"x"}}]}]})"),
            "messages[0].content[0].type");
  EXPECT_EQ(param(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant",)"
                  R"("tool_calls":[{"function":{"name":"f","arguments":"{no"}}]}]})"),
            "messages[1].tool_calls[0].function.arguments");
  EXPECT_EQ(param(with(R"("temperature":2.5)")), "temperature");
  EXPECT_EQ(param(with(R"("temprature":1)")), "temprature");
  EXPECT_EQ(param(with(R"("logit_bias":{"x":1})")), "logit_bias.x");
  EXPECT_EQ(param(with(R"("logit_bias":{"1":101})")), "logit_bias.1");
  EXPECT_EQ(param(with(R"("audio":{})")), "audio");
  EXPECT_EQ(param(with(R"("n":1,"n":2)")), "n");
  EXPECT_EQ(param(with(R"("stop":["a",""])")), "stop[1]");
  EXPECT_EQ(param(with(R"("stop":"\ud800")")), "stop");
  EXPECT_EQ(param(with(R"("max_tokens":1,"max_completion_tokens":2)")), "max_tokens");
  EXPECT_EQ(param(with(R"("top_logprobs":1)")), "top_logprobs");
  EXPECT_EQ(param(with(R"("store":true)")), "store");
}

TEST(OpenAiChat, ErrorsTellValueAndLimits) {
  const ApiError error = refused_for(with(R"("temperature":2.5)"));
  EXPECT_EQ(error.message, "temperature is 2.5, it must be a number from 0 to 2");
  EXPECT_EQ(error.code, "decimal_above_max_value");
  EXPECT_EQ(refused_for(with(R"("n":129)")).message,
            "n is 129, it must be an integer from 1 to 128");
  EXPECT_EQ(refused_for(with(R"("foo":1)")).code, "unknown_parameter");
}

TEST(OpenAiChat, UnknownFieldsAreLeftOutOfAccountWhenTheOperatorSaysSo) {
  const GenerateCall call = read(with(R"("temprature":1,"min_tokens":null,"x":{"y":[]})"), false);
  EXPECT_FALSE(call.request.temperature);
  // In messages they are for the template.
  const GenerateCall message =
      read(R"({"messages":[{"role":"user","content":"a","mood":"good"}]})", false);
  EXPECT_EQ(messages_of(message)[0]["mood"], "good");
}

TEST(OpenAiChat, ToolsAndChoices) {
  const std::string tools =
      R"("tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":true}},)"
      R"({"type":"function","function":{"name":"g"}}])";
  using Choice = ToolUse::Choice;
  GenerateCall call = read(with(tools));
  EXPECT_EQ(call.request.tools.choice, Choice::kAuto);
  EXPECT_TRUE(call.request.tools.is_parallel);
  EXPECT_EQ(Json::parse(call.request.tools.tools).size(), 2U);
  EXPECT_EQ(std::get<text::ChatInput>(call.request.prompts[0]).tools, call.request.tools.tools);
  call = read(with(tools + R"(,"tool_choice":{"type":"function","function":{"name":"g"}},)"
                           R"("parallel_tool_calls":false)"));
  EXPECT_EQ(call.request.tools.choice, Choice::kNamed);
  EXPECT_EQ(call.request.tools.name, "g");
  EXPECT_FALSE(call.request.tools.is_parallel);
  call =
      read(with(tools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":)"
                        R"("required","tools":[{"type":"function","function":{"name":"g"}}]}})"));
  EXPECT_EQ(call.request.tools.choice, Choice::kRequired);
  EXPECT_EQ(Json::parse(call.request.tools.tools).size(), 1U);
  call = read(with(R"("functions":[{"name":"h"}],"function_call":{"name":"h"})"));
  EXPECT_EQ(call.request.tools.choice, Choice::kNamed);
  EXPECT_EQ(Json::parse(call.request.tools.tools)[0]["function"]["name"], "h");
  EXPECT_EQ(refused_for(with(R"("tool_choice":"required")")).param, "tool_choice");
  EXPECT_EQ(refused_for(with(tools + R"(,"tool_choice":{"type":"function","function":)"
                                     R"({"name":"x"}})"))
                .param,
            "tool_choice");
  EXPECT_EQ(refused_for(with(R"("tools":[{"type":"web_search"}])")).param, "tools[0].type");
}

TEST(OpenAiChat, TheTemplateGetsItsVariables) {
  EXPECT_EQ(variables_of(read(with(R"("reasoning_effort":"none")"))).dump(),
            R"({"reasoning_effort":"none","enable_thinking":false})");
  EXPECT_EQ(variables_of(read(with(R"("reasoning_effort":"low","chat_template_kwargs":)"
                                   R"({"enable_thinking":false,"a":[1]})")))
                .dump(),
            R"({"reasoning_effort":"low","enable_thinking":false,"a":[1]})");
}

AnswerLabel label() { return {"7", "m\"x", "v1", 1700000000}; }

AnswerUsage usage() {
  AnswerUsage usage;
  usage.prompt_tokens = 10;
  usage.cached_tokens = 6;
  usage.completion_tokens = 3;
  usage.prefill_seconds = 0.5;
  usage.decode_seconds = 0.25;
  return usage;
}

// The objects of a stream; the last must be [DONE] or an error.
std::vector<Json> chunks_of(const std::string& stream) {
  std::vector<Json> chunks;
  std::size_t at = 0;
  while (at < stream.size()) {
    EXPECT_EQ(stream.compare(at, 6, "data: "), 0);
    const std::size_t end = stream.find("\n\n", at);
    if (end == std::string::npos) break;
    const std::string data = stream.substr(at + 6, end - at - 6);
    at = end + 2;
    if (data == "[DONE]") {
      EXPECT_EQ(at, stream.size());
      break;
    }
    chunks.push_back(Json::parse(data));
    if (chunks.back().contains("error")) continue;
    const auto error = check_shape(chunks.back(), openai_chat_chunk(), {});
    EXPECT_FALSE(error) << error->message << " in " << data;
  }
  return chunks;
}

TEST(OpenAiChat, AStreamBeginsWithTheRoleAndEndsWithReasonAndTimings) {
  auto writer = read(with(R"("stream":true)")).writer(label());
  AnswerDelta delta;
  delta.content = "Hello \"you\"\n";
  std::string stream = writer->begin(1);
  stream += writer->delta(0, delta);
  stream += writer->end(0, {});
  stream += writer->finish(usage());
  const std::vector<Json> chunks = chunks_of(stream);
  ASSERT_EQ(chunks.size(), 3U);
  EXPECT_EQ(chunks[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[1]["choices"][0]["delta"]["content"], "Hello \"you\"\n");
  EXPECT_TRUE(chunks[1]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(chunks[2]["timings"]["prompt_n"], 4);
  EXPECT_EQ(chunks[2]["timings"]["predicted_per_second"], 12.0);
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], "chatcmpl-7");
    EXPECT_EQ(chunk["model"], "m\"x");
    EXPECT_EQ(chunk["system_fingerprint"], "v1");
    EXPECT_FALSE(chunk.contains("usage"));
  }
  EXPECT_EQ(stream.substr(stream.size() - 14), "data: [DONE]\n\n");
}

TEST(OpenAiChat, UsageComesInAChunkWithoutChoices) {
  auto writer =
      read(with(R"("stream":true,"stream_options":{"include_usage":true})")).writer(label());
  std::string stream = writer->begin(2);
  stream += writer->end(1, {AnswerEnd::kLength, "", {}});
  stream += writer->end(0, {});
  stream += writer->finish(usage());
  const std::vector<Json> chunks = chunks_of(stream);
  ASSERT_EQ(chunks.size(), 5U);
  EXPECT_TRUE(chunks[0]["usage"].is_null());
  EXPECT_EQ(chunks[2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(chunks[2]["choices"][0]["index"], 1);
  EXPECT_EQ(chunks[4]["choices"], Json::array());
  EXPECT_EQ(chunks[4]["usage"]["total_tokens"], 13);
  EXPECT_EQ(chunks[4]["usage"]["prompt_tokens_details"]["cached_tokens"], 6);
  EXPECT_TRUE(chunks[4].contains("timings"));
}

TEST(OpenAiChat, CallsAndLogprobsStream) {
  auto writer = read(with("")).writer(label());
  AnswerDelta delta;
  delta.tool_calls = {{0, "c", "f", ""}, {0, "", "", "{\"a\""}};
  delta.tokens = {{{5, "\xc3", -0.5F}, {{5, "\xc3", -0.5F}, {6, "x", -1.0F}}}};
  const std::vector<Json> chunks = chunks_of(writer->delta(0, delta));
  ASSERT_EQ(chunks.size(), 1U);
  const Json& choice = chunks[0]["choices"][0];
  EXPECT_EQ(choice["delta"]["tool_calls"][0]["id"], "c");
  EXPECT_EQ(choice["delta"]["tool_calls"][0]["type"], "function");
  EXPECT_FALSE(choice["delta"]["tool_calls"][1].contains("id"));
  EXPECT_EQ(choice["logprobs"]["content"][0]["bytes"].dump(), "[195]");
  EXPECT_EQ(choice["logprobs"]["content"][0]["token"], "\xef\xbf\xbd");
  EXPECT_EQ(choice["logprobs"]["content"][0]["top_logprobs"].size(), 2U);
}

TEST(OpenAiChat, NothingComesAfterAnError) {
  auto writer = read(with("")).writer(label());
  writer->begin(1);
  const std::string error = writer->fail({503, "server_is_overloaded", "going down", "", {}});
  EXPECT_EQ(chunks_of(error)[0]["error"]["type"], "service_unavailable_error");
  EXPECT_EQ(writer->delta(0, {"x", "", {}, {}}), "");
  EXPECT_EQ(writer->end(0, {}), "");
  EXPECT_EQ(writer->finish({}), "");
  auto failing = read(with("")).writer(label());
  AnswerEnding ending;
  ending.error = ApiError{500, "", "broken", "", {}};
  EXPECT_EQ(chunks_of(failing->end(0, ending))[0]["error"]["message"], "broken");
  EXPECT_EQ(failing->finish({}), "");
}

TEST(OpenAiChat, AWholeAnswer) {
  auto writer = read(with(R"("logprobs":true)")).writer(label());
  AnswerChoice choice;
  choice.reasoning = "hm";
  choice.tool_calls = {{0, "c", "f", "{}"}};
  choice.ending.end = AnswerEnd::kToolCalls;
  AnswerChoice plain;
  plain.content = "text";
  const Json answer = Json::parse(writer->whole({choice, plain}, usage()));
  const auto error = check_shape(answer, openai_chat_answer(), {});
  EXPECT_FALSE(error) << error->message;
  EXPECT_TRUE(answer["choices"][0]["message"]["content"].is_null());
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(answer["choices"][0]["message"]["reasoning_content"], "hm");
  EXPECT_EQ(answer["choices"][1]["message"]["content"], "text");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 3);
}

TEST(OpenAiChat, OldFunctionsAnswerInTheirOldForm) {
  auto writer = read(with(R"("functions":[{"name":"f"}])")).writer(label());
  AnswerChoice choice;
  choice.tool_calls = {{0, "c", "f", "{}"}};
  choice.ending.end = AnswerEnd::kToolCalls;
  const Json answer = Json::parse(writer->whole({choice}, usage()));
  EXPECT_EQ(answer["choices"][0]["message"]["function_call"]["name"], "f");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "function_call");
}

}  // namespace
}  // namespace paring::serve::wire
