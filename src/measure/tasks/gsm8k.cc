// SPDX-License-Identifier: Apache-2.0
// GSM8K: word problems, answered in text. The harness draws its solved examples at random for each
// item; here they are always the first of the training split (its sampler "first_n").
#include <algorithm>

#include "embed_gsm8k.h"
#include "embed_gsm8k_examples.h"
#include "measure/tasks/detail/python_text.h"
#include "measure/tasks/detail/question.h"

namespace paring::measure {

namespace {

constexpr const char* kInvalid = "[invalid]";

bool is_any(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

// First match of  #### (\-?[0-9\.\,]+)
std::string strict(std::string_view text) {
  constexpr std::string_view kMark = "#### ";
  for (std::size_t at = text.find(kMark); at != std::string_view::npos;
       at = text.find(kMark, at + 1)) {
    const std::size_t begin = at + kMark.size();
    std::size_t end = begin + (begin < text.size() && text[begin] == '-' ? 1 : 0);
    const std::size_t digits = end;
    while (end < text.size() && is_any(text[end], "0123456789.,")) ++end;
    if (end > digits) return std::string(text.substr(begin, end - begin));
  }
  return kInvalid;
}

// Last match of  (-?[$0-9.,]{2,})|(-?[0-9]+)
std::string flexible(std::string_view text) {
  std::string last = kInvalid;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at + (text[at] == '-' ? 1 : 0);
    std::size_t end = begin;
    while (end < text.size() && is_any(text[end], "$0123456789.,")) ++end;
    const bool is_digit = end == begin + 1 && is_any(text[begin], "0123456789");
    if (end >= begin + 2 || is_digit) {
      last = std::string(text.substr(at, end - at));
      at = end;
    } else {
      ++at;
    }
  }
  return last;
}

// What the harness ignores in both: commas, dollars, all up to the last "#### ", a full stop at the
// end, case.
std::string normalized(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c != ',' && c != '$') result += c;
  }
  const std::size_t mark = result.rfind("#### ");
  if (mark != std::string::npos) result.erase(0, mark + 5);
  if (result.ends_with('.')) result.pop_back();
  std::transform(result.begin(), result.end(), result.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return result;
}

bool is_same(std::string_view answer, std::string_view reference) {
  return normalized(answer) == normalized(reference);
}

Result<TaskItem> read(const Record& record) {
  TaskItem item;
  PARING_TRY(const std::string question, record.text("question"));
  PARING_TRY(item.answer, record.text("answer"));
  item.context = question_prompt(question);
  return item;
}

constexpr const char* kFiles[] = {"gsm8k.jsonl", "gsm8k/test.jsonl"};
constexpr const char* kStops[] = {"Question:", "</s>", "<|im_end|>"};
constexpr Extraction kExtractions[] = {{"strict-match", strict}, {"flexible-extract", flexible}};

}  // namespace

extern const Task kGsm8k;
const Task kGsm8k{.name = "gsm8k",
                  .summary = "word problems, generated answers after solved examples",
                  .kind = TaskKind::kGenerate,
                  .has_acc_norm = false,
                  .files = kFiles,
                  .builtin = {paring_embed_gsm8k, paring_embed_gsm8k_size},
                  .read = read,
                  .examples = {paring_embed_gsm8k_examples, paring_embed_gsm8k_examples_size},
                  .shots = 5,
                  .stops = kStops,
                  .max_tokens = 256,
                  .extractions = kExtractions,
                  .is_same = is_same};

}  // namespace paring::measure
