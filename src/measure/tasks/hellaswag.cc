// SPDX-License-Identifier: Apache-2.0
// HellaSwag: how a scene goes on. Official fields: activity_label, ctx_a, ctx_b, endings, label.
#include "embed_hellaswag.h"
#include "measure/tasks/detail/python_text.h"
#include "measure/tasks/detail/record.h"
#include "measure/tasks/task.h"

namespace paring::measure {

namespace {

// Marks of the WikiHow part are removed: " [title]" ends a sentence, other [marks] vanish.
std::string clean(std::string_view text) {
  const std::string titled = replace_all(strip(text), " [title]", ". ");
  std::string result;
  for (std::size_t at = 0; at < titled.size();) {
    const std::size_t end = titled[at] == '[' ? titled.find_first_of("]\n", at) : std::string::npos;
    if (end != std::string::npos && titled[end] == ']') {
      at = end + 1;
    } else {
      result += titled[at++];
    }
  }
  return replace_all(result, "  ", " ");
}

Result<TaskItem> read(const Record& record) {
  TaskItem item;
  PARING_TRY(const std::string label, record.text("activity_label"));
  PARING_TRY(const std::string before, record.text("ctx_a"));
  PARING_TRY(const std::string last, record.text("ctx_b"));
  PARING_TRY(const std::vector<std::string> endings, record.choices("endings"));
  PARING_TRY(item.gold, record.index("label", endings.size()));
  item.context = clean(label + ": " + before + " " + capitalize(last));
  for (const std::string& ending : endings) {
    const std::string choice = clean(ending);
    item.lengths.push_back(length(choice));
    item.continuations.push_back(" " + choice);
  }
  return item;
}

constexpr const char* kFiles[] = {"hellaswag.jsonl", "hellaswag/hellaswag.jsonl"};

}  // namespace

extern const Task kHellaswag;
const Task kHellaswag{.name = "hellaswag",
                      .summary = "how a scene goes on, 4 choices",
                      .kind = TaskKind::kChoice,
                      .has_acc_norm = true,
                      .files = kFiles,
                      .builtin = {paring_embed_hellaswag, paring_embed_hellaswag_size},
                      .read = read};

}  // namespace paring::measure
