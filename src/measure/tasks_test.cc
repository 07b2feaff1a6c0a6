// SPDX-License-Identifier: Apache-2.0
// Definitions of the tasks against what lm-evaluation-harness 0.4.13 makes of the same rows, and
// Python's re and str for the parts that are written in them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "measure/task_run.h"
#include "measure/tasks/detail/python_text.h"
#include "measure/tasks/detail/record.h"
#include "measure/tasks/task.h"

namespace paring::measure {
namespace {

using Texts = std::vector<std::string>;

Result<TaskItem> read(const char* task, const std::string& line) {
  const auto found = find_task(task);
  EXPECT_TRUE(found) << task;
  const auto json = nlohmann::json::parse(line);
  return (*found)->read(Record(json));
}

TaskItem item(const char* task, const std::string& line) {
  auto result = read(task, line);
  EXPECT_TRUE(result) << result.error().text();
  return result ? *result : TaskItem{};
}

TEST(Tasks, HellaswagIsCleanedAsInTheHarness) {
  const TaskItem found = item("hellaswag", R"({"activity_label": "Pole vault", "label": "1",
      "ctx_a": "He runs [title] fast. [step] Then", "ctx_b": "a few Women",
      "endings": [" go  down [title] here", "[x] watch.", "a [b [c] d]", "caf\u00e9 [x\ny] z"]})");
  EXPECT_EQ(found.context, "Pole vault: He runs. fast. Then A few women");
  EXPECT_EQ(found.continuations,
            (Texts{" go down. here", "  watch.", " a d]", " caf\u00e9 [x\ny] z"}));
  EXPECT_EQ(found.lengths, (std::vector<std::size_t>{13, 7, 4, 12}));
  EXPECT_EQ(found.gold, 1u);
}

TEST(Tasks, ArcInBothLayouts) {
  const TaskItem ours =
      item("arc_easy", R"({"query": "Question: Why?", "choices": ["a", "bc"], "gold": 1})");
  const TaskItem official = item("arc_challenge", R"({"question": "Why?", "answerKey": "2",
      "choices": {"text": ["a", "bc"], "label": ["1", "2"]}})");
  for (const TaskItem& found : {ours, official}) {
    EXPECT_EQ(found.context, "Question: Why?\nAnswer:");
    EXPECT_EQ(found.continuations, (Texts{" a", " bc"}));
    EXPECT_EQ(found.lengths, (std::vector<std::size_t>{1, 2}));
    EXPECT_EQ(found.gold, 1u);
  }
}

TEST(Tasks, PiqaInBothLayouts) {
  const TaskItem ours =
      item("piqa", R"({"query": "Question: Open it\n", "choices": ["pull", "push"], "gold": 0})");
  const TaskItem official =
      item("piqa", R"({"goal": "Open it", "sol1": "pull", "sol2": "push", "label": 0})");
  EXPECT_EQ(ours.context, "Question: Open it\nAnswer:");
  EXPECT_EQ(official.context, ours.context);
  EXPECT_EQ(official.continuations, (Texts{" pull", " push"}));
  EXPECT_EQ(ours.continuations, official.continuations);
}

TEST(Tasks, OpenbookqaInBothLayouts) {
  const TaskItem ours = item(
      "openbookqa", R"({"query": "Predators eat", "choices": ["lions", "bunnies"], "gold": 1})");
  const TaskItem official = item("openbookqa", R"({"question_stem": "Predators eat",
      "answerKey": " B", "choices": {"text": ["lions", "bunnies"], "label": ["A", "B"]}})");
  EXPECT_EQ(ours.context, "Predators eat");
  EXPECT_EQ(official.context, ours.context);
  EXPECT_EQ(official.gold, 1u);
}

