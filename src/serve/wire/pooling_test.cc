// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/pooling.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace paring::serve::wire {
namespace {

TEST(Embeddings, InputsAreTextsOrTokens) {
  auto call = read_openai_embeddings(
      R"({"input":["a","b"],"model":"m","dimensions":8,"encoding_format":"base64"})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(std::get<std::string>(call->inputs.at(1)), "b");
  EXPECT_EQ(call->dimensions, 8U);
  EXPECT_TRUE(call->is_base64);
  EXPECT_FALSE(call->cuts_inputs);
  call = read_openai_embeddings(R"({"input":[1,2]})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(std::get<std::vector<std::int32_t>>(call->inputs.at(0)).size(), 2U);
  call = read_openai_embeddings(R"({"input":[[1],[2]],"truncate":true})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->inputs.size(), 2U);
  EXPECT_TRUE(call->cuts_inputs);
  EXPECT_FALSE(read_openai_embeddings(R"({"input":[]})", {}));
}

TEST(Embeddings, OllamaCutsUnlessToldOtherwise) {
  auto call = read_ollama_embed(R"({"model":"m","input":"a"})", {});
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->cuts_inputs);
  call = read_ollama_embed(R"({"model":"m","input":["a"],"truncate":false})", {});
  ASSERT_TRUE(call);
  EXPECT_FALSE(call->cuts_inputs);
}

TEST(Rerank, DocumentsAreTextsOrObjects) {
  auto call = read_rerank(R"({"query":"q","documents":["a",{"text":"b"}],"top_n":9})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->documents.at(1), "b");
  EXPECT_EQ(call->top, 2U);
  EXPECT_FALSE(call->returns_documents);
  EXPECT_EQ(read_rerank(R"({"query":"q","documents":["a",{"txt":"b"}]})", {}).error().param,
            "documents[1].txt");
}

TEST(Score, TextsComeInPairs) {
  auto call = read_score(R"({"text_1":"a","text_2":["b","c"]})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(call->second.size(), 2U);
  EXPECT_EQ(read_score(R"({"text_1":["a","b"],"text_2":["b","c","d"]})", {}).error().param,
            "text_1");
}

TEST(Tokenize, TakesATextOrAConversation) {
  auto call = read_tokenize(R"({"prompt":"a","add_special_tokens":false})", {});
  ASSERT_TRUE(call);
  EXPECT_EQ(std::get<std::string>(call->prompt), "a");
  EXPECT_FALSE(call->adds_special);
  call =
      read_tokenize(R"({"messages":[{"role":"user","content":"a"}],"add_generation_prompt":false,)"
                    R"("return_token_strs":true})",
                    {});
  ASSERT_TRUE(call);
  EXPECT_EQ(std::get<text::ChatInput>(call->prompt).messages, R"([{"role":"user","content":"a"}])");
  EXPECT_FALSE(call->adds_generation_prompt);
  EXPECT_TRUE(call->returns_texts);
  EXPECT_FALSE(read_tokenize("{}", {}));
  EXPECT_FALSE(read_tokenize(R"({"prompt":"a","messages":[{"role":"user","content":"a"}]})", {}));
  auto back = read_detokenize(R"({"tokens":[1,2]})", {});
  ASSERT_TRUE(back);
  EXPECT_EQ(back->tokens.at(1), 2);
}

}  // namespace
}  // namespace paring::serve::wire
