// SPDX-License-Identifier: Apache-2.0
// OpenBookQA: elementary science, the question alone as context.
#include "embed_openbookqa.h"
#include "measure/tasks/detail/question.h"

namespace paring::measure {

namespace {

Result<TaskItem> read(const Record& record) {
  return record.has("question_stem") ? read_labelled(record, "question_stem")
                                     : read_query(record, "");
}

constexpr const char* kFiles[] = {"openbookqa.jsonl", "openbook_qa.jsonl",
                                  "commonsense/openbook_qa.jsonl"};

}  // namespace

extern const Task kOpenbookqa;
const Task kOpenbookqa{.name = "openbookqa",
                       .summary = "elementary science, 4 choices",
                       .kind = TaskKind::kChoice,
                       .has_acc_norm = true,
                       .files = kFiles,
                       .builtin = {paring_embed_openbookqa, paring_embed_openbookqa_size},
                       .read = read};

}  // namespace paring::measure
