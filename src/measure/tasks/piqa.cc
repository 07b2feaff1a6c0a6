// SPDX-License-Identifier: Apache-2.0
// PIQA: which of two ways reaches an everyday goal.
#include "embed_piqa.h"
#include "measure/tasks/detail/question.h"

namespace paring::measure {

namespace {

// Official fields: goal, sol1, sol2, label.
Result<TaskItem> read_official(const Record& record) {
  TaskItem item;
  PARING_TRY(item.context, record.text("goal"));
  PARING_TRY(const std::string first, record.text("sol1"));
  PARING_TRY(const std::string second, record.text("sol2"));
  if (first.empty() || second.empty()) return corrupt("field 'sol1' or 'sol2' is empty");
  PARING_TRY(item.gold, record.index("label", 2));
  set_choices(item, {first, second});
  return item;
}

Result<TaskItem> read(const Record& record) {
  PARING_TRY(TaskItem item,
             record.has("goal") ? read_official(record) : read_query(record, "Question: "));
  // llm-foundry's query ends with the newline that the prompt has before "Answer:".
  if (!record.has("goal") && item.context.ends_with('\n')) item.context.pop_back();
  item.context = question_prompt(item.context);
  return item;
}

constexpr const char* kFiles[] = {"piqa.jsonl", "piqa/piqa.jsonl"};

}  // namespace

extern const Task kPiqa;
const Task kPiqa{.name = "piqa",
                 .summary = "everyday physics, 2 choices",
                 .kind = TaskKind::kChoice,
                 .has_acc_norm = true,
                 .files = kFiles,
                 .builtin = {paring_embed_piqa, paring_embed_piqa_size},
                 .read = read};

}  // namespace paring::measure
