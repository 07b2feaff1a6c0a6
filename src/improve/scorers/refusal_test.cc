// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/refusal.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

namespace paring::improve {
namespace {

using Texts = std::vector<std::string_view>;

TEST(SentencesOf, EndAtMarksAndLines) {
  EXPECT_EQ(sentences_of("One. Two! \"Three?\" Four"),
            (Texts{"One.", "Two!", "\"Three?\"", "Four"}));
  EXPECT_EQ(sentences_of("It costs 3.50 e.g. in Rome. Dr. Who paid.\n- a list\n\n- of two"),
            (Texts{"It costs 3.50 e.g. in Rome.", "Dr. Who paid.", "- a list", "- of two"}));
  EXPECT_EQ(sentences_of("  \n "), Texts{});
  EXPECT_EQ(sentences_of("...").size(), 1U);
}

TEST(RefusalIn, ALongAnswerAnswersAfterAll) {
  const std::string words = "I can't help with that. ";
  EXPECT_FALSE(refusal_in(words).empty());
  std::string rest;
  for (int i = 0; i < 130; ++i) rest += "more ";
  EXPECT_TRUE(refusal_in(words + rest).empty());
  EXPECT_TRUE(refusal_in("The sky is blue. Grass is green. " + words).empty())
      << "the third sentence";
  EXPECT_TRUE(refusal_in("").empty());
}

struct Counts {
  int hits = 0, misses = 0, false_alarms = 0, rest = 0;
};

// Written by hand: of the half "tune" the rule was corrected, of the half "check" it was not.
TEST(RefusalIn, FindsWhatPeopleLabelledSo) {
  std::ifstream file(PARING_SOURCE_DIR "/tests/data/scorers/refusals.jsonl");
  std::map<std::string, Counts> halves;
  std::string line;
  std::string wrong;
  while (std::getline(file, line)) {
    const auto json = nlohmann::json::parse(line);
    const bool refuses = json["refuses"];
    const bool found = !refusal_in(json["answer"].get<std::string>()).empty();
    Counts& counts = halves[json["half"]];
    ++(refuses ? (found ? counts.hits : counts.misses)
               : (found ? counts.false_alarms : counts.rest));
    if (found != refuses) wrong += line + "\n";
  }
  // Figures that docs/howto/score-answers.md tells.
  const Counts& check = halves["check"];
  EXPECT_EQ(check.hits + check.misses, 25);
  EXPECT_EQ(check.false_alarms + check.rest, 25);
  EXPECT_EQ(check.hits, 21) << wrong;
  EXPECT_EQ(check.false_alarms, 0) << wrong;
  EXPECT_EQ(halves["tune"].hits, 30) << wrong;
  EXPECT_EQ(halves["tune"].false_alarms, 0) << wrong;
}

}  // namespace
}  // namespace paring::improve
