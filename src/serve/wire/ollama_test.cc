// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/ollama.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace paring::serve::wire {
namespace {

std::string with(const std::string& fields) {
  return R"({"model":"m","prompt":"p")" + (fields.empty() ? "" : "," + fields) + "}";
}

GenerateRequest generate(const std::string& fields) {
  auto call = read_ollama_generate(with(fields), {});
  if (call) return call->request;
  ADD_FAILURE() << fields << ": " << call.error().param << ": " << call.error().message;
  return {};
}

std::string param(const std::string& fields) {
  const auto call = read_ollama_generate(with(fields), {});
  return call ? "taken" : call.error().param;
}

TEST(Ollama, AnswersStreamUnlessTheRequestSaysOtherwise) {
  EXPECT_TRUE(generate("").streams);
  EXPECT_FALSE(generate(R"("stream":false)").streams);
}

TEST(Ollama, PromptsAreConversationsUnlessRaw) {
  EXPECT_EQ(std::get<text::ChatInput>(generate(R"("system":"s")").prompts.at(0)).messages,
            R"([{"role":"system","content":"s"},{"role":"user","content":"p"}])");
  EXPECT_EQ(std::get<std::string>(generate(R"("raw":true)").prompts.at(0)), "p");
  EXPECT_EQ(param(R"("raw":true,"system":"s")"), "system");
}

TEST(Ollama, OptionsAreRead) {
  const GenerateRequest request = generate(
      R"("options":{"num_predict":7,"num_ctx":4096,"temperature":0,"top_k":-1,"top_p":0.5,)"
      R"("min_p":0.1,"seed":-1,"stop":["x"],"repeat_penalty":1.1,"presence_penalty":1,)"
      R"("frequency_penalty":-1,"num_gpu":99,"mirostat":0},"format":{"type":"object"},)"
      R"("think":"low","keep_alive":-1)");
  EXPECT_EQ(request.max_tokens, 7U);
  EXPECT_EQ(request.context_tokens_min, 4096U);
  EXPECT_EQ(request.temperature, 0);
  EXPECT_EQ(request.top_k, 0U);
  EXPECT_EQ(request.seed, 0xffffffffffffffffU);
  EXPECT_EQ(request.stop.at(0), "x");
  EXPECT_EQ(request.repetition_penalty, 1.1);
  EXPECT_EQ(request.format.definition, R"({"type":"object"})");
  EXPECT_EQ(std::get<text::ChatInput>(request.prompts.at(0)).variables,
            R"({"enable_thinking":true,"reasoning_effort":"low"})");
  EXPECT_FALSE(generate(R"("options":{"num_predict":-1})").max_tokens);
  EXPECT_EQ(generate(R"("format":"json")").format.kind, OutputFormat::Kind::kJsonObject);
  EXPECT_EQ(generate(R"("format":"")").format.kind, OutputFormat::Kind::kText);
}

TEST(Ollama, OptionsThatCannotBeHonouredAreRefused) {
  EXPECT_EQ(param(R"("options":{"mirostat":1})"), "options.mirostat");
  EXPECT_EQ(param(R"("options":{"tfs_z":0.5})"), "options.tfs_z");
  EXPECT_EQ(param(R"("options":{"repeat_last_n":64})"), "options.repeat_last_n");
  EXPECT_EQ(param(R"("options":{"num_ctxx":1})"), "options.num_ctxx");
  EXPECT_EQ(param(R"("images":["aGk="])"), "images");
  EXPECT_EQ(param(R"("context":[1])"), "context");
  EXPECT_EQ(param(R"("template":"t")"), "template");
  EXPECT_EQ(param(R"("images":[])"), "taken");
}

TEST(Ollama, ConversationsComeInTheWordsOfTemplates) {
  auto call = read_ollama_chat(
      R"({"model":"m","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"",)"
      R"("thinking":"hm","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]},)"
      R"({"role":"tool","tool_name":"f","content":"3"}],"tools":[{"type":"function","function":)"
      R"({"name":"f","parameters":{"type":"object"}}}],"think":false})",
      {});
  ASSERT_TRUE(call) << call.error().message;
  const auto& chat = std::get<text::ChatInput>(call->request.prompts.at(0));
  EXPECT_EQ(chat.messages,
            R"([{"role":"user","content":"q"},{"role":"assistant","content":"",)"
            R"("reasoning_content":"hm","tool_calls":[{"type":"function","function":)"
            R"({"name":"f","arguments":{"x":1}}}]},{"role":"tool","content":"3","name":"f"}])");
  EXPECT_EQ(chat.tools, call->request.tools.tools);
  EXPECT_EQ(chat.variables, R"({"enable_thinking":false})");
}

}  // namespace
}  // namespace paring::serve::wire
