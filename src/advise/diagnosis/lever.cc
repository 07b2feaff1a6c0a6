// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/lever.h"

#include <fmt/format.h>

#include <algorithm>

#include "advise/diagnosis/words.h"

namespace paring::advise {

namespace {

// A search that shows so many passages would have shown the evidence.
constexpr std::size_t kRetrievedUsually = 5;
// The budget for a model that lost too much: a tenth of what 4 bits usually lose.
constexpr const char* kCarefulKl = "0.01";

std::string quoted(const std::string& text) {
  std::string shell = "'";
  for (const char c : text) {
    if (c == '\'')
      shell += "'\\''";
    else
      shell += c;
  }
  return shell + "'";
}

std::string where(const Evidence& evidence) {
  if (evidence.text.empty()) return "no document was given that holds it";
  if (evidence.document.empty()) return "it is a part of the prompt itself";
  if (evidence.rank == 0) {
    return fmt::format(
        "it is in {}, which a search for the words of the question does not find: "
        "search by meaning (paring embed) or rewrite the question",
        evidence.document);
  }
  if (evidence.rank > kRetrievedUsually) {
    return fmt::format(
        "it is in {}, which a search for the question finds in place {} only: "
        "take more passages and order them again (paring rerank)",
        evidence.document, evidence.rank);
  }
  return fmt::format("it is in {}, in place {} of a search for the question", evidence.document,
                     evidence.rank);
}

Lever context_lever(const CaseReport& report, Cause cause, const LeverNames& names) {
  Lever lever;
  switch (cause) {
    case Cause::kPrompt:
      lever.action = "ask plainly: with another instruction and the same context it answers";
      break;
    case Cause::kMissingDocument:
      lever.action = "retrieve: the prompt had no text to answer from; " + where(report.evidence);
      break;
    case Cause::kCutDocument:
      lever.action = "cut documents into other pieces: the part that answers was not sent; " +
                     where(report.evidence);
      break;
    case Cause::kLostInContext:
      lever.action =
          "send fewer passages: the evidence was there among others; " + where(report.evidence);
      break;
    default:
      lever.action = "retrieve better: what was sent does not answer; " + where(report.evidence);
  }
  // What repaired it: the least change first.
  const bool is_prompt = cause == Cause::kPrompt;
  for (const ReplayKind kind :
       {is_prompt ? ReplayKind::kPlain : ReplayKind::kEvidence, ReplayKind::kBoth}) {
    const auto index = static_cast<std::size_t>(kind);
    const std::optional<Replay>& replay = report.served.replays[index];
    if (!replay || !is_same_answer(replay->answer, report.input.reference)) continue;
    lever.prompt = report.prompts[index];
    break;
  }
  if (!is_prompt && !names.documents.empty() && report.evidence.rank != 1) {
    lever.command = fmt::format("paring rerank ENCODER --query {} --file PASSAGES --top 3",
                                quoted(report.input.question));
  }
  return lever;
}

Lever model_lever(Cause cause, const LeverNames& names) {
  if (cause == Cause::kShrinking) {
    return {fmt::format("shrink less: the original answers it, {} does not", names.model),
            fmt::format("paring optimize {} --kl {} --out better.gguf", quoted(names.original),
                        kCarefulKl),
            ""};
  }
  if (cause == Cause::kModel) {
    return {
        "the model cannot use what it is given; --original tells whether shrinking did it",
        fmt::format("paring diagnose {} --original ORIGINAL --cases CASES", quoted(names.model)),
        ""};
  }
  return {"take a larger model, or tune this one on corrected answers: the original fails as well",
          fmt::format("paring serve LARGER.gguf, or paring serve {} --lora tuned=ADAPTER",
                      quoted(names.model)),
          ""};
}

}  // namespace

std::vector<Lever> levers_for(const CaseReport& report, const LeverNames& names) {
  std::vector<Lever> levers;
  const Verdict& verdict = report.verdict;
  if (verdict.context_cause != Cause::kNeither) {
    levers.push_back(context_lever(report, verdict.context_cause, names));
  }
  if (verdict.model_cause != Cause::kNeither) {
    levers.push_back(model_lever(verdict.model_cause, names));
  }
  if (levers.empty()) {
    levers.push_back(
        {"look at the rating: the model answers as it should, or the reference is "
         "not what the documents say",
         "", ""});
  }
  return levers;
}

}  // namespace paring::advise
