// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/anthropic_messages.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace paring::serve::wire {
namespace {

constexpr const char* kHello =
    R"("model":"m","max_tokens":9,"messages":[{"role":"user","content":"q"}])";

GenerateRequest read(const std::string& body) {
  auto call = read_anthropic_messages(body, {});
  if (call) return call->request;
  ADD_FAILURE() << body << ": " << call.error().param << ": " << call.error().message;
  return {};
}

const text::ChatInput& chat_of(const GenerateRequest& request) {
  return std::get<text::ChatInput>(request.prompts.at(0));
}

std::string param(const std::string& fields) {
  const auto call = read_anthropic_messages(std::string("{") + kHello + fields + "}", {});
  return call ? "taken" : call.error().param;
}

TEST(AnthropicMessages, BlocksComeInTheWordsOfTemplates) {
  const GenerateRequest request = read(
      R"({"model":"m","max_tokens":9,"system":[{"type":"text","text":"a"},{"type":"text",)"
      R"("text":"b","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user",)"
      R"("content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm",)"
      R"("signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"text",)"
      R"("text":"I look."},)"
      R"({"type":"tool_use","id":"u1","name":"f","input":{"x":1}}]},{"role":"user","content":[)"
      R"({"type":"tool_result","tool_use_id":"u1","content":[{"type":"text","text":"3"}]},)"
      R"({"type":"text","text":"go on"}]}]})");
  EXPECT_EQ(chat_of(request).messages,
            R"([{"role":"system","content":"a\nb"},{"role":"user","content":"q"},)"
            R"({"role":"assistant","content":"I look.","reasoning_content":"hm","tool_calls":[)"
            R"({"id":"u1","type":"function","function":{"name":"f","arguments":{"x":1}}}]},)"
            R"({"role":"tool","tool_call_id":"u1","content":"3"},)"
            R"({"role":"user","content":"go on"}])");
}

TEST(AnthropicMessages, AResultAloneAddsNoEmptyMessage) {
  const GenerateRequest request = read(
      R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result",)"
      R"("tool_use_id":"u","is_error":true}]}]})");
  EXPECT_EQ(chat_of(request).messages,
            R"([{"role":"tool","tool_call_id":"u","content":"","is_error":true}])");
}

TEST(AnthropicMessages, OptionsAreRead) {
  const GenerateRequest request =
      read(std::string("{") + kHello +
           R"(,"stop_sequences":["x"],"temperature":1,"top_p":0.5,"top_k":3,"stream":true,)"
           R"("metadata":{"user_id":"u"},"thinking":{"type":"enabled","budget_tokens":2048},)"
           R"("tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],)"
           R"("tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},)"
           R"("output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}}})");
  EXPECT_EQ(request.max_tokens, 9U);
  EXPECT_EQ(request.stop.at(0), "x");
  EXPECT_EQ(request.top_k, 3U);
  EXPECT_TRUE(request.streams);
  EXPECT_EQ(request.user, "u");
  EXPECT_EQ(chat_of(request).variables,
            R"({"enable_thinking":true,"thinking_budget":2048,"reasoning_effort":"low"})");
  EXPECT_EQ(request.tools.tools, R"([{"type":"function","function":{"name":"f","description":"d",)"
                                 R"("parameters":{"type":"object"}}}])");
  EXPECT_EQ(request.tools.choice, ToolUse::Choice::kNamed);
  EXPECT_FALSE(request.tools.is_parallel);
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kJsonSchema);
}

TEST(AnthropicMessages, WhatCannotBeDoneIsRefused) {
  EXPECT_EQ(param(R"(,"temperature":1.5)"), "temperature");
  EXPECT_EQ(param(R"(,"tool_choice":{"type":"any"})"), "tool_choice");
  EXPECT_EQ(param(R"(,"tools":[{"type":"web_search_20250305","name":"web_search",)"
                  R"("input_schema":{}}])"),
            "tools[0].type");
  EXPECT_EQ(param(R"(,"container":"c")"), "container");
  const auto image = read_anthropic_messages(
      R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image",)"
      R"("source":{}}]}]})",
      {});
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().param, "messages[0].content[0].type");
  EXPECT_NE(image.error().message.find("text only"), std::string::npos);
}

TEST(AnthropicMessages, CountsTakeNoMaxTokens) {
  auto count =
      read_anthropic_count(R"({"model":"m","messages":[{"role":"user","content":"q"}]})", {});
  ASSERT_TRUE(count);
  EXPECT_EQ(count->model, "m");
  EXPECT_FALSE(read_anthropic_count(std::string("{") + kHello + "}", {}));
}

}  // namespace
}  // namespace paring::serve::wire
