// SPDX-License-Identifier: Apache-2.0
// Evaluation tasks by the definitions of lm-evaluation-harness (0.4): what a model is asked, which
// answers are compared, what counts as right. A task is one file here and one line in registry.cc.
// Immutable, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::measure {

class Record;  // tasks/detail/record.h

enum class TaskKind : std::uint8_t {
  kChoice,    // the most likely of several continuations
  kLastWord,  // one continuation: its likelihood, and whether greedy decoding gives it
  kGenerate,  // greedy text, from which an answer is taken
};

struct TaskItem {
  std::string context;
  // As scored, with the blank that separates them from the context. Empty for kGenerate.
  std::vector<std::string> continuations;
  // Characters of each choice without that blank: what acc_norm divides by.
  std::vector<std::size_t> lengths;
  std::size_t gold = 0;
  std::string answer;  // kGenerate: the reference
};

// A text that is taken for an answer, or not: kGenerate's metrics.
struct Extraction {
  const char* metric;
  // The answer in `text`; what the harness puts in its place ("[invalid]") when there is none.
  std::string (*extract)(std::string_view text);
};

struct Task {
  const char* name;  // the harness' name
  const char* summary;
  TaskKind kind;
  bool has_acc_norm;
  // Files looked for below a --data folder, the first that exists is taken.
  std::span<const char* const> files;
  std::string_view builtin;  // JSON lines compiled in; empty: none, --data is needed
  // Corrupt, naming the field, for a record that is not in one of the task's formats.
  Result<TaskItem> (*read)(const Record& record);

  // Of kGenerate:
  std::string_view examples = {};  // solved items (JSON lines) that are put before each question
  std::size_t shots = 0;           // how many of them, unless asked otherwise
  std::span<const char* const> stops = {};
  std::size_t max_tokens = 0;
  std::span<const Extraction> extractions = {};
  // Whether an extracted answer is the reference.
  bool (*is_same)(std::string_view answer, std::string_view reference) = nullptr;
};

// In the order of the list in registry.cc.
std::span<const Task* const> tasks() noexcept;
// NotFound, naming the known ones.
Result<const Task*> find_task(std::string_view name);

}  // namespace paring::measure
