// SPDX-License-Identifier: Apache-2.0
#include "measure/tasks/detail/question.h"

#include <fmt/format.h>

#include <algorithm>

#include "measure/tasks/detail/python_text.h"

namespace paring::measure {

void set_choices(TaskItem& item, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    item.continuations.push_back(" " + choice);
    item.lengths.push_back(length(choice));
  }
}

std::string question_prompt(std::string_view question) {
  return fmt::format("Question: {}\nAnswer:", question);
}

Result<TaskItem> read_query(const Record& record, std::string_view prefix) {
  TaskItem item;
  PARING_TRY(item.context, record.text("query"));
  if (!item.context.starts_with(prefix)) {
    return corrupt(fmt::format("field 'query' does not begin with '{}'", prefix));
  }
  item.context.erase(0, prefix.size());
  PARING_TRY(const std::vector<std::string> choices, record.choices("choices"));
  PARING_TRY(item.gold, record.index("gold", choices.size()));
  set_choices(item, choices);
  return item;
}

Result<TaskItem> read_labelled(const Record& record, const char* field) {
  TaskItem item;
  PARING_TRY(item.context, record.text(field));
  PARING_TRY(const std::vector<std::string> choices, record.choices("choices", "text"));
  PARING_TRY(const std::vector<std::string> labels, record.choices("choices", "label"));
  PARING_TRY(const std::string key, record.text("answerKey"));
  const auto found = std::find(labels.begin(), labels.end(), strip(key));
  if (labels.size() != choices.size() || found == labels.end()) {
    return corrupt(
        fmt::format("field 'answerKey' ('{}') is none of the {} labels", key, labels.size()));
  }
  item.gold = static_cast<std::size_t>(found - labels.begin());
  set_choices(item, choices);
  return item;
}

}  // namespace paring::measure
