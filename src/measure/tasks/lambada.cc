// SPDX-License-Identifier: Apache-2.0
// LAMBADA, OpenAI's version: the last word of a passage.
#include "embed_lambada_openai.h"
#include "measure/tasks/detail/python_text.h"
#include "measure/tasks/detail/record.h"
#include "measure/tasks/task.h"

namespace paring::measure {

namespace {

// The harness' rows are {"text": passage}; llm-foundry's {"context": ..., "continuation": word}.
Result<TaskItem> read(const Record& record) {
  TaskItem item;
  std::string word;
  if (record.has("text")) {
    PARING_TRY(const std::string text, record.text("text"));
    const std::size_t blank = text.rfind(' ');
    if (blank == std::string::npos) return corrupt("field 'text' is a single word");
    item.context = text.substr(0, blank);
    word = text.substr(blank + 1);
  } else {
    PARING_TRY(item.context, record.text("context"));
    PARING_TRY(word, record.text("continuation"));
  }
  if (word.empty()) return corrupt("the last word is empty");
  item.lengths.push_back(length(word));
  item.continuations.push_back(" " + word);
  return item;
}

constexpr const char* kFiles[] = {"lambada_openai.jsonl", "lambada/lambada_openai.jsonl"};

}  // namespace

extern const Task kLambadaOpenai;
const Task kLambadaOpenai{
    .name = "lambada_openai",
    .summary = "the last word of a passage, by greedy decoding; perplexity of the word",
    .kind = TaskKind::kLastWord,
    .has_acc_norm = false,
    .files = kFiles,
    .builtin = {paring_embed_lambada_openai, paring_embed_lambada_openai_size},
    .read = read};

}  // namespace paring::measure
