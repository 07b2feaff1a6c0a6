// SPDX-License-Identifier: Apache-2.0
#include "improve/score_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/sha256.h"
#include "improve/labels.h"
#include "monitor/traffic_export.h"

namespace paring::improve {

namespace {

using store::TrafficRequest;

constexpr double kNormal95 = 1.959963984540054;
constexpr std::size_t kIdDigits = 24;
constexpr const char* kAuthor = "paring score";
constexpr const char* kFingerprint = "scorer";
constexpr std::size_t kCommentBytesMax = 2000;

// Student's t for 97.5 % with `freedom` degrees, by Hill's expansion (Algorithm 396, CACM 13, 1970)
// in powers of 1 / freedom; exact for the first few, where it is worst.
double student_t(double freedom) {
  constexpr double kExact[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706};
  if (freedom < 6) return kExact[static_cast<std::size_t>(freedom) - 1];
  const double z = kNormal95;
  const double z3 = z * z * z;
  const double z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

// At most kCommentBytesMax bytes, in whole characters.
std::string beginning_of(const std::string& text) {
  if (text.size() <= kCommentBytesMax) return text;
  std::size_t end = kCommentBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

// An answer that is to be scored.
struct Answer {
  TrafficRequest row;
  Exchange exchange;
  std::optional<std::string> reference;
};

struct Sums {
  double sum = 0;
  double squares = 0;
  void add(double value) {
    sum += value;
    squares += value * value;
  }
};

class Run {
 public:
  Run(const store::Scores& scores, std::span<const std::unique_ptr<Scorer>> scorers,
      const ScoreRunOptions& options, std::int64_t now_s)
      : scores_(scores),
        scorers_(scorers),
        options_(options),
        now_s_(now_s),
        sums_(scorers.size()),
        failures_(scorers.size()) {
    for (const auto& scorer : scorers) {
      ScorerTally tally;
      tally.name = scorer->name();
      tally.kind = scorer->kind();
      report_.tallies.push_back(std::move(tally));
      needs_reference_ |= scorer->needs_reference();
    }
  }

  bool needs_reference() const { return needs_reference_; }
  bool is_full() const {
    return options_.limit > 0 && report_.answers >= static_cast<std::int64_t>(options_.limit);
  }
  // For scorers that need a reference.
  void set_answers(AnswerScores answers) { answers_ = std::move(answers); }

  Result<void> take(std::span<const TrafficRequest> rows) {
    std::vector<Answer> answers;
    for (const TrafficRequest& row : rows) {
      if (is_full()) break;
      ++report_.requests;
      PARING_TRY(auto answer, read(row));
      if (!answer) continue;
      ++report_.answers;
      answers.push_back(std::move(*answer));
    }
    std::vector<store::ScoreRow> made;
    for (std::size_t s = 0; s < scorers_.size(); ++s) PARING_TRY_VOID(judge(answers, s, made));
    if (made.empty()) return {};
    return scores_.put_all(made, store::kScoresOfTenantMax);
  }

  ScoreReport finish() {
    for (std::size_t s = 0; s < scorers_.size(); ++s) summarize(report_.tallies[s], sums_[s]);
    return std::move(report_);
  }

 private:
  Result<std::optional<Answer>> read(const TrafficRequest& row) {
    const auto left_out = [&](const char* why) {
      ++report_.left_out[why];
      return std::optional<Answer>();
    };
    if (!row.content) return left_out("its text was not kept");
    if (row.status < 200 || row.status > 299) return left_out("refused or failed");
    Result<Exchange> exchange = read_exchange(*row.content);
    if (!exchange) return left_out("its text is not in the form that a server keeps");
    if (exchange->is_answer_cut) return left_out("its answer was cut when it was kept");
    Answer answer{row, std::move(exchange).value(), std::nullopt};
    if (needs_reference_) {
      PARING_TRY(const auto rows, answers_->of(row));
      answer.reference = labels_of(rows, {}).correction;
    }
    return std::optional(std::move(answer));
  }

  // Adds what one scorer says of those that it has not scored yet.
  Result<void> judge(const std::vector<Answer>& answers, std::size_t s,
                     std::vector<store::ScoreRow>& made) {
    Scorer& scorer = *scorers_[s];
    ScorerTally& tally = report_.tallies[s];
    std::vector<const Answer*> left;
    std::vector<Judged> judged;
    for (const Answer& answer : answers) {
      PARING_TRY(const auto before,
                 scores_.find(answer.row.tenant, score_id_of(answer.row, scorer.name())));
      if (before && before->number && is_of(*before, scorer)) {
        ++tally.there;
        tally.is_boolean = before->type == "boolean";
        sums_[s].add(*before->number);
        continue;
      }
      left.push_back(&answer);
      judged.push_back({answer.exchange, answer.row.tokens.answer_visible, answer.reference});
    }
    if (failures_[s] >= kFailuresInARowMax) {
      tally.not_asked += static_cast<std::int64_t>(judged.size());
      return {};
    }
    auto marks = scorer.score_all(judged);
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (!marks[i]) {
        ++failures_[s];
        if (++tally.failed == 1) tally.first_error = marks[i].error().text();
        continue;
      }
      failures_[s] = 0;
      if (!*marks[i]) {
        ++tally.not_about;
        continue;
      }
      const Mark& mark = **marks[i];
      ++tally.scored;
      tally.is_boolean = mark.is_boolean;
      sums_[s].add(mark.value);
      made.push_back(row_of(left[i]->row, scorer, mark));
    }
    return {};
  }

  static bool is_of(const store::ScoreRow& row, const Scorer& scorer) {
    if (!row.metadata) return false;
    const auto json = nlohmann::json::parse(*row.metadata, nullptr, false);
    return json.is_object() && json.value(kFingerprint, nlohmann::json()) == scorer.fingerprint();
  }

  store::ScoreRow row_of(const TrafficRequest& row, const Scorer& scorer, const Mark& mark) const {
    store::ScoreRow score;
    score.tenant = row.tenant;
    score.id = score_id_of(row, scorer.name());
    score.subject_kind = "response";
    score.subject_id = row.id;
    score.name = scorer.name();
    score.type = mark.is_boolean ? "boolean" : "numeric";
    score.number = mark.value;
    score.comment = beginning_of(mark.comment);
    score.source = scorer.source();
    score.author = kAuthor;
    score.metadata =
        nlohmann::json({{kFingerprint, scorer.fingerprint()}, {"kind", scorer.kind()}}).dump();
    score.created_s = score.updated_s = now_s_;
    return score;
  }

  static void summarize(ScorerTally& tally, const Sums& sums) {
    const auto count = static_cast<double>(tally.count());
    if (count == 0) return;
    tally.mean = sums.sum / count;
    if (tally.is_boolean) {
      const Interval interval = wilson_interval(sums.sum, count);
      tally.low = interval.low;
      tally.high = interval.high;
      return;
    }
    tally.low = tally.high = tally.mean;
    if (count < 2) return;
    const double variance =
        std::max(0.0, (sums.squares - count * tally.mean * tally.mean) / (count - 1));
    const double half = student_t(count - 1) * std::sqrt(variance / count);
    tally.low -= half;
    tally.high += half;
  }

  const store::Scores& scores_;
  const std::span<const std::unique_ptr<Scorer>> scorers_;
  const ScoreRunOptions& options_;
  const std::int64_t now_s_;
  std::vector<Sums> sums_;
  std::vector<std::int64_t> failures_;  // in a row
  std::optional<AnswerScores> answers_;
  ScoreReport report_;
  bool needs_reference_ = false;
};

}  // namespace

Interval wilson_interval(double yes, double count) {
  const double z2 = kNormal95 * kNormal95;
  const double share = yes / count;
  const double centre = (share + z2 / (2 * count)) / (1 + z2 / count);
  const double half = kNormal95 / (1 + z2 / count) *
                      std::sqrt(share * (1 - share) / count + z2 / (4 * count * count));
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

std::string score_id_of(const TrafficRequest& row, const std::string& scorer) {
  Sha256 hash;
  for (const std::string* part : {&row.id, &row.span_id, &scorer}) {
    hash.update(std::to_string(part->size()) + ':' + *part);
  }
  return "auto_" + hex(hash.finish()).substr(0, kIdDigits);
}

Result<ScoreReport> run_scorers(const store::TrafficDb& traffic, const store::Scores& scores,
                                std::span<const std::unique_ptr<Scorer>> scorers,
                                const ScoreRunOptions& options, std::int64_t now_s,
                                const std::function<void(std::size_t)>& on_requests) {
  if (!options.filter.tenant) {
    return invalid_argument("scores are of one tenant, and none is chosen");
  }
  Run run(scores, scorers, options, now_s);
  if (run.needs_reference()) {
    PARING_TRY(AnswerScores answers, AnswerScores::open(scores, *options.filter.tenant));
    PARING_TRY_VOID(monitor::export_traffic(traffic, options.filter, /*with_content=*/false,
                                            [&](auto rows) -> Result<void> {
                                              answers.note(rows);
                                              return {};
                                            }));
    run.set_answers(std::move(answers));
  }
  std::string cursor;
  do {
    PARING_TRY(store::TrafficPage page,
               traffic.page(options.filter, cursor, kScoredAtOnce, store::TrafficParts::kAll));
    PARING_TRY_VOID(run.take(page.rows));
    if (on_requests) on_requests(page.rows.size());
    cursor = std::move(page.next);
  } while (!cursor.empty() && !run.is_full());
  return run.finish();
}

}  // namespace paring::improve
