// SPDX-License-Identifier: Apache-2.0
#include "advise/diagnosis/diagnosis.h"

#include <algorithm>

#include "advise/diagnosis/words.h"

namespace paring::advise {

namespace {

constexpr std::size_t kHitsMax = 200;  // passages that are looked at for the reference
constexpr std::size_t kShortAnswerWords = 12;

constexpr ReplayKind kKinds[] = {
#define PARING_X(name, text, what) ReplayKind::name,
    PARING_REPLAY_KINDS(PARING_X)
#undef PARING_X
};

std::size_t index_of(ReplayKind kind) { return static_cast<std::size_t>(kind); }

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += all.empty() ? part : "\n\n" + part;
  return all;
}

std::string instruction_for(const CaseReport& report, bool has_text) {
  const bool is_short = words_of(report.input.reference).size() <= kShortAnswerWords;
  if (is_short && has_text) return "Answer the question with a few words from the text.";
  if (is_short) return "Answer the question with a few words.";
  return has_text ? "Answer the question from the text." : "Answer the question.";
}

// Figures of one model that the signals are made of.
struct Figures {
  explicit Figures(const SideReplays& side, const std::string& reference) {
    for (const ReplayKind kind : kKinds) {
      // What could not be made is as good as what was sent.
      const std::optional<Replay>& own = side.replays[index_of(kind)];
      const std::optional<Replay>& replay = own ? own : side.replays[index_of(ReplayKind::kAsSent)];
      if (!replay) continue;
      right[index_of(kind)] = is_same_answer(replay->answer, reference) ? 1 : 0;
      logp[index_of(kind)] = std::max(replay->reference_log_probability, kLeastLogProbability);
      answer[index_of(kind)] = replay->answer;
    }
  }
  double right_at(ReplayKind kind) const { return right[index_of(kind)]; }
  double logp_at(ReplayKind kind) const { return logp[index_of(kind)]; }
  bool is_right_after_a_change() const {
    return right_at(ReplayKind::kEvidence) + right_at(ReplayKind::kPlain) +
               right_at(ReplayKind::kBoth) >
           0;
  }
  const std::string& answer_at(ReplayKind kind) const { return answer[index_of(kind)]; }
  double gain(ReplayKind to, ReplayKind from) const { return logp_at(to) - logp_at(from); }

  std::array<double, kReplayKinds> right{};
  std::array<double, kReplayKinds> logp{};
  std::array<std::string, kReplayKinds> answer;
};

bool says_the_same(const std::string& a, const std::string& b) {
  return is_same_answer(a, b) || is_same_answer(b, a);
}

Signals signals_of(const CaseReport& report) {
  using enum ReplayKind;
  const std::string& reference = report.input.reference;
  const std::string given = joined(report.input.context);
  Signals s;
  s.has_evidence = !report.evidence.text.empty();
  s.grounded = holds(given, reference) ? 1 : 0;
  s.overlap = word_overlap(given, report.evidence.text);
  const Figures served(report.served, reference);
  s.served_right_sent = served.right_at(kAsSent);
  s.served_right_evidence = served.right_at(kEvidence);
  s.served_right_plain = served.right_at(kPlain);
  s.served_right_both = served.right_at(kBoth);
  s.served_logp_both = served.logp_at(kBoth);
  s.served_gain_evidence = served.gain(kEvidence, kAsSent);
  s.served_gain_plain = served.gain(kPlain, kAsSent);
  s.served_gain_both = served.gain(kBoth, kAsSent);
  s.served_use_of_context = served.gain(kPlain, kClosedBook);
  s.steady = served.right_at(kBoth) == 0 &&
                     says_the_same(served.answer_at(kAsSent), served.answer_at(kBoth))
                 ? 1
                 : 0;
  const bool is_helpless = served.right_at(kAsSent) == 0 && !served.is_right_after_a_change();
  s.helpless = is_helpless ? 1 : 0;
  s.has_original = report.original.has_value();
  if (!report.original) return s;
  const Figures original(*report.original, reference);
  s.original_right_sent = original.right_at(kAsSent);
  s.original_right_evidence = original.right_at(kEvidence);
  s.original_right_plain = original.right_at(kPlain);
  s.original_right_both = original.right_at(kBoth);
  s.original_logp_both = original.logp_at(kBoth);
  s.original_gain_evidence = original.gain(kEvidence, kAsSent);
  s.original_gain_plain = original.gain(kPlain, kAsSent);
  s.original_gain_both = original.gain(kBoth, kAsSent);
  s.model_gain_sent = original.logp_at(kAsSent) - served.logp_at(kAsSent);
  s.model_gain_both = original.logp_at(kBoth) - served.logp_at(kBoth);
  s.agreed = original.right_at(kBoth) == 0 &&
                     says_the_same(served.answer_at(kBoth), original.answer_at(kBoth))
                 ? 1
                 : 0;
  const bool original_sent = original.right_at(kAsSent) != 0;
  const bool original_changed = original.is_right_after_a_change();
  s.hopeless = is_helpless && !original_sent && !original_changed ? 1 : 0;
  s.recovered = !original_sent && original_changed ? 1 : 0;
  return s;
}

}  // namespace