// The second blank is the harness' own: its choices begin with one.
TEST(Tasks, CopaInBothLayouts) {
  const TaskItem ours = item("copa", R"({"query": "The man woke, therefore", "gold": 0,
      "choices": ["he rose.", "He slept."]})");
  const TaskItem official = item("copa", R"({"premise": "The man woke.", "question": "effect",
      "choice1": "He rose.", "choice2": "He slept.", "label": 0})");
  EXPECT_EQ(ours.context, "The man woke therefore");
  EXPECT_EQ(official.context, ours.context);
  EXPECT_EQ(ours.continuations, (Texts{"  he rose.", "  he slept."}));
  EXPECT_EQ(official.continuations, ours.continuations);
}

TEST(Tasks, LambadaInBothLayouts) {
  const TaskItem ours =
      item("lambada_openai", R"({"context": "I see\n\n\"no", "continuation": "signs"})");
  const TaskItem official = item("lambada_openai", R"({"text": "I see\n\n\"no signs"})");
  EXPECT_EQ(ours.context, "I see\n\n\"no");
  EXPECT_EQ(official.context, ours.context);
  EXPECT_EQ(official.continuations, (Texts{" signs"}));
  EXPECT_EQ(ours.continuations, official.continuations);
}

TEST(Tasks, Gsm8kExtractsAsPythonDoes) {
  const Task& task = **find_task("gsm8k");
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"The answer is 5.", "[invalid]", "5."},
      {"#### 18", "18", "18"},
      {"#### -1,234.5 and #### 7", "-1,234.5", "7"},
      {"no", "[invalid]", "[invalid]"},
      {"cost $12, then - 3", "[invalid]", "3"},
      {"a-5", "[invalid]", "-5"},
      {"x -$3.50.", "[invalid]", "-$3.50."},
      {"####  4 #### 9.", "9.", "9."},
      {"... 7", "[invalid]", "7"},
      {"-- 8", "[invalid]", "8"},
      {"--8", "[invalid]", "-8"},
      {"#### $5", "[invalid]", "$5"},
      {"#### -", "[invalid]", "[invalid]"},
      {"5-6", "[invalid]", "-6"},
      {"1 2 .", "[invalid]", "2"},
      {"$", "[invalid]", "[invalid]"},
  };
  for (const auto& [text, strict, flexible] : rows) {
    EXPECT_EQ(task.extractions[0].extract(text), strict) << text;
    EXPECT_EQ(task.extractions[1].extract(text), flexible) << text;
  }
  EXPECT_TRUE(task.is_same("$1,234.", "He has #### 5 and\n#### 1234"));
  EXPECT_FALSE(task.is_same("1234.5", "#### 1234"));
  EXPECT_FALSE(task.is_same("[invalid]", "#### 1234"));
}

TEST(Tasks, PythonText) {
  EXPECT_EQ(strip("\u00a0x \u2003"), "x");
  EXPECT_EQ(strip_end(" a\x1f"), " a");
  EXPECT_EQ(strip("  "), "");
  EXPECT_EQ(capitalize("éA ÄB straße жЗ"), "Éa äb straße жз");
  EXPECT_EQ(lower_first("ÄB"), "äB");
  EXPECT_EQ(length("aé\u2003\xff"), 4u);
  EXPECT_EQ(replace_all("aaa", "aa", "b"), "ba");
}

TEST(Tasks, BadRecordsNameTheField) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"choices": ["a", "b"], "gold": 0})", "query"},
      {R"({"query": "Why?", "choices": ["a", "b"], "gold": 0})", "query"},
      {R"({"query": "Question: ", "choices": ["a"], "gold": 0})", "choices"},
      {R"({"query": "Question: ", "choices": ["a", 1], "gold": 0})", "choices"},
      {R"({"query": "Question: ", "choices": ["a", ""], "gold": 0})", "choices"},
      {R"({"query": "Question: ", "choices": ["a", "b"], "gold": 2})", "gold"},
      {R"({"query": "Question: ", "choices": ["a", "b"], "gold": -1})", "gold"},
      {R"({"query": "Question: ", "choices": ["a", "b"], "gold": "x"})", "gold"},
      {R"({"query": 5, "choices": ["a", "b"], "gold": 0})", "query"},
      {R"({"question": "?", "choices": {"text": ["a", "b"], "label": ["A", "B"]},
           "answerKey": "C"})",
       "answerKey"},
      {R"({"question": "?", "choices": {"text": ["a", "b"]}, "answerKey": "A"})", "choices.label"},
  };
  for (const auto& [line, field] : rows) {
    const auto result = read("arc_easy", line);
    ASSERT_FALSE(result) << line;
    EXPECT_EQ(result.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(result.error().message.find(field), std::string::npos) << result.error().message;
  }
}

