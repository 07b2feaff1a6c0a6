// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/verdict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "advise/diagnosis/lever.h"

namespace paring::advise {
namespace {

// A wrong document: nothing helps but the right one, with which both models answer.
Signals wrong_document() {
  Signals s;
  s.has_original = s.has_evidence = true;
  s.served_right_evidence = s.served_right_both = 1;
  s.original_right_evidence = s.original_right_both = 1;
  s.served_logp_both = -0.3;
  s.original_logp_both = -0.3;
  s.served_gain_evidence = s.served_gain_both = 4;
  s.original_gain_evidence = s.original_gain_both = 4;
  s.recovered = 1;
  return s;
}

// Everything was there; only the original answers.
Signals shrunk_too_much() {
  Signals s;
  s.has_original = s.has_evidence = true;
  s.grounded = s.overlap = 1;
  s.original_right_sent = s.original_right_evidence = 1;
  s.original_right_plain = s.original_right_both = 1;
  s.helpless = 1;
  s.served_logp_both = -5;
  s.original_logp_both = -0.3;
  s.model_gain_sent = s.model_gain_both = 4.7;
  return s;
}

TEST(Verdict, NamesAxisAndCause) {
  const Verdict context = judge(wrong_document(), true);
  EXPECT_EQ(context.axis, Axis::kContext);
  EXPECT_EQ(context.cause, Cause::kWrongDocument);
  EXPECT_EQ(context.model_cause, Cause::kNeither);
  EXPECT_GT(context.context_probability(), 0.5);
  EXPECT_LT(context.model_probability(), 0.5);
  const Verdict model = judge(shrunk_too_much(), true);
  EXPECT_EQ(model.axis, Axis::kModel);
  EXPECT_EQ(model.cause, Cause::kShrinking);
  EXPECT_EQ(model.context_cause, Cause::kNeither);
}

TEST(Verdict, ConfidenceIsTheProbabilityOfItsAxis) {
  for (const Signals& signals : {wrong_document(), shrunk_too_much(), Signals{}}) {
    const Verdict v = judge(signals, true);
    EXPECT_DOUBLE_EQ(v.confidence, v.probabilities[static_cast<std::size_t>(v.axis)]);
    EXPECT_NEAR(std::accumulate(v.probabilities.begin(), v.probabilities.end(), 0.0), 1, 1e-12);
    EXPECT_EQ(*std::max_element(v.probabilities.begin(), v.probabilities.end()), v.confidence);
  }
}

TEST(Verdict, WithoutAnOriginalTheModelIsAllThatCanBeSaid) {
  Signals s = shrunk_too_much();
  s.has_original = false;
  s.original_right_sent = s.original_right_evidence = 0;
  s.original_right_plain = s.original_right_both = 0;
  s.original_logp_both = s.model_gain_sent = s.model_gain_both = 0;
  const Verdict verdict = judge(s, true);
  EXPECT_EQ(verdict.axis, Axis::kModel);
  EXPECT_EQ(verdict.cause, Cause::kModel);
}

TEST(Verdict, CausesOfAContext) {
  Signals s = wrong_document();
  EXPECT_EQ(judge(s, false).cause, Cause::kMissingDocument);
  s.overlap = 0.6;
  EXPECT_EQ(judge(s, true).cause, Cause::kCutDocument);
  s.served_right_plain = 1;
  EXPECT_EQ(judge(s, true).context_cause, Cause::kPrompt);
}

CaseReport report_of(const Signals& signals) {
  CaseReport report;
  report.input.question = "Who's there?";
  report.input.reference = "an owl";
  report.evidence = {"The owl was there.", "birds.txt", 7, true};
  report.signals = signals;
  report.verdict = judge(signals, true);
  Replay right;
  right.answer = "An owl.";
  report.served.replays[static_cast<std::size_t>(ReplayKind::kEvidence)] = right;
  report.prompts[static_cast<std::size_t>(ReplayKind::kEvidence)] = "\"the prompt\"";
  return report;
}

TEST(Lever, OfAContextSaysWhereTheEvidenceIs) {
  const auto levers = levers_for(report_of(wrong_document()), {"m.gguf", "o.gguf", "docs"});
  ASSERT_EQ(levers.size(), 1U);
  EXPECT_NE(levers[0].action.find("birds.txt"), std::string::npos) << levers[0].action;
  EXPECT_NE(levers[0].action.find("place 7"), std::string::npos) << levers[0].action;
  EXPECT_NE(levers[0].command.find("--query 'Who'\\''s there?'"), std::string::npos)
      << levers[0].command;
  EXPECT_EQ(levers[0].prompt, "\"the prompt\"");
}

TEST(Lever, OfAModelIsACommand) {
  const auto levers = levers_for(report_of(shrunk_too_much()), {"m.gguf", "o.gguf", "docs"});
  ASSERT_EQ(levers.size(), 1U);
  EXPECT_EQ(levers[0].command, "paring optimize 'o.gguf' --kl 0.01 --out better.gguf");
}

TEST(Lever, BothAxesHaveOneEachAndNeitherHasNoCommand) {
  CaseReport report = report_of(wrong_document());
  report.verdict.model_cause = Cause::kTooSmall;
  EXPECT_EQ(levers_for(report, {"m", "", ""}).size(), 2U);
  report.verdict.context_cause = report.verdict.model_cause = Cause::kNeither;
  const auto none = levers_for(report, {"m", "", ""});
  ASSERT_EQ(none.size(), 1U);
  EXPECT_TRUE(none[0].command.empty());
}

}  // namespace
}  // namespace paring::advise
