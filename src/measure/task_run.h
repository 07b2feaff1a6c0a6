// SPDX-License-Identifier: Apache-2.0
// Runs evaluation tasks: items from a file or built in, answers of a model, figures with standard
// errors, and the comparison of two models item by item. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/generator.h"
#include "engine/loaded_model.h"
#include "measure/journal.h"
#include "measure/score.h"
#include "measure/statistics.h"
#include "measure/tasks/task.h"

namespace paring::measure {

inline constexpr std::size_t kTaskFileBytesMax = std::size_t{256} << 20;
inline constexpr std::size_t kTaskLineBytesMax = std::size_t{1} << 20;

struct TaskData {
  std::string name;    // file name, "built in"
  std::string sha256;  // of the whole file
  std::vector<TaskItem> items;
};

// The first `limit` items (0: all) of `path`: a file of JSON lines, or a folder in which the task's
// files are looked for; empty: what is built in. NotFound when there is none; Corrupt errors name
// file, line and field.
Result<TaskData> load_task_data(const Task& task, const std::string& path, std::size_t limit);

// What stands before each question: `shots` solved examples. InvalidArgument when the task has
// fewer; empty for none.
Result<std::string> examples_prompt(const Task& task, std::size_t shots);

struct TaskOptions {
  EvalOptions eval;
  std::size_t context_tokens = 2048;  // longer sequences lose their beginning
  std::optional<std::size_t> shots;   // absent: the task's own number
};

struct ItemResult {
  std::vector<Likelihood> likelihoods;  // kChoice, kLastWord: one a continuation
  std::string text;                     // kGenerate
  bool is_cut = false;                  // its beginning did not fit the context
  std::vector<double> metrics;          // one a metric of the task, see task_metrics()
  bool operator==(const ItemResult&) const = default;
};

struct TaskMetric {
  const char* name;
  // The value of a share is the mean over items of 0 or 1; otherwise items hold log-likelihoods and
  // the value is exp(-mean).
  bool is_share;
};
std::vector<TaskMetric> task_metrics(const Task& task);

struct MetricFigure {
  double value = 0;
  double standard_error = 0;  // of a mean; by resampling for a perplexity
};

struct TaskFigures {
  const Task* task = nullptr;
  std::string data_name;
  std::string data_sha256;
  std::size_t shots = 0;
  std::size_t cut_items = 0;
  std::size_t resumed_items = 0;  // taken from the journal
  std::vector<MetricFigure> metrics;
  std::vector<ItemResult> results;  // one an item
};

// One model with the buffers that tasks need.
class TaskRunner {
 public:
  // `loaded` and `executor` must outlive the result. `variant` identifies the model and how it is
  // computed: results in a journal are taken only for the same variant, task, data and options.
  static Result<std::unique_ptr<TaskRunner>> create(const engine::LoadedModel& loaded,
                                                    Executor& executor, const TaskOptions& options,
                                                    std::string variant);
  static std::size_t bytes_for(const model::BlockSpec& spec, const TaskOptions& options,
                               std::size_t threads);

  // InvalidArgument for shots that the task does not have, and items that cannot be encoded.
  Result<TaskFigures> run(const Task& task, const TaskData& data, Journal& journal,
                          ProgressSink& progress);

 private:
  TaskRunner(const engine::LoadedModel& loaded, Executor& executor, const TaskOptions& options,
             std::string variant)
      : loaded_(loaded), executor_(executor), options_(options), variant_(std::move(variant)) {}
  Result<void> answer(const Task& task, const TaskData& data, std::span<const std::size_t> items,
                      TaskFigures& figures);
  Result<void> generate(const Task& task, const std::string& prompt, ItemResult& result);
  std::string run_key(const Task& task, const TaskData& data, std::size_t shots) const;

  const engine::LoadedModel& loaded_;
  Executor& executor_;
  TaskOptions options_;
  std::string variant_;
  std::unique_ptr<Scorer> scorer_;
  std::unique_ptr<engine::Generator> generator_;  // made at first use
};

// One metric of two models on the same items; differences are model minus base.
struct PairedFigure {
  double difference = 0;
  double standard_error = 0;  // paired
  double low = 0;             // 95 % interval of the difference
  double high = 0;
  // Of shares only: items that only the base, or only the model, has right; exact McNemar p.
  std::size_t right_to_wrong = 0;
  std::size_t wrong_to_right = 0;
  double mcnemar_p = 1;
};
// REQUIRES: figures of the same task and data.
std::vector<PairedFigure> compare_tasks(const TaskFigures& base, const TaskFigures& model);

// One line of JSON (with newline): what an item was answered, and its metrics. `model` is a label.
std::string sample_line(const TaskFigures& figures, const TaskData& data, std::size_t item,
                        std::string_view model);

}  // namespace paring::measure
