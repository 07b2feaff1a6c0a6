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

TEST(PassedContent, WhatIsNoneIsRefused) {
  EXPECT_FALSE(read("no JSON", R"({"choices":[{"text":"x"}]})"));
  EXPECT_FALSE(read(R"({"input":"x"})", R"({"choices":[{"text":"x"}]})"));
  EXPECT_FALSE(read(kChat, ""));
  EXPECT_FALSE(read(kChat, R"({"error":{"message":"no"}})"));
  EXPECT_FALSE(read(kChat, R"({"choices":"x"})"));
  EXPECT_FALSE(read(kChat, R"([1,2])"));
  EXPECT_TRUE(has_passed_content("/v1/chat/completions"));
  EXPECT_FALSE(has_passed_content("/v1/embeddings"));
}

}  // namespace
}  // namespace paring::serve