TEST(Tasks, EveryBuiltInSliceIsRead) {
  std::size_t bytes = 0;
  for (const Task* task : tasks()) {
    bytes += task->builtin.size();
    if (task->builtin.empty()) continue;
    const auto data = load_task_data(*task, "", 0);
    ASSERT_TRUE(data) << data.error().text();
    EXPECT_GE(data->items.size(), 50u) << task->name;
    const auto some = load_task_data(*task, "", 3);
    ASSERT_TRUE(some);
    EXPECT_EQ(some->items.size(), 3u);
    EXPECT_EQ(some->sha256, data->sha256);
  }
  EXPECT_LT(bytes, 300'000u);
  EXPECT_FALSE(find_task("nonsense"));
}

// Every prompt and continuation of the built-in slices, as the harness makes them
// (bench/lm_eval_tasks.py requests); one hash a task.
TEST(Tasks, PromptsAreThoseOfTheHarness) {
  std::ifstream file(PARING_SOURCE_DIR "/tests/data/tasks/requests.json");
  const auto golden = nlohmann::json::parse(file)["tasks"];
  std::size_t compared = 0;
  for (const Task* task : tasks()) {
    if (task->builtin.empty()) continue;
    const auto data = load_task_data(*task, "", 0);
    ASSERT_TRUE(data) << data.error().text();
    const auto examples = examples_prompt(*task, task->shots);
    ASSERT_TRUE(examples) << examples.error().text();
    Sha256 hash;
    const auto add = [&](std::size_t i, const std::string& continuation) {
      const std::string text = *examples + data->items[i].context + '\0' + continuation + '\n';
      hash.update(std::to_string(i) + '\0' + text);
    };
    for (std::size_t i = 0; i < data->items.size(); ++i) {
      if (task->kind == TaskKind::kGenerate) add(i, "");
      for (const std::string& continuation : data->items[i].continuations) add(i, continuation);
    }
    EXPECT_EQ(golden[task->name]["items"], data->items.size()) << task->name;
    EXPECT_EQ(golden[task->name]["sha256"], hex(hash.finish())) << task->name;
    ++compared;
  }
  EXPECT_EQ(compared, golden.size());
}

// Two models on six items: exact values by hand.
TEST(Tasks, PairedFigures) {
  TaskFigures base, model;
  base.task = model.task = *find_task("copa");
  const double before[] = {1, 1, 1, 0, 0, 1}, after[] = {1, 0, 0, 1, 0, 0};
  for (int i = 0; i < 6; ++i) {
    base.results.push_back({{}, "", false, {before[i]}});
    model.results.push_back({{}, "", false, {after[i]}});
  }
  base.metrics = {{4.0 / 6, 0}};
  model.metrics = {{2.0 / 6, 0}};
  const auto paired = compare_tasks(base, model);
  ASSERT_EQ(paired.size(), 1u);
  EXPECT_NEAR(paired[0].difference, -2.0 / 6, 1e-12);
  EXPECT_EQ(paired[0].right_to_wrong, 3u);
  EXPECT_EQ(paired[0].wrong_to_right, 1u);
  EXPECT_NEAR(paired[0].mcnemar_p, 0.625, 1e-12);
  // Differences 0 -1 -1 1 0 -1: sample deviation 0.8164965809 over the root of 6.
  EXPECT_NEAR(paired[0].standard_error, 0.33333333333333337, 1e-12);
  EXPECT_NEAR(paired[0].high - paired[0].low, 2 * 1.959963984540054 / 3, 1e-12);
}

}  // namespace
}  // namespace paring::measure