Diagnosis::Diagnosis(std::vector<Case> cases, Passages passages, DiagnosisOptions options)
    : passages_(std::move(passages)), options_(std::move(options)) {
  for (Case& c : cases) {
    Item item;
    item.report.input = std::move(c);
    item.report.is_reference_made = item.report.input.reference.empty();
    find_evidence(item);
    items_.push_back(std::move(item));
  }
}

// The best passage for the question that holds the reference; without such a one the best for
// question and reference together. The prompt's own context counts where no document has it.
void Diagnosis::find_evidence(Item& item) const {
  const Case& c = item.report.input;
  Evidence& evidence = item.report.evidence;
  evidence = {};
  for (const Passages::Hit& hit : passages_.search(c.question, kHitsMax)) {
    const Passage& passage = passages_.at(hit.passage);
    if (!c.reference.empty() && !holds(passage.text, c.reference)) continue;
    evidence = {passage.text, passage.document, passages_.rank(c.question, hit.passage),
                !c.reference.empty()};
    return;
  }
  for (const std::string& context : c.context) {
    if (!holds(context, c.reference)) continue;
    evidence = {context, "", 0, true};
    return;
  }
  const auto hits = passages_.search(c.question + " " + c.reference, 1);
  if (hits.empty()) return;
  const Passage& passage = passages_.at(hits[0].passage);
  evidence = {passage.text, passage.document, passages_.rank(c.question, hits[0].passage), false};
}

std::optional<std::string> Diagnosis::prompt_of(const Item& item, ReplayKind kind) const {
  const CaseReport& report = item.report;
  const auto plain = [&](const std::string& text) {
    const std::string instruction = options_.instruction.empty()
                                        ? instruction_for(report, !text.empty())
                                        : options_.instruction;
    return plain_prompt(report.input, instruction, text);
  };
  switch (kind) {
    case ReplayKind::kAsSent:
      return report.input.prompt;
    case ReplayKind::kEvidence:
      if (report.evidence.text.empty()) return std::nullopt;
      return with_context(report.input, report.evidence.text);
    case ReplayKind::kPlain:
      return plain(joined(report.input.context));
    case ReplayKind::kBoth:
      if (report.evidence.text.empty()) return plain(joined(report.input.context));
      return plain(report.evidence.text);
    case ReplayKind::kClosedBook:
      return plain("");
  }
  return std::nullopt;
}

Result<std::string> Diagnosis::best_answer(Replayer& replayer, const Item& item) const {
  const std::string prompt = *prompt_of(item, ReplayKind::kBoth);
  PARING_TRY(const std::vector<Replay> replays, replayer.run({&prompt, 1}, ""));
  return replays[0].answer;
}

Result<void> Diagnosis::replay_case(Replayer& replayer, Side side, Item& item) {
  CaseReport& report = item.report;
  if (report.input.reference.empty()) {
    PARING_TRY(report.input.reference, best_answer(replayer, item));
    if (words_of(report.input.reference).empty()) {
      return invalid_argument("there is no reference, and the best replay says nothing",
                              "give the case a \"reference\"");
    }
  }
  // Prompts that are the same are run once.
  std::vector<std::string> prompts;
  std::array<std::optional<std::size_t>, kReplayKinds> places;
  for (const ReplayKind kind : kKinds) {
    const std::optional<std::string> prompt = prompt_of(item, kind);
    if (!prompt) continue;
    report.prompts[index_of(kind)] = *prompt;
    const auto found = std::find(prompts.begin(), prompts.end(), *prompt);
    places[index_of(kind)] = static_cast<std::size_t>(found - prompts.begin());
    if (found == prompts.end()) prompts.push_back(*prompt);
  }
  PARING_TRY(const std::vector<Replay> replays, replayer.run(prompts, report.input.reference));
  SideReplays done;
  for (const ReplayKind kind : kKinds) {
    if (const auto place = places[index_of(kind)]) done.replays[index_of(kind)] = replays[*place];
  }
  if (!report.input.answer.empty()) {
    PARING_TRY(AnswerTrace trace, replayer.trace(report.input.prompt, report.input.answer));
    if (!trace.positions.empty()) done.answer_log_probability = trace.mean_log_probability();
    if (side == Side::kOriginal) item.trace = std::move(trace);
  }
  if (side == Side::kOriginal) {
    report.original = std::move(done);
    return {};
  }
  report.served = std::move(done);
  if (item.trace) {
    PARING_TRY(report.divergence,
               replayer.divergence(report.input.prompt, report.input.answer, *item.trace));
  }
  return {};
}

Result<void> Diagnosis::replay(Replayer& replayer, Side side, ProgressSink& progress) {
  progress.begin(
      side == Side::kServed ? "replaying with the served model" : "replaying with the original",
      items_.size());
  for (Item& item : items_) {
    if (item.report.error.empty()) {
      auto done = replay_case(replayer, side, item);
      if (!done && done.error().code != ErrorCode::kInvalidArgument) return std::move(done.error());
      if (!done) item.report.error = done.error().text();
    }
    progress.advance();
  }
  progress.end();
  return {};
}

std::vector<CaseReport> Diagnosis::reports() const {
  std::vector<CaseReport> reports;
  for (const Item& item : items_) {
    CaseReport report = item.report;
    if (report.error.empty()) {
      report.signals = signals_of(report);
      report.verdict = judge(report.signals, !report.input.context.empty());
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace paring::advise
