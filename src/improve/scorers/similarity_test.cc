// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/similarity.h"

#include <gtest/gtest.h>

#include "io/folder_for_test.h"

namespace paring::improve {
namespace {

TEST(RougeL, IsThatOfRougeScore) {
  // By rouge_score 0.1.2, without stemming.
  EXPECT_DOUBLE_EQ(rouge_l("The cat sat on the mat.", "the cat is on a mat"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(rouge_l("police killed the gunman", "police kill the gunman"), 0.75);
  EXPECT_DOUBLE_EQ(rouge_l("the gunman kill police", "police killed the gunman"), 0.5);
  EXPECT_DOUBLE_EQ(rouge_l("a b c d e f g", "g f e d c b a"), 1.0 / 7);
  EXPECT_DOUBLE_EQ(rouge_l("In 1,889 it was built; by Eiffel's firm!",
                           "It was built in 1889 by the firm of Eiffel"),
                   0.5);
  EXPECT_DOUBLE_EQ(rouge_l("one", "two"), 0);
  EXPECT_DOUBLE_EQ(rouge_l("", "two"), 0);
  EXPECT_DOUBLE_EQ(rouge_l("Größe: groß", "größe groß"), 1) << "bytes above ASCII are letters";
}

class Similarity : public io::FolderTest {
 protected:
  static Exchange asked(const std::string& question, const std::string& answer) {
    Exchange exchange;
    exchange.turns = {{"user", question}};
    exchange.answer = answer;
    return exchange;
  }
};

TEST_F(Similarity, TakesTheFilesReferenceOrPeoplesCorrection) {
  write("refs.jsonl", "{\"question\": \"Capital of  France?\", \"reference\": \"Paris\"}\n\n");
  const auto scorer = make_scorer({.name = "s",
                                   .kind = "similarity",
                                   .fields = {{"measure", "f1"}, {"references", "refs.jsonl"}},
                                   .folder = folder_.string()});
  ASSERT_TRUE(scorer) << scorer.error().text();
  EXPECT_TRUE((*scorer)->needs_reference());
  const Exchange known = asked("capital of France?", "It is Paris");
  EXPECT_DOUBLE_EQ((*(*scorer)->score({known}))->value, 0.5);
  const Exchange unknown = asked("Capital of Spain?", "Madrid");
  EXPECT_FALSE((*scorer)->score({unknown})->has_value());
  EXPECT_DOUBLE_EQ((*(*scorer)->score({unknown, 0, "madrid"}))->value, 1);
}

TEST_F(Similarity, ComparesVectors) {
  ScorerTools tools;
  tools.open_encoder = [](const std::string& model) -> Result<Embed> {
    if (model != "encoder") return not_found("no model " + model);
    return Embed([](std::span<const std::string> texts) {
      std::vector<std::vector<float>> vectors;
      for (const std::string& text : texts) {
        vectors.push_back(text == "x" ? std::vector<float>{3, 4} : std::vector<float>{2, 0});
      }
      return Result<std::vector<std::vector<float>>>(std::move(vectors));
    });
  };
  const ScorerSpec spec{"s", "similarity", {{"measure", "cosine"}, {"model", "encoder"}}};
  const auto scorer = make_scorer(spec, tools);
  ASSERT_TRUE(scorer) << scorer.error().text();
  const Exchange x = asked("q", "x"), empty = asked("q", "");
  EXPECT_NEAR((*(*scorer)->score({x, 0, "y"}))->value, 0.6, 1e-6);
  EXPECT_EQ((*(*scorer)->score({empty, 0, "y"}))->value, 0);
  EXPECT_FALSE(make_scorer(spec)) << "without somebody who opens models";
  EXPECT_FALSE(make_scorer({"s", "similarity", {{"measure", "cosine"}}}, tools));
  EXPECT_FALSE(make_scorer({"s", "similarity", {{"measure", "cosine"}, {"model", "no"}}}, tools));
}

TEST_F(Similarity, NamesTheLineThatIsWrong) {
  for (const char* text : {"{\"question\": \"a\"}\n", "[]\n", "{\n", "{\"reference\": 3}\n"}) {
    const auto read = parse_references(std::string("\n") + text);
    ASSERT_FALSE(read) << text;
    EXPECT_NE(read.error().message.find("line 2"), std::string::npos);
  }
  const auto made = [&](const char* text) {
    write("refs.jsonl", text);
    return make_scorer({.name = "s",
                        .kind = "similarity",
                        .fields = {{"references", "refs.jsonl"}},
                        .folder = folder_.string()});
  };
  EXPECT_FALSE(made("{\n"));
  const auto one = made("{\"question\": \"a\", \"reference\": \"b\"}\n");
  const auto other = made("{\"question\": \"a\", \"reference\": \"c\"}\n");
  ASSERT_TRUE(one && other);
  EXPECT_NE((*one)->fingerprint(), (*other)->fingerprint()) << "a changed file is another scorer";
  std::filesystem::remove(path("refs.jsonl"));
  EXPECT_FALSE(make_scorer({.name = "s",
                            .kind = "similarity",
                            .fields = {{"references", "refs.jsonl"}},
                            .folder = folder_.string()}));
}

}  // namespace
}  // namespace paring::improve
