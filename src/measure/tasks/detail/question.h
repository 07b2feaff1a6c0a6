// SPDX-License-Identifier: Apache-2.0
// What the question-and-answer tasks share. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "measure/tasks/detail/record.h"
#include "measure/tasks/task.h"

namespace paring::measure {

// llm-foundry's layout: {"query": ..., "choices": [...], "gold": 0}; `prefix` is taken off the
// query, which must begin with it.
Result<TaskItem> read_query(const Record& record, std::string_view prefix);

// The official layout of ARC and OpenBookQA, as Hugging Face's `datasets` has it:
// {FIELD: ..., "choices": {"text": [...], "label": ["A", ...]}, "answerKey": "A"}.
Result<TaskItem> read_labelled(const Record& record, const char* field);

// Fills continuations (after one blank) and lengths.
void set_choices(TaskItem& item, const std::vector<std::string>& choices);

// "Question: ...\nAnswer:"
std::string question_prompt(std::string_view question);

}  // namespace paring::measure
