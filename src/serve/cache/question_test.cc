// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/question.h"

#include <gtest/gtest.h>

#include "serve/cache/response_cache.h"

namespace paring::serve {
namespace {

GenerateRequest chat(const std::string& messages) {
  GenerateRequest request;
  request.prompts = {text::ChatInput{messages, "", ""}};
  return request;
}

const char* const kAsked = R"([{"role":"system","content":"be short"},)"
                           R"({"role":"user","content":"why?"}])";

TEST(QuestionOf, OneQuestionBehindInstructions) {
  const auto question = question_of(chat(kAsked));
  ASSERT_TRUE(question);
  EXPECT_EQ(question->text, "why?");
  EXPECT_EQ(question->frame.find("why"), std::string::npos);
  EXPECT_NE(question->frame.find("be short"), std::string::npos);
}

TEST(QuestionOf, WhatHangsOnMoreIsNone) {
  EXPECT_FALSE(question_of(chat(R"([{"role":"user","content":"a"},)"
                                R"({"role":"assistant","content":"b"},)"
                                R"({"role":"user","content":"c"}])")));
  EXPECT_FALSE(question_of(chat(R"([{"role":"system","content":"a"}])")));
  EXPECT_FALSE(question_of(chat(R"([{"role":"user","content":[{"type":"text"}]}])")));
  EXPECT_FALSE(question_of(chat("[]")));
  GenerateRequest request = chat(kAsked);
  request.samples = 2;
  EXPECT_FALSE(question_of(request));
  request = chat(kAsked);
  request.logprobs = 0;
  EXPECT_FALSE(question_of(request));
  request = chat(kAsked);
  std::get<text::ChatInput>(request.prompts[0]).tools = "[{}]";
  EXPECT_FALSE(question_of(request));
  request = chat(kAsked);
  request.uses_semantic_cache = false;
  EXPECT_FALSE(question_of(request));
  request.prompts = {std::string("why?")};
  request.uses_semantic_cache.reset();
  EXPECT_FALSE(question_of(request));
}

// Everything but the question's words keeps questions apart.
TEST(QuestionGroup, HoldsAllButTheWords) {
  const auto group = [](const GenerateRequest& request, const std::string& tenant = "t",
                        const std::string& variant = "v", double temperature = 0,
                        const std::string& format = "") {
    AnswerPlan plan;
    engine::SequenceRequest sequence;
    sequence.prompt = {1, 2, 3};
    sequence.max_tokens = std::get<text::ChatInput>(request.prompts[0]).messages.size();
    sequence.sampling.temperature = temperature;
    plan.sequences = {sequence};
    plan.format_key = format;
    plan.is_reproducible = true;
    plan.question = question_of(request);
    return question_group(variant, tenant, plan);
  };
  const std::string base = group(chat(kAsked));
  EXPECT_EQ(base, group(chat(R"([{"role":"system","content":"be short"},)"
                             R"({"role":"user","content":"what for?"}])")));
  EXPECT_NE(base, group(chat(R"([{"role":"user","content":"why?"}])")));
  EXPECT_NE(base, group(chat(R"([{"role":"system","content":"be long"},)"
                             R"({"role":"user","content":"why?"}])")));
  EXPECT_NE(base, group(chat(kAsked), "other"));
  EXPECT_NE(base, group(chat(kAsked), "t", "other"));
  EXPECT_NE(base, group(chat(kAsked), "t", "v", 0.5));
  EXPECT_NE(base, group(chat(kAsked), "t", "v", 0, "a schema"));
  GenerateRequest longer = chat(kAsked);
  longer.max_tokens = 7;
  EXPECT_NE(base, group(longer));
  GenerateRequest thinking = chat(kAsked);
  std::get<text::ChatInput>(thinking.prompts[0]).variables = R"({"enable_thinking":true})";
  EXPECT_NE(base, group(thinking));
}

}  // namespace
}  // namespace paring::serve
