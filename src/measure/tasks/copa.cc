// SPDX-License-Identifier: Apache-2.0
// COPA: cause or effect of a premise.
#include <fmt/format.h>

#include "embed_copa.h"
#include "measure/tasks/detail/python_text.h"
#include "measure/tasks/detail/question.h"

namespace paring::measure {

namespace {

// The harness separates context and choice by two blanks here: its choices begin with one, and its
// delimiter is another. acc_norm is not defined for this task, so lengths do not matter.
TaskItem item_of(std::string_view premise, std::string_view connector, std::size_t gold,
                 const std::vector<std::string>& choices) {
  TaskItem item;
  item.context = fmt::format("{} {}", premise, connector);
  item.gold = gold;
  std::vector<std::string> shown;
  for (const std::string& choice : choices) shown.push_back(" " + lower_first(choice));
  set_choices(item, shown);
  return item;
}

// Official fields: premise, question ("cause" or "effect"), choice1, choice2, label.
Result<TaskItem> read_official(const Record& record) {
  PARING_TRY(const std::string premise, record.text("premise"));
  PARING_TRY(const std::string question, record.text("question"));
  PARING_TRY(const std::string first, record.text("choice1"));
  PARING_TRY(const std::string second, record.text("choice2"));
  if (first.empty() || second.empty()) return corrupt("field 'choice1' or 'choice2' is empty");
  PARING_TRY(const std::size_t gold, record.index("label", 2));
  if (question != "cause" && question != "effect") {
    return corrupt("field 'question' is neither 'cause' nor 'effect'");
  }
  std::string_view sentence = strip(premise);
  if (!sentence.empty()) sentence.remove_suffix(1);  // its full stop
  return item_of(sentence, question == "cause" ? "because" : "therefore", gold, {first, second});
}

// llm-foundry's: "The man turned on the faucet, therefore".
Result<TaskItem> read_joined(const Record& record) {
  PARING_TRY(const std::string query, record.text("query"));
  PARING_TRY(const std::vector<std::string> choices, record.choices("choices"));
  PARING_TRY(const std::size_t gold, record.index("gold", choices.size()));
  const std::size_t comma = query.rfind(", ");
  const std::string connector = comma == std::string::npos ? "" : query.substr(comma + 2);
  if (connector != "because" && connector != "therefore") {
    return corrupt("field 'query' does not end in ', because' or ', therefore'");
  }
  return item_of(std::string_view(query).substr(0, comma), connector, gold, choices);
}

Result<TaskItem> read(const Record& record) {
  return record.has("premise") ? read_official(record) : read_joined(record);
}

constexpr const char* kFiles[] = {"copa.jsonl", "commonsense/copa.jsonl"};

}  // namespace

extern const Task kCopa;
const Task kCopa{.name = "copa",
                 .summary = "cause or effect, 2 choices",
                 .kind = TaskKind::kChoice,
                 .has_acc_norm = false,
                 .files = kFiles,
                 .builtin = {paring_embed_copa, paring_embed_copa_size},
                 .read = read};

}  // namespace paring::measure
