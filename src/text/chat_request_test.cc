// SPDX-License-Identifier: Apache-2.0
#include "text/chat_request.h"

#include <gtest/gtest.h>

#include <vector>

namespace paring::text {
namespace {

ChatInput read(const ChatInput& given) {
  const auto chat = read_chat(given);
  EXPECT_TRUE(chat) << chat.error().text();
  return chat ? *chat : ChatInput{};
}

void expect_error(const ChatInput& given, ErrorCode code, const std::string& part) {
  const auto chat = read_chat(given);
  ASSERT_FALSE(chat) << given.messages;
  EXPECT_EQ(chat.error().code, code) << chat.error().text();
  EXPECT_NE(chat.error().message.find(part), std::string::npos) << chat.error().text();
}

TEST(ChatRequest, WhatTemplatesTakeIsLeftAsItIs) {
  const ChatInput given{R"([{"role":"user","content":"a","name":"n","z":1.5,"b":[true,null]}])",
                        R"([{"type":"function","function":{"name":"f"}}])", R"({"x":false})"};
  const ChatInput chat = read(given);
  EXPECT_EQ(chat.messages, given.messages);
  EXPECT_EQ(chat.tools, given.tools);
  EXPECT_EQ(chat.variables, given.variables);
}

TEST(ChatRequest, WhatIsNoJsonIsNamedWithLineAndColumn) {
  const ChatNames names{"--messages 'a.json'", "--tools 'b.json'", "variables"};
  const auto messages = read_chat({"[\n {\"role\": \"user\",}\n]", "", ""}, names);
  ASSERT_FALSE(messages);
  EXPECT_NE(messages.error().message.find("--messages 'a.json': not JSON, line 2, column 18"),
            std::string::npos)
      << messages.error().text();
  const auto tools = read_chat({R"([{"role":"user","content":"a"}])", "[1]", ""}, names);
  ASSERT_FALSE(tools);
  EXPECT_TRUE(tools.error().message.starts_with("--tools 'b.json': tools[0]"))
      << tools.error().text();
  const auto empty = read_chat({" ", "", ""}, names);
  ASSERT_FALSE(empty);
  EXPECT_NE(empty.error().message.find("it is empty"), std::string::npos);
}

TEST(ChatRequest, ARequestHoldsAllParts) {
  const ChatInput chat = read({R"({"tools":[{"type":"function","function":{"name":"f"}}],)"
                               R"("messages":[{"role":"user","content":"a"}],)"
                               R"("chat_template_kwargs":{"enable_thinking":false}})",
                               "", ""});
  EXPECT_EQ(chat.messages, R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(chat.tools, R"([{"type":"function","function":{"name":"f"}}])");
  EXPECT_EQ(chat.variables, R"({"enable_thinking":false})");
}

TEST(ChatRequest, OpenAiShapesBecomeThoseOfTemplates) {
  EXPECT_EQ(read({R"([{"role":"assistant","content":null,"tool_calls":[{"function":)"
                  R"({"name":"f","arguments":"{\"b\": 1, \"a\": \"x\"}"}},)"
                  R"({"function":{"name":"g","arguments":""}},{"function":{"name":"h"}}]}])",
                  "[]", ""})
                .messages,
            R"([{"role":"assistant","content":"","tool_calls":[{"function":)"
            R"({"name":"f","arguments":{"b":1,"a":"x"}}},)"
            R"({"function":{"name":"g","arguments":{}}},)"
            R"({"function":{"name":"h","arguments":{}}}]}])");
  EXPECT_EQ(read({R"([{"role":"user","content":[{"type":"text","text":"a"},)"
                  R"({"type":"text","text":"b"}],"tool_calls":null}])",
                  "", ""})
                .messages,
            R"([{"role":"user","content":"a\nb"}])");
  EXPECT_EQ(read({R"([{"role":"user","content":"a"}])", "[]", ""}).tools, "");
}

TEST(ChatRequest, SaysWhatIsWrongAndWhere) {
  using enum ErrorCode;
  const std::string good = R"([{"role":"user","content":"a"}])";
  expect_error({"", "", ""}, kInvalidArgument, "not JSON");
  expect_error({"[]", "", ""}, kInvalidArgument, "at least one");
  expect_error({"3", "", ""}, kInvalidArgument, "at least one");
  expect_error({"{}", "", ""}, kInvalidArgument, "no messages");
  expect_error({"[1]", "", ""}, kInvalidArgument, "messages[0]");
  expect_error({R"([{"content":"a"}])", "", ""}, kInvalidArgument, "messages[0] has no role");
  expect_error({R"([{"role":1}])", "", ""}, kInvalidArgument, "no role");
  expect_error({R"([{"role":"user","content":5}])", "", ""}, kInvalidArgument, "content is 5");
  expect_error({R"([{"role":"user","content":[{"type":"image_url"}]}])", "", ""}, kUnsupported,
               "image_url");
  expect_error({R"([{"role":"user","content":[{"type":"text"}]}])", "", ""}, kInvalidArgument,
               "without text");
  expect_error({R"([{"role":"user","tool_calls":{}}])", "", ""}, kInvalidArgument, "not a list");
  expect_error({R"([{"role":"user","tool_calls":[{"name":"f"}]}])", "", ""}, kInvalidArgument,
               "messages[0].tool_calls[0]");
  expect_error(
      {R"([{"role":"user","tool_calls":[{"function":{"name":"f","arguments":"[1]"}}]}])", "", ""},
      kInvalidArgument, "arguments is \"[1]\"");
  expect_error({R"({"messages":[{"role":"user"}],"model":"m"})", "", ""}, kInvalidArgument,
               "\"model\"");
  expect_error({R"({"messages":[{"role":"user"}],"tools":[]})", "[]", ""}, kInvalidArgument,
               "twice");
  expect_error({good, "{}", ""}, kInvalidArgument, "not a list");
  expect_error({good, R"([{"name":"f"}])", ""}, kInvalidArgument, "tools[0]");
  expect_error({good, "", "[]"}, kInvalidArgument, "not an object");
  expect_error({"[{\"role\":\"user\",\"content\":\"\xFF\"}]", "", ""}, kInvalidArgument, "UTF-8");
  expect_error({std::string(200, '['), "", ""}, kInvalidArgument, "nested");
  std::string many = "[{\"role\":\"user\"}";
  for (std::size_t i = 0; i < kChatMessagesMax; ++i) many += ",{\"role\":\"user\"}";
  expect_error({many + "]", "", ""}, kInvalidArgument, "the limit is 16384");
  expect_error({"\"" + std::string(kChatBytesMax, 'x') + "\"", "", ""}, kInvalidArgument, "limit");
}

TEST(ChatRequest, ChangesEveryStringButRolesAndNamesThatTemplatesKnow) {
  const ChatInput chat{
      R"([{"role":"user","content":"a","tool_calls":[{"type":"t","function":{"arguments":)"
      R"({"k":["v",1]}}}]}])",
      R"([{"function":{"parameters":{"properties":{"p":{"type":"s"}}}}}])", R"({"x":{"y":"z"}})"};
  const ChatInput changed =
      with_strings_changed(chat, [](std::string_view text) { return "<" + std::string(text); });
  EXPECT_EQ(changed.messages,
            R"([{"role":"user","content":"<a","tool_calls":[{"type":"<t","function":{"arguments":)"
            R"({"<k":["<v",1]}}}]}])");
  EXPECT_EQ(changed.tools, R"([{"function":{"parameters":{"properties":{"<p":{"type":"<s"}}}}}])");
  EXPECT_EQ(changed.variables, R"({"x":{"<y":"<z"}})");
}

TEST(ChatRequest, MessagesOfRoleAndText) {
  const std::vector<ChatMessage> messages = {{"system", "s\"\n"}, {"user", "u\xFF"}};
  const ChatInput chat = chat_of(messages);
  EXPECT_EQ(roles_of(chat), (std::vector<std::string>{"system", "user"}));
  EXPECT_EQ(chat.messages,
            "[{\"role\":\"system\",\"content\":\"s\\\"\\n\"},"
            "{\"role\":\"user\",\"content\":\"u\xEF\xBF\xBD\"}]");
}

}  // namespace
}  // namespace paring::text
