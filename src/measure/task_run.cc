// SPDX-License-Identifier: Apache-2.0
#include "measure/task_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/sha256.h"
#include "base/version.h"
#include "measure/tasks/detail/record.h"

namespace paring::measure {

namespace {

using Json = nlohmann::ordered_json;

// Items that are encoded, scored and stored together: a few steps each.
constexpr std::size_t kItemsAtOnce = 64;

Json answer_json(const ItemResult& result) {
  Json json = Json::object();
  if (!result.likelihoods.empty()) {
    Json sums = Json::array(), greedy = Json::array();
    for (const Likelihood& likelihood : result.likelihoods) {
      sums.push_back(likelihood.log_probability);
      greedy.push_back(likelihood.is_greedy);
    }
    json["log_likelihoods"] = std::move(sums);
    json["greedy"] = std::move(greedy);
  } else {
    json["text"] = result.text;
  }
  if (result.is_cut) json["is_cut"] = true;
  return json;
}

// The inverse; false when it is not such a text (a journal that something else wrote to).
bool read_answer(const std::string& text, std::size_t continuations, ItemResult& result) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return false;
  result.is_cut = json.contains("is_cut");
  if (continuations == 0) {
    if (!json.contains("text") || !json["text"].is_string()) return false;
    result.text = json["text"].get<std::string>();
    return true;
  }
  const auto sums = json.find("log_likelihoods"), greedy = json.find("greedy");
  if (sums == json.end() || greedy == json.end() || !sums->is_array() || !greedy->is_array() ||
      sums->size() != continuations || greedy->size() != continuations) {
    return false;
  }
  for (std::size_t i = 0; i < continuations; ++i) {
    if (!(*sums)[i].is_number() || !(*greedy)[i].is_boolean()) return false;
    result.likelihoods.push_back({(*sums)[i].get<double>(), (*greedy)[i].get<bool>()});
  }
  return true;
}

// The first of the largest, as numpy's argmax.
std::size_t best(const ItemResult& result, const TaskItem& item, bool is_normalized) {
  std::size_t best = 0;
  double best_score = 0;
  for (std::size_t i = 0; i < result.likelihoods.size(); ++i) {
    double score = result.likelihoods[i].log_probability;
    if (is_normalized) score /= static_cast<double>(std::max<std::size_t>(1, item.lengths[i]));
    if (i == 0 || score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

void judge(const Task& task, const TaskItem& item, ItemResult& result) {
  result.metrics.clear();
  switch (task.kind) {
    case TaskKind::kChoice:
      result.metrics.push_back(best(result, item, false) == item.gold ? 1 : 0);
      if (task.has_acc_norm) {
        result.metrics.push_back(best(result, item, true) == item.gold ? 1 : 0);
      }
      return;
    case TaskKind::kLastWord:
      result.metrics = {result.likelihoods[0].log_probability,
                        result.likelihoods[0].is_greedy ? 1.0 : 0.0};
      return;
    case TaskKind::kGenerate:
      for (const Extraction& extraction : task.extractions) {
        const std::string answer = extraction.extract(result.text);
        result.metrics.push_back(task.is_same(answer, item.answer) ? 1 : 0);
      }
  }
}

std::vector<double> column(const TaskFigures& figures, std::size_t metric) {
  std::vector<double> values;
  for (const ItemResult& result : figures.results) values.push_back(result.metrics[metric]);
  return values;
}

MetricFigure figure_of(const TaskMetric& metric, const std::vector<double>& values) {
  const Moments m = moments(values);
  if (metric.is_share) return {m.mean, m.standard_error};
  return {std::exp(-m.mean),
          bootstrap_standard_error(values, [](double mean) { return std::exp(-mean); })};
}

}  // namespace

std::vector<TaskMetric> task_metrics(const Task& task) {
  switch (task.kind) {
    case TaskKind::kChoice:
      if (task.has_acc_norm) return {{"acc", true}, {"acc_norm", true}};
      return {{"acc", true}};
    case TaskKind::kLastWord:
      return {{"perplexity", false}, {"acc", true}};
    case TaskKind::kGenerate:
      break;
  }
  std::vector<TaskMetric> metrics;
  for (const Extraction& extraction : task.extractions)
    metrics.push_back({extraction.metric, true});
  return metrics;
}

std::size_t TaskRunner::bytes_for(const model::BlockSpec& spec, const TaskOptions& options,
                                  std::size_t threads) {
  const engine::GeneratorOptions generator{options.eval.numerics, options.eval.kv_type,
                                           options.context_tokens};
  return Scorer::bytes_for(spec, options.eval, options.context_tokens, threads) +
         engine::Generator::bytes_for(spec, generator, threads);
}

Result<std::unique_ptr<TaskRunner>> TaskRunner::create(const engine::LoadedModel& loaded,
                                                       Executor& executor,
                                                       const TaskOptions& options,
                                                       std::string variant) {
  std::unique_ptr<TaskRunner> runner(new TaskRunner(loaded, executor, options, std::move(variant)));
  PARING_TRY(runner->scorer_,
             Scorer::create(loaded, executor, options.eval, options.context_tokens));
  return runner;
}

// Everything that decides a result, and the version of the program that computed it.
std::string TaskRunner::run_key(const Task& task, const TaskData& data, std::size_t shots) const {
  return sha256_hex(fmt::format("paring-task-1\n{} {}\n{}\n{}\n{}\n{}\n{}\n", version(),
                                version_commit(), variant_, task.name, data.sha256, shots,
                                options_.context_tokens));
}

Result<std::string> examples_prompt(const Task& task, std::size_t shots) {
  std::string prompt;
  std::size_t count = 0;
  for (std::size_t begin = 0; begin < task.examples.size() && count < shots;) {
    const std::size_t end = task.examples.find('\n', begin);
    const auto json =
        nlohmann::json::parse(task.examples.substr(begin, end - begin), nullptr, false);
    PARING_CHECK(json.is_object(), "built-in examples are JSON lines");
    PARING_TRY(const TaskItem item, task.read(Record(json)));
    prompt += fmt::format("{} {}\n\n", item.context, item.answer);
    ++count;
    begin = end == std::string_view::npos ? task.examples.size() : end + 1;
  }
  if (count == shots) return prompt;
  return invalid_argument(
      fmt::format("{} examples were asked for, the task {} has {}", shots, task.name, count),
      "give a smaller --shots");
}

Result<void> TaskRunner::generate(const Task& task, const std::string& prompt, ItemResult& result) {
  if (generator_ == nullptr) {
    PARING_TRY(generator_, engine::Generator::create(loaded_, executor_,
                                                     {options_.eval.numerics, options_.eval.kv_type,
                                                      options_.context_tokens}));
  }
  if (task.max_tokens >= options_.context_tokens) {
    return invalid_argument(fmt::format("the task {} generates {} tokens, the context has {}",
                                        task.name, task.max_tokens, options_.context_tokens),
                            "raise --context-tokens");
  }
  api::Request request;
  PARING_TRY(request.prompt, loaded_.tokenizer->encode(prompt, {}));
  if (loaded_.add_bos && loaded_.tokenizer->bos()) {
    request.prompt.insert(request.prompt.begin(), *loaded_.tokenizer->bos());
  }
  const std::size_t room = options_.context_tokens - task.max_tokens;
  if (request.prompt.size() > room) {
    request.prompt.erase(request.prompt.begin(),
                         request.prompt.end() - static_cast<std::ptrdiff_t>(room));
    result.is_cut = true;
  }
  request.max_tokens = task.max_tokens;
  request.stop.assign(task.stops.begin(), task.stops.end());
  PARING_TRY(api::Completion completion, generator_->generate(request, {}));
  result.text = std::move(completion.text);
  return {};
}

Result<void> TaskRunner::answer(const Task& task, const TaskData& data,
                                std::span<const std::size_t> items, TaskFigures& figures) {
  if (task.kind == TaskKind::kGenerate) {
    PARING_TRY(const std::string examples, examples_prompt(task, figures.shots));
    for (const std::size_t i : items) {
      PARING_TRY_VOID(generate(task, examples + data.items[i].context, figures.results[i]));
    }
    return {};
  }
  std::vector<ScoreItem> encoded;
  for (const std::size_t i : items) {
    auto item = scorer_->encode(data.items[i].context, data.items[i].continuations);
    if (!item) {
      return std::move(item.error()).with_context(fmt::format("{}, item {}", task.name, i));
    }
    figures.results[i].is_cut = scorer_->is_cut(*item);
    encoded.push_back(std::move(*item));
  }
  PARING_TRY(auto scores, scorer_->score(encoded));
  for (std::size_t k = 0; k < items.size(); ++k) {
    figures.results[items[k]].likelihoods = std::move(scores[k]);
  }
  return {};
}

Result<TaskFigures> TaskRunner::run(const Task& task, const TaskData& data, Journal& journal,
                                    ProgressSink& progress) {
  TaskFigures figures;
  figures.task = &task;
  figures.data_name = data.name;
  figures.data_sha256 = data.sha256;
  figures.shots = task.kind == TaskKind::kGenerate ? options_.shots.value_or(task.shots) : 0;
  figures.results.resize(data.items.size());
  const std::string key = run_key(task, data, figures.shots);
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < data.items.size(); ++i) {
    const std::string* stored = journal.find(key, i);
    if (stored == nullptr) {
      open.push_back(i);
    } else if (!read_answer(*stored, data.items[i].continuations.size(), figures.results[i])) {
      return corrupt(
          fmt::format("the journal's result of {}, item {}, cannot be read", task.name, i),
          "give another --journal");
    }
  }
  figures.resumed_items = data.items.size() - open.size();
  progress.begin(task.name, data.items.size());
  progress.advance(figures.resumed_items);
  // A generated answer takes as long as many choices: it is stored at once.
  const std::size_t at_once = task.kind == TaskKind::kGenerate ? 1 : kItemsAtOnce;
  for (std::size_t begin = 0; begin < open.size(); begin += at_once) {
    const auto some = std::span(open).subspan(begin, std::min(at_once, open.size() - begin));
    PARING_TRY_VOID(answer(task, data, some, figures));
    for (const std::size_t i : some) {
      PARING_TRY_VOID(journal.append(
          key, i,
          answer_json(figures.results[i]).dump(-1, ' ', false, Json::error_handler_t::replace)));
    }
    progress.advance(some.size());
  }
  progress.end();
  for (std::size_t i = 0; i < data.items.size(); ++i) {
    judge(task, data.items[i], figures.results[i]);
    figures.cut_items += figures.results[i].is_cut ? 1 : 0;
  }
  const std::vector<TaskMetric> names = task_metrics(task);
  for (std::size_t m = 0; m < names.size(); ++m) {
    figures.metrics.push_back(figure_of(names[m], column(figures, m)));
  }
  return figures;
}

std::vector<PairedFigure> compare_tasks(const TaskFigures& base, const TaskFigures& model) {
  PARING_CHECK(base.task == model.task && base.results.size() == model.results.size(),
               "two models are compared on the same items");
  constexpr double kNormal95 = 1.959963984540054;  // 97.5 % quantile of the normal distribution
  std::vector<PairedFigure> figures;
  const std::vector<TaskMetric> names = task_metrics(*base.task);
  for (std::size_t m = 0; m < names.size(); ++m) {
    const std::vector<double> before = column(base, m), after = column(model, m);
    PairedFigure figure;
    figure.difference = model.metrics[m].value - base.metrics[m].value;
    if (names[m].is_share) {
      std::vector<double> differences(before.size());
      for (std::size_t i = 0; i < before.size(); ++i) {
        differences[i] = after[i] - before[i];
        figure.right_to_wrong += differences[i] < 0 ? 1 : 0;
        figure.wrong_to_right += differences[i] > 0 ? 1 : 0;
      }
      figure.standard_error = moments(differences).standard_error;
      figure.mcnemar_p = mcnemar_p(figure.right_to_wrong, figure.wrong_to_right);
    } else {
      figure.standard_error = paired_bootstrap_standard_error(
          before, after, [](double b, double a) { return std::exp(-a) - std::exp(-b); });
    }
    figure.low = figure.difference - kNormal95 * figure.standard_error;
    figure.high = figure.difference + kNormal95 * figure.standard_error;
    figures.push_back(figure);
  }
  return figures;
}

std::string sample_line(const TaskFigures& figures, const TaskData& data, std::size_t item,
                        std::string_view model) {
  const ItemResult& result = figures.results[item];
  const TaskItem& asked = data.items[item];
  Json json;
  json["task"] = figures.task->name;
  json["model"] = model;
  json["item"] = item;
  json["context"] = asked.context;
  if (!asked.continuations.empty()) {
    json["continuations"] = asked.continuations;
    json["gold"] = asked.gold;
  } else {
    json["answer"] = asked.answer;
  }
  json.update(answer_json(result));
  const std::vector<TaskMetric> names = task_metrics(*figures.task);
  for (std::size_t m = 0; m < names.size(); ++m) json["metrics"][names[m].name] = result.metrics[m];
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace paring::measure
