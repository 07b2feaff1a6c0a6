// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/simple.h"

#include <gtest/gtest.h>

#include <fstream>

#include "improve/scorers/scorer.h"

namespace paring::improve {
namespace {

using Field = std::map<std::string, std::string>;

double mark_of(const std::string& kind, const Field& fields, const std::string& answer,
               std::int64_t tokens = 0) {
  const auto scorer = make_scorer({"s", kind, fields});
  EXPECT_TRUE(scorer) << (scorer ? "" : scorer.error().text());
  if (!scorer) return -1;
  Exchange exchange;
  exchange.answer = answer;
  const auto mark = (*scorer)->score({exchange, tokens, std::nullopt});
  EXPECT_TRUE(mark && *mark && (*mark)->is_boolean);
  return (*mark)->value;
}

TEST(RegexScorer, MatchesOrMustNot) {
  const Field ticket = {{"pattern", "T-[0-9]{3}\\b"}};
  EXPECT_EQ(mark_of("regex", ticket, "see T-123."), 1);
  EXPECT_EQ(mark_of("regex", ticket, "see T-12."), 0);
  EXPECT_EQ(mark_of("regex", {{"pattern", "(?i)lorem"}, {"must", "not_match"}}, "LOREM"), 0);
}

TEST(JsonScorer, WantsTheWholeAnswer) {
  EXPECT_EQ(mark_of("json", {}, " {\"a\": 1}\n"), 1);
  EXPECT_EQ(mark_of("json", {}, "```json\n{\"a\": 1}\n```"), 1);
  EXPECT_EQ(mark_of("json", {{"fence", "keep"}}, "```json\n{\"a\": 1}\n```"), 0);
  EXPECT_EQ(mark_of("json", {}, "Here it is: {\"a\": 1}"), 0);
  EXPECT_EQ(mark_of("json", {}, "{\"a\": 1} {}"), 0);
  EXPECT_EQ(mark_of("json", {}, "12"), 1);
  EXPECT_EQ(mark_of("json", {{"type", "object"}}, "12"), 0);
  EXPECT_EQ(mark_of("json", {{"type", "array"}}, "[]"), 1);
  EXPECT_EQ(mark_of("json", {}, "```"), 0);
  EXPECT_EQ(mark_of("json", {}, ""), 0);
  EXPECT_EQ(mark_of("json", {}, std::string(100'000, '[')), 0) << "however deep";
}

TEST(JsonScorer, HoldsASchemaFromAFile) {
  const std::string folder = testing::TempDir();
  std::ofstream(folder + "/answer.schema.json")
      << R"({"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}})";
  const ScorerSpec spec{"s", "json", {{"schema", "answer.schema.json"}}, folder};
  const auto scorer = make_scorer(spec);
  ASSERT_TRUE(scorer) << scorer.error().text();
  Exchange exchange;
  exchange.answer = R"({"a": 3})";
  EXPECT_EQ((*(*scorer)->score({exchange}))->value, 1);
  exchange.answer = R"({"a": "3"})";
  EXPECT_EQ((*(*scorer)->score({exchange}))->value, 0);
  EXPECT_NE((*(*scorer)->score({exchange}))->comment.find("/a"), std::string::npos);
  EXPECT_FALSE(make_scorer({"s", "json", {{"schema", "none.json"}}, folder}));
}

TEST(LengthScorer, CountsCharactersWordsAndTokens) {
  EXPECT_EQ(mark_of("length", {{"max", "3"}}, "äöü"), 1);
  EXPECT_EQ(mark_of("length", {{"max", "3"}}, "äöüß"), 0);
  EXPECT_EQ(mark_of("length", {{"min", "2"}, {"unit", "words"}}, " one\ntwo "), 1);
  EXPECT_EQ(mark_of("length", {{"min", "3"}, {"unit", "words"}}, " one\ntwo "), 0);
  EXPECT_EQ(mark_of("length", {{"max", "7"}, {"unit", "tokens"}}, "x", 7), 1);
  EXPECT_EQ(mark_of("length", {{"max", "7"}, {"unit", "tokens"}}, "x", 8), 0);
}

TEST(MakeScorer, SaysWhatIsWrong) {
  const auto error_of = [](const std::string& kind, const Field& fields,
                           const std::string& name = "s") {
    const auto scorer = make_scorer({name, kind, fields});
    EXPECT_FALSE(scorer);
    return scorer ? std::string() : scorer.error().text();
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos ? "" : text;
  };
  EXPECT_EQ(has(error_of("regx", {}), "'regx'"), "");
  EXPECT_EQ(has(error_of("", {}), "no 'kind'"), "");
  EXPECT_EQ(has(error_of("regex", {}), "no 'pattern'"), "");
  EXPECT_EQ(has(error_of("regex", {{"pattern", "("}}), "missing )"), "");
  EXPECT_EQ(has(error_of("regex", {{"pattern", "a"}, {"must", "be"}}), "match or not_match"), "");
  EXPECT_EQ(has(error_of("json", {{"shema", "a"}}), "'shema'"), "");
  EXPECT_EQ(has(error_of("length", {}), "'max'"), "");
  EXPECT_EQ(has(error_of("length", {{"max", "x"}}), "number"), "");
  EXPECT_EQ(has(error_of("length", {{"max", "1"}, {"min", "2"}}), "below"), "");
  EXPECT_EQ(has(error_of("refusal", {}, "No Name"), "no name"), "");
}

TEST(MakeScorer, FingerprintsTellScorersApart) {
  const auto of = [](const Field& fields) {
    return (*make_scorer({"s", "length", fields}))->fingerprint();
  };
  EXPECT_EQ(of({{"max", "1"}}), of({{"max", "1"}}));
  EXPECT_NE(of({{"max", "1"}}), of({{"max", "2"}}));
  EXPECT_NE(of({{"max", "1"}}), of({{"min", "1"}}));
}

TEST(ScorerKinds, AreListed) { EXPECT_GE(scorer_kinds().size(), 4U); }

}  // namespace
}  // namespace paring::improve
