// SPDX-License-Identifier: Apache-2.0
// ARC, easy and challenge: questions of school science.
#include "embed_arc_easy.h"
#include "measure/tasks/detail/question.h"

namespace paring::measure {

namespace {

Result<TaskItem> read(const Record& record) {
  PARING_TRY(TaskItem item, record.has("question") ? read_labelled(record, "question")
                                                   : read_query(record, "Question: "));
  item.context = question_prompt(item.context);
  return item;
}

constexpr const char* kEasyFiles[] = {"arc_easy.jsonl", "arc/arc_easy.jsonl"};
constexpr const char* kChallengeFiles[] = {"arc_challenge.jsonl", "arc/arc_challenge.jsonl"};

}  // namespace

extern const Task kArcEasy;
const Task kArcEasy{.name = "arc_easy",
                    .summary = "school science, 3 to 5 choices",
                    .kind = TaskKind::kChoice,
                    .has_acc_norm = true,
                    .files = kEasyFiles,
                    .builtin = {paring_embed_arc_easy, paring_embed_arc_easy_size},
                    .read = read};

extern const Task kArcChallenge;
const Task kArcChallenge{.name = "arc_challenge",
                         .summary = "harder school science, 3 to 5 choices; needs --data",
                         .kind = TaskKind::kChoice,
                         .has_acc_norm = true,
                         .files = kChallengeFiles,
                         .builtin = {},
                         .read = read};

}  // namespace paring::measure
