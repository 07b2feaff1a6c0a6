// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/case.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/folder_for_test.h"

namespace paring::advise {
namespace {

using CaseFiles = io::FolderTest;
using Json = nlohmann::ordered_json;

const std::string kText =
    "The tower was built in 1349 by monks who came from the north, and it stood there for a very "
    "long time until a great fire destroyed it in 1666.";

std::string chat(const std::string& user, const std::string& system = "") {
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", user}});
  return messages.dump();
}

Case parsed(const std::string& prompt) {
  auto c = case_of("c", prompt);
  EXPECT_TRUE(c) << c.error().text();
  return c ? *c : Case{};
}

TEST(Case, FindsQuestionAndContextInAPrompt) {
  const std::string question = "When was the tower built?";
  for (const std::string& user :
       {"Use the text.\n\nText: " + kText + "\n\nQuestion: " + question,
        kText + "\n\nBased on this. " + question,
        "Question: " + question + "\n\nDocument:\n" + kText,
        "Context: " + kText + "\n\nQ: " + question, question + "\n\n" + kText,
        "Passage: " + kText + " Question: " + question}) {
    const Case c = parsed(chat(user));
    EXPECT_EQ(c.question, question) << user;
    ASSERT_EQ(c.context.size(), 1U) << user;
    EXPECT_EQ(c.context[0], kText) << user;
  }
  const Case system = parsed(chat(question, kText));
  EXPECT_EQ(system.question, question);
  EXPECT_EQ(system.context, std::vector<std::string>{kText});
  EXPECT_TRUE(parsed(chat("Be brief.\n\n" + question)).context.empty());
  EXPECT_EQ(parsed(chat("List the colours of the flag")).question, "List the colours of the flag");
}

TEST(Case, OfACompletionIsOneText) {
  const Case c = parsed(Json("Text: " + kText + "\n\nQuestion: When?\nAnswer:").dump());
  EXPECT_EQ(c.question, "When?");
  EXPECT_EQ(Json::parse(with_context(c, "X")).get<std::string>(),
            "Text: X\n\nQuestion: When?\nAnswer:");
  EXPECT_EQ(Json::parse(plain_prompt(c, "Do.", "T")).get<std::string>(),
            "Do.\n\nText:\nT\n\nQuestion: When?\nAnswer:");
}

TEST(Case, WithContextPutsTheTextWhereTheContextWas) {
  const std::string other = "Another " + kText;
  const Case c = parsed(chat("Text: " + kText + "\n\n" + other + "\n\nWhen?", "Be brief."));
  ASSERT_EQ(c.context.size(), 2U);
  const Json changed = Json::parse(with_context(c, "X"));
  EXPECT_EQ(changed[0]["content"], "Be brief.");
  const std::string said = changed[1]["content"];
  EXPECT_EQ(said.find("Text: X\n\n"), 0U) << said;
  EXPECT_EQ(said.find("tower"), std::string::npos) << said;
  EXPECT_NE(said.find("When?"), std::string::npos) << said;
  const Case bare = parsed(chat("When?"));
  EXPECT_EQ(Json::parse(with_context(bare, "X"))[0]["content"], "X\n\nWhen?");
}

TEST(Case, RecordsSayWhatIsMissing) {
  const auto error = [](const std::string& line) {
    const auto c = parse_case(line, "f:3");
    return c ? std::string() : c.error().message;
  };
  EXPECT_EQ(error("[]"), "f:3: not a JSON object");
  EXPECT_EQ(error("{}"), "f:3: a case has either \"messages\" or \"prompt\"");
  EXPECT_EQ(error(R"({"prompt": "a?", "reference": 3})"), "f:3: \"reference\" is not a string");
  EXPECT_NE(error(R"({"prompt": "a?", "context": "b"})").find("does not stand in the prompt"),
            std::string::npos);
  EXPECT_NE(
      error(R"({"messages": [{"role": "system", "content": "a"}]})").find("no text of a user"),
      std::string::npos);
  EXPECT_EQ(error(R"({"prompt": "a b?", "context": "b", "question": "q", "id": null})"), "");
}

TEST_F(CaseFiles, AreReadLineByLine) {
  const std::string name = write(
      "cases.jsonl", R"({"id": "one", "prompt": "When?", "reference": "now", "answer": "never"})"
                     "\n\n"
                     R"({"prompt": "Why?"})");
  const auto cases = read_cases(name);
  ASSERT_TRUE(cases) << cases.error().text();
  ASSERT_EQ(cases->size(), 2U);
  EXPECT_EQ((*cases)[0].id, "one");
  EXPECT_EQ((*cases)[0].reference, "now");
  EXPECT_EQ((*cases)[0].answer, "never");
  EXPECT_EQ((*cases)[1].id, name + ":3");
  EXPECT_FALSE(read_cases(write("cases.jsonl", "\n")));
}

}  // namespace
}  // namespace paring::advise
