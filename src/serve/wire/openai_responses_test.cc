// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_responses.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

namespace paring::serve::wire {
namespace {

GenerateRequest read(const std::string& body) {
  auto call = read_openai_responses(body, {});
  if (call) return call->request;
  ADD_FAILURE() << body << ": " << call.error().param << ": " << call.error().message;
  return {};
}

const text::ChatInput& chat_of(const GenerateRequest& request) {
  return std::get<text::ChatInput>(request.prompts.at(0));
}

std::string param(const std::string& body) {
  const auto call = read_openai_responses(body, {});
  return call ? "taken" : call.error().param;
}

TEST(OpenAiResponses, ATextIsAMessageAfterTheInstructions) {
  const GenerateRequest request = read(R"({"input":"Hi","instructions":"Be brief."})");
  EXPECT_EQ(chat_of(request).messages, R"([{"role":"system","content":"Be brief."},)"
                                       R"({"role":"user","content":"Hi"}])");
  EXPECT_FALSE(request.logprobs || request.max_tokens);
}

TEST(OpenAiResponses, ItemsOfOneTurnAreOneMessage) {
  const GenerateRequest request =
      read(R"({"input":[{"role":"user","content":[{"type":"input_text","text":"q"}]},)"
           R"({"type":"reasoning","id":"r","summary":[],"content":[{"type":"reasoning_text",)"
           R"("text":"hm"}]},{"type":"message","id":"m","status":"completed","role":"assistant",)"
           R"("content":[{"type":"output_text","text":"I look.","annotations":[]}]},)"
           R"({"type":"function_call","id":"f","call_id":"c1","name":"f","arguments":"{\"x\":1}"},)"
           R"({"type":"function_call","call_id":"c2","name":"g","arguments":""},)"
           R"({"type":"function_call_output","call_id":"c1","output":"3"},)"
           R"({"type":"function_call_output","call_id":"c2","output":"4"}]})");
  EXPECT_EQ(chat_of(request).messages,
            R"([{"role":"user","content":"q"},{"role":"assistant","content":"I look.",)"
            R"("reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function","function":)"
            R"({"name":"f","arguments":{"x":1}}},{"id":"c2","type":"function","function":)"
            R"({"name":"g","arguments":{}}}]},{"role":"tool","tool_call_id":"c1","content":"3"},)"
            R"({"role":"tool","tool_call_id":"c2","content":"4"}])");
}

TEST(OpenAiResponses, OptionsAreRead) {
  const GenerateRequest request =
      read(R"({"input":"Hi","model":"m","max_output_tokens":5,"temperature":1.5,"top_p":0.5,)"
           R"("top_logprobs":2,"truncation":"auto","stream":true,"store":false,"user":"u",)"
           R"("text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}},)"
           R"("reasoning":{"effort":"none"},"tools":[{"type":"function","name":"f",)"
           R"("parameters":{"type":"object"},"strict":true},{"type":"function","name":"g"}],)"
           R"("tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function",)"
           R"("name":"f"}]},"parallel_tool_calls":false})");
  EXPECT_EQ(request.max_tokens, 5U);
  EXPECT_EQ(request.temperature, 1.5);
  EXPECT_EQ(request.logprobs, 2U);
  EXPECT_EQ(request.truncation, Truncation::kDropOldest);
  EXPECT_EQ(request.format.definition, R"({"type":"object"})");
  EXPECT_EQ(request.tools.choice, ToolUse::Choice::kRequired);
  EXPECT_FALSE(request.tools.is_parallel);
  EXPECT_EQ(request.tools.tools,
            R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"},)"
            R"("strict":true}}])");
  EXPECT_EQ(chat_of(request).variables, R"({"reasoning_effort":"none","enable_thinking":false})");
}

TEST(OpenAiResponses, StateIsRefusedInWords) {
  EXPECT_EQ(param(R"({"input":"a","previous_response_id":"r"})"), "previous_response_id");
  EXPECT_EQ(param(R"({"input":"a","conversation":"c"})"), "conversation");
  EXPECT_EQ(param(R"({"input":"a","store":true})"), "store");
  EXPECT_EQ(param(R"({"input":"a","background":true})"), "background");
  EXPECT_EQ(param(R"({"input":[{"type":"item_reference","id":"x"}]})"), "input[0].type");
  EXPECT_EQ(param(R"({"input":[{"type":"function_call","call_id":"c","name":"f",)"
                  R"("arguments":"[1]"}]})"),
            "input[0].arguments");
  EXPECT_EQ(param(R"({"input":"a","tools":[{"type":"web_search"}]})"), "tools[0].type");
}

}  // namespace
}  // namespace paring::serve::wire
