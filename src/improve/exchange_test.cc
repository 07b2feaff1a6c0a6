// SPDX-License-Identifier: Apache-2.0
#include "improve/exchange.h"

#include <gtest/gtest.h>

namespace paring::improve {
namespace {

constexpr const char* kAnswer = R"({"role":"assistant","content":"Yes."})";

TEST(ReadExchange, TakesAChatApart) {
  const auto read = read_exchange(
      {R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Is it?","x":1}])",
       R"({"role":"assistant","content":"Yes.","reasoning_content":"hm"})"});
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_TRUE(read->is_chat);
  EXPECT_EQ(read->prompt,
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Is it?"}])");
  EXPECT_EQ(read->answer, "Yes.");
  EXPECT_EQ(question_of(*read), "Is it?");
  EXPECT_FALSE(read->has_tools);
  EXPECT_FALSE(read->is_prompt_cut || read->is_answer_cut);
}

TEST(ReadExchange, PartsOfContentBecomeText) {
  const auto read = read_exchange({R"([{"role":"user","content":[{"type":"text","text":"a"},)"
                                   R"({"type":"text","text":"b"}]}])",
                                   kAnswer});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->turns[0].content, "a\nb");
}

TEST(ReadExchange, ArgumentsOfCallsAreTexts) {
  const char* const prompt =
      R"([{"role":"user","content":"Weather?"},{"role":"assistant","content":null,"tool_calls":)"
      R"([{"id":"c1","type":"function","function":{"name":"w","arguments":{"city":"Rome"}}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"20"}])";
  const auto read = read_exchange({prompt, kAnswer});
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_TRUE(read->has_tools);
  EXPECT_NE(read->prompt.find(R"("arguments":"{\"city\":\"Rome\"}")"), std::string::npos)
      << read->prompt;
  EXPECT_NE(read->prompt.find(R"("tool_call_id":"c1")"), std::string::npos);
  const auto calling = read_exchange(
      {R"([{"role":"user","content":"Weather?"}])",
       R"({"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function",)"
       R"("function":{"name":"w","arguments":"{}"}}]})"});
  ASSERT_TRUE(calling);
  EXPECT_TRUE(calling->has_tools);
  EXPECT_NE(calling->tool_calls.find(R"("name":"w")"), std::string::npos);
}

TEST(ReadExchange, ACompletionIsAText) {
  const auto read = read_exchange({R"("Once upon")", R"(" a time")"});
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->is_chat);
  EXPECT_EQ(question_of(*read), "Once upon");
  EXPECT_EQ(read->answer, " a time");
}

TEST(ReadExchange, SeesWhatWasCut) {
  const auto role =
      read_exchange({R"([{"role":"user","content":"a"},{"role":"cut","content":"x"}])", kAnswer});
  ASSERT_TRUE(role) << role.error().text();
  EXPECT_TRUE(role->is_prompt_cut);
  const auto answer =
      read_exchange({R"([{"role":"user","content":"a"}])",
                     R"({"role":"assistant","content":"b[... 12 bytes cut ...]c"})"});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->is_answer_cut);
  EXPECT_FALSE(answer->is_prompt_cut);
  EXPECT_TRUE(has_cut("[... 3 messages cut ...]"));
  EXPECT_FALSE(has_cut("[... and so on, 3 bytes cut ...]"));
  EXPECT_FALSE(has_cut("[... 3 bytes are cut ...]"));
  EXPECT_TRUE(has_cut("[... no [... 3 bytes cut ...]"));
}

TEST(ReadExchange, RefusesWhatIsNoExchange) {
  constexpr const char* kPrompt = R"([{"role":"user","content":"a"}])";
  const std::string deep = R"({"content":"","tool_calls":)" + std::string(100'000, '[') +
                           std::string(100'000, ']') + "}";
  for (const auto& [prompt, answer] : std::vector<std::pair<const char*, const char*>>{
           {"", kAnswer},
           {"{", kAnswer},
           {kPrompt, R"("text")"},
           {R"("text")", kAnswer},
           {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
            kAnswer},
           {"[1]", kAnswer},
           {kPrompt, deep.c_str()}}) {
    EXPECT_FALSE(read_exchange({prompt, answer})) << prompt;
  }
}

}  // namespace
}  // namespace paring::improve
