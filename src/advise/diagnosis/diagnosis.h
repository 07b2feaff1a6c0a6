// SPDX-License-Identifier: Apache-2.0
// Why an answer was bad, on two axes: was the needed information in the context (prompt,
// retrieval), and could the model use it. Answered by an experiment, not by reading: the request is
// replayed with the prompt as it was, with better context, with a plain instruction, with both, and
// without any context, by the model that served it and by the original that it was made from.
//
//   Diagnosis diagnosis(std::move(cases), std::move(passages), options);
//   PARING_TRY_VOID(diagnosis.replay(original_replayer, Side::kOriginal, progress));  // first
//   PARING_TRY_VOID(diagnosis.replay(served_replayer, Side::kServed, progress));
//   for (const CaseReport& report : diagnosis.reports()) ...
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "advise/diagnosis/case.h"
#include "advise/diagnosis/passages.h"
#include "advise/diagnosis/replayer.h"
#include "advise/diagnosis/verdict.h"
#include "base/progress.h"

namespace paring::advise {

struct DiagnosisOptions {
  // What the task is, in plain words; empty: to answer the question from the text.
  std::string instruction;
};

enum class Side : std::uint8_t { kServed, kOriginal };

// The passage that answers, as far as it could be found.
struct Evidence {
  std::string text;      // empty: none was found
  std::string document;  // empty: a part of the prompt itself
  std::size_t rank = 0;  // place in a search for the question alone; 0: not found by it
  bool has_reference = false;
};

// Replays of one model; nothing where the prompt could not be made.
struct SideReplays {
  std::array<std::optional<Replay>, kReplayKinds> replays;
  std::optional<double> answer_log_probability;  // of the answer as served, nats a token
};

struct CaseReport {
  Case input;
  bool is_reference_made = false;  // nobody gave one: the best replay's answer stands for it
  Evidence evidence;
  std::array<std::string, kReplayKinds> prompts;  // of the replays, as JSON; empty: none was made
  SideReplays served;
  std::optional<SideReplays> original;
  std::optional<double> divergence;  // KL(original || served) along the answer, nats a token
  Signals signals;
  Verdict verdict;
  std::string error;  // not empty: why this case could not be diagnosed
};

class Diagnosis {
 public:
  // `passages` may be empty: then the prompt's own context is all that can be searched.
  Diagnosis(std::vector<Case> cases, Passages passages, DiagnosisOptions options);

  // The original goes first. A case that does not fit into the model's context gets an error, and
  // the others go on.
  Result<void> replay(Replayer& replayer, Side side, ProgressSink& progress);
  // Judged with what was replayed. REQUIRES: kServed was.
  std::vector<CaseReport> reports() const;

 private:
  struct Item;
  Result<void> replay_case(Replayer& replayer, Side side, Item& item);
  void find_evidence(Item& item) const;
  std::optional<std::string> prompt_of(const Item& item, ReplayKind kind) const;
  Result<std::string> best_answer(Replayer& replayer, const Item& item) const;

  struct Item {
    CaseReport report;
    std::optional<AnswerTrace> trace;  // of the original
  };
  std::vector<Item> items_;
  Passages passages_;
  DiagnosisOptions options_;
};

}  // namespace paring::advise
