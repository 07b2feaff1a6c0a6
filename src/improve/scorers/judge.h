// SPDX-License-Identifier: Apache-2.0
// A model as judge: it reads the question and the answer as data in JSON, which nothing in them can
// leave, with a rubric, and says why and how good on a scale. Against a reference it is asked
// twice, with both in either place: who stands first must not matter.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "improve/scorers/judge_model.h"
#include "improve/scorers/scorer.h"

namespace paring::improve {

struct JudgeOptions {
  std::string rubric;
  int least = 1;  // of the scale
  int most = 5;
  bool is_pairwise = false;  // answer against reference
};

inline constexpr int kScaleMost = 100;
// Of a question with its answer and reference; longer ones are not judged.
inline constexpr std::size_t kJudgedBytesMax = std::size_t{256} << 10;

JudgeQuestion judge_question(const JudgeOptions& options, const Judged& judged);
// `answer_first`: which of the two is A.
JudgeQuestion pair_question(const JudgeOptions& options, const Judged& judged, bool answer_first);
// What the judge wrote, read: Corrupt when it is not what was asked for.
Result<Mark> read_judgement(const JudgeOptions& options, std::string_view text);
enum class Better { kA, kB, kTie };
Result<Better> read_better(std::string_view text);
// 1: the answer won both times; 0: it lost both times; 0.5 else, with why.
Mark mark_of_pair(Better answer_first, Better answer_second);

std::unique_ptr<Scorer> make_judge_scorer(const JudgeOptions& options,
                                          std::shared_ptr<JudgeModel> model);

}  // namespace paring::improve
