// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/passed_content.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

namespace paring::serve {
namespace {

std::optional<std::pair<std::string, std::string>> read(std::string body, std::string answer) {
  store::TrafficContent content{std::move(body), std::move(answer)};
  if (!read_passed(content)) return std::nullopt;
  return std::pair(content.prompt, content.answer);
}

constexpr const char* kChat = R"({"model":"m","messages":[{"role":"user","content":"Hi"}]})";
constexpr const char* kMessages = R"([{"role":"user","content":"Hi"}])";

TEST(PassedContent, WholeAnswers) {
  const auto chat = read(kChat, R"({"choices":[{"index":1,"message":{"content":"no"}},
      {"index":0,"message":{"role":"assistant","content":"Yes","reasoning_content":"Hm"}}]})");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->first, kMessages);
  EXPECT_EQ(chat->second, R"({"role":"assistant","content":"Yes","reasoning_content":"Hm"})");
  const auto text = read(R"({"prompt":["Say","x"]})", R"({"choices":[{"text":" it"}]})");
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, std::pair(std::string("\"Say\""), std::string("\" it\"")));
}

TEST(PassedContent, StreamsArePutTogether) {
  const auto chat = read(
      kChat,
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Ye\"}}]}\r\n\r\n"
      ": a comment\n\ndata: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"s\",\"tool_calls\":[{\"index\":0,"
      "\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":"
      "{\"arguments\":\":1}\"}}]}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->second,
            R"({"role":"assistant","content":"Yes","tool_calls":[{"id":"c","type":"function",)"
            R"("function":{"name":"f","arguments":"{\"a\":1}"}}]})");
}

constexpr const char* kAnthropic =
    R"({"model":"c","system":[{"type":"text","text":"Be "},{"type":"text","text":"brief"}],
        "messages":[{"role":"user","content":"Hi"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"Hm"},
            {"type":"text","text":"I look"},
            {"type":"tool_use","id":"t1","name":"find","input":{"a":1}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"found"},
            {"type":"text","text":"And?"}]},
          {"role":"user","content":[{"type":"image","source":{"data":"x"}}]}]})";
constexpr const char* kAnthropicPrompt =
    R"([{"role":"system","content":"Be brief"},{"role":"user","content":"Hi"},)"
    R"({"role":"assistant","content":"I look","reasoning_content":"Hm","tool_calls":[{"id":"t1",)"
    R"("type":"function","function":{"name":"find","arguments":"{\"a\":1}"}}]},)"
    R"({"role":"tool","tool_call_id":"t1","content":"found"},{"role":"user","content":"And?"},)"
    R"({"role":"user","content":[{"type":"image","source":{"data":"x"}}]}])";
constexpr const char* kAnthropicAnswer =
    R"({"role":"assistant","content":"Yes","reasoning_content":"Well","tool_calls":[{"id":"t2",)"
    R"("type":"function","function":{"name":"f","arguments":"{\"b\":[2]}"}}]})";

TEST(PassedContent, AnthropicsMessagesAreThoseOfOpenAi) {
  const auto whole = read(kAnthropic, R"({"type":"message","role":"assistant","content":[
      {"type":"thinking","thinking":"Well"},{"type":"text","text":"Yes"},
      {"type":"tool_use","id":"t2","name":"f","input":{"b":[2]}}],"stop_reason":"tool_use"})");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->first, kAnthropicPrompt);
  EXPECT_EQ(whole->second, kAnthropicAnswer);
  const auto simple = read(kChat, R"({"type":"message","content":[{"type":"text","text":"Y"}]})");
  ASSERT_TRUE(simple);
  EXPECT_EQ(simple->first, kMessages);
  EXPECT_EQ(simple->second, R"({"role":"assistant","content":"Y"})");
}

TEST(PassedContent, AnthropicsStreamsArePutTogether) {
  const char* const kEvents[] = {
      R"({"type":"message_start","message":{"content":[],"usage":{"input_tokens":3}}})",
      R"({"type":"content_block_start","index":0,)"
      R"("content_block":{"type":"thinking","thinking":""}})",
      R"({"type":"content_block_delta","index":0,)"
      R"("delta":{"type":"thinking_delta","thinking":"Well"}})",
      R"({"type":"content_block_stop","index":0})",
      R"({"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})",
      R"({"type":"ping"})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Ye"}})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"s"}})",
      R"({"type":"content_block_start","index":2,)"
      R"("content_block":{"type":"tool_use","id":"t2","name":"f","input":{}}})",
      R"({"type":"content_block_delta","index":2,)"
      R"("delta":{"type":"input_json_delta","partial_json":"{\"b\""}})",
      R"({"type":"content_block_delta","index":2,)"
      R"("delta":{"type":"input_json_delta","partial_json":":[2]}"}})",
      R"({"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"none"}})",
      R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}})",
      R"({"type":"message_stop"})"};
  std::string stream;
  for (const char* event : kEvents) {
    stream += std::string("event: x\ndata: ") + event + "\n\n";
  }
  const auto read_back = read(kAnthropic, stream);
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->first, kAnthropicPrompt);
  EXPECT_EQ(read_back->second, kAnthropicAnswer);
}

TEST(PassedContent, WhatIsNoneIsRefused) {
  EXPECT_FALSE(read("no JSON", R"({"choices":[{"text":"x"}]})"));
  EXPECT_FALSE(read(R"({"input":"x"})", R"({"choices":[{"text":"x"}]})"));
  EXPECT_FALSE(read(kChat, ""));
  EXPECT_FALSE(read(kChat, R"({"error":{"message":"no"}})"));
  EXPECT_FALSE(read(kChat, R"({"choices":"x"})"));
  EXPECT_FALSE(read(kChat, R"([1,2])"));
  EXPECT_FALSE(read(kChat, R"({"type":"error","error":{"type":"overloaded_error"}})"));
  EXPECT_TRUE(read(kChat, R"({"type":"message","content":"x"})"));
  EXPECT_TRUE(read(R"({"messages":7,"system":7})", R"({"type":"message","content":[7,{}]})"));
  EXPECT_TRUE(has_passed_content("/v1/messages"));
  EXPECT_FALSE(has_passed_content("/v1/messages/count_tokens"));
  EXPECT_TRUE(has_passed_content("/v1/chat/completions"));
  EXPECT_FALSE(has_passed_content("/v1/embeddings"));
}

}  // namespace
}  // namespace paring::serve
