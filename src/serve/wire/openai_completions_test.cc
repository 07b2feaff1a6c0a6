// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_completions.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace paring::serve::wire {
namespace {

GenerateRequest read(const std::string& body) {
  auto call = read_openai_completions(body, {});
  if (call) return call->request;
  ADD_FAILURE() << body << ": " << call.error().param << ": " << call.error().message;
  return {};
}

std::string param(const std::string& body) {
  const auto call = read_openai_completions(body, {});
  return call ? "taken" : call.error().param;
}

TEST(OpenAiCompletions, PromptsAreTextsOrTokens) {
  GenerateRequest request = read(R"({"prompt":"a"})");
  ASSERT_EQ(request.prompts.size(), 1U);
  EXPECT_EQ(std::get<std::string>(request.prompts[0]), "a");
  EXPECT_EQ(request.max_tokens, kCompletionTokensDefault);
  EXPECT_FALSE(request.logprobs);
  request = read(R"({"prompt":["a","b"]})");
  EXPECT_EQ(std::get<std::string>(request.prompts.at(1)), "b");
  request = read(R"({"prompt":[5,6]})");
  ASSERT_EQ(request.prompts.size(), 1U);
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(request.prompts[0]).at(1), 6);
  request = read(R"({"prompt":[[5,6],[7]]})");
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(request.prompts.at(1)).at(0), 7);
  EXPECT_EQ(param(R"({"prompt":[]})"), "prompt");
  EXPECT_EQ(param(R"({"prompt":["a",5]})"), "prompt[1]");
  EXPECT_EQ(param(R"({"prompt":[[5],["a"]]})"), "prompt[1][0]");
  EXPECT_EQ(param(R"({"prompt":[-1]})"), "prompt[0]");
}

TEST(OpenAiCompletions, OptionsAreRead) {
  const GenerateRequest request =
      read(R"({"prompt":"a","max_tokens":0,"echo":true,"logprobs":3,"n":2,"best_of":2,)"
           R"("stream":true,"structured_outputs":{"regex":"x"},"stop":"y","min_p":0.5})");
  EXPECT_EQ(request.max_tokens, 0U);
  EXPECT_TRUE(request.echoes_prompt && request.streams);
  EXPECT_EQ(request.logprobs, 3U);
  EXPECT_EQ(request.samples, 2U);
  EXPECT_EQ(request.format.kind, OutputFormat::Kind::kRegex);
  EXPECT_EQ(request.stop.at(0), "y");
  EXPECT_EQ(request.min_p, 0.5);
}

TEST(OpenAiCompletions, WhatCannotBeDoneIsRefused) {
  EXPECT_EQ(param(R"({"prompt":"a","suffix":"b"})"), "suffix");
  EXPECT_EQ(param(R"({"prompt":"a","best_of":2})"), "best_of");
  EXPECT_EQ(param(R"({"prompt":["a","b","c"],"n":128})"), "n");
  EXPECT_EQ(param(R"({"prompt":"a","truncate_prompt_tokens":5})"), "truncate_prompt_tokens");
}

}  // namespace
}  // namespace paring::serve::wire
