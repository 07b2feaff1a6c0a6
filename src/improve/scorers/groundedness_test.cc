// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/groundedness.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "improve/exchange.h"

namespace paring::improve {
namespace {

const std::vector<std::string> kContext = {
    "The tower was opened in 1889. It is 330 metres tall. Repainting takes 60 tonnes of paint."};

TEST(GroundingOf, CountsSentencesThatSayAnything) {
  const Grounding grounding = grounding_of(
      "Yes. The tower opened in 1889 and it is 330 metres tall. It is made of chocolate. It was.",
      "How old is it?", kContext);
  EXPECT_EQ(grounding.sentences, 2U);
  EXPECT_EQ(grounding.supported, 1U);
  EXPECT_EQ(grounding.unsupported, "It is made of chocolate.");
}

TEST(GroundingOf, NumbersMustStandThereAsTheyAre) {
  EXPECT_EQ(grounding_of("It opened in 1889.", "", kContext).supported, 1U);
  EXPECT_EQ(grounding_of("It opened in 1898.", "", kContext).supported, 0U);
  EXPECT_EQ(grounding_of("It opened in 1898.", "Was it in 1898?", kContext).sentences, 1U);
}

TEST(GroundingOf, WordsMustStandTogether) {
  const std::vector<std::string> context = {
      "Anna sings. Nobody listens. The weather is bad. Bernd swims."};
  EXPECT_EQ(grounding_of("Bernd swims.", "", context).supported, 1U);
  EXPECT_EQ(grounding_of("Anna swims.", "", context).supported, 0U);
  EXPECT_EQ(grounding_of("Nobody swims.", "", context).supported, 0U);
  EXPECT_EQ(grounding_of("Anything.", "", {}).supported, 0U);
}

TEST(GroundednessScorer, NeedsAContext) {
  const auto scorer = make_scorer({.name = "g", .kind = "groundedness"});
  ASSERT_TRUE(scorer);
  Exchange exchange;
  exchange.prompt = R"([{"role":"user","content":"When was the tower opened?"}])";
  exchange.answer = "It opened in 1889.";
  EXPECT_FALSE((*scorer)->score({exchange})->has_value()) << "nothing to stand in";
  exchange.prompt =
      R"([{"role":"user","content":"Context: The tower was opened in 1889, it is 330 metres tall, )"
      R"(and repainting it takes sixty tonnes of paint, which twenty-five painters bring up )"
      R"(by hand every seven years or so.\n\nQuestion: When was the tower opened?"}])";
  const auto mark = (*scorer)->score({exchange});
  ASSERT_TRUE(mark && *mark);
  EXPECT_EQ((*mark)->value, 1);
  exchange.answer = "It opened in 1999.";
  EXPECT_EQ((**(*scorer)->score({exchange})).value, 0);
}

// Written by hand, like refusals.jsonl.
TEST(GroundingOf, FindsWhatPeopleLabelledSo) {
  std::ifstream file(PARING_SOURCE_DIR "/tests/data/scorers/grounded.jsonl");
  std::map<std::string, std::map<std::pair<bool, bool>, int>> halves;
  std::string line, wrong;
  while (std::getline(file, line)) {
    const auto json = nlohmann::json::parse(line);
    const std::vector<std::string> context = {json["context"]};
    const Grounding found = grounding_of(json["sentence"].get<std::string>(),
                                         json["question"].get<std::string>(), context);
    const bool is_grounded = found.sentences > 0 && found.supported == found.sentences;
    ++halves[json["half"]][{json["grounded"], is_grounded}];
    if (json["grounded"] != is_grounded)
      wrong += json["half"].dump() + json["sentence"].dump() + "\n";
  }
  auto& check = halves["check"];
  const std::pair<bool, bool> grounded_found{true, true}, grounded_missed{true, false},
      invented_passed{false, true}, invented_found{false, false};
  EXPECT_EQ(check[grounded_found] + check[grounded_missed], 19) << wrong;
  EXPECT_EQ(check[invented_found] + check[invented_passed], 19);
  // Figures that docs/howto/score-answers.md tells.
  EXPECT_EQ(check[grounded_missed], 1) << wrong;
  EXPECT_EQ(check[invented_passed], 0) << wrong;
  EXPECT_EQ(halves["tune"][grounded_missed], 1) << wrong;
  EXPECT_EQ(halves["tune"][invented_passed], 0) << wrong;
}

}  // namespace
}  // namespace paring::improve
