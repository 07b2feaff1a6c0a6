// SPDX-License-Identifier: Apache-2.0
// The part of paring eval that scores tasks.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/eval.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "engine/open_model.h"
#include "io/atomic_file.h"
#include "measure/task_run.h"
#include "model/architecture.h"

namespace paring::cli {

namespace {

struct Side {
  std::string name;
  std::string variant;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  std::size_t context_tokens = 0;
  std::vector<measure::TaskFigures> figures;  // one a task
};

struct Inputs {
  std::vector<const measure::Task*> tasks;
  std::vector<measure::TaskData> data;  // one a task
};

Result<Inputs> read_inputs(const EvalFlags& flags) {
  Inputs inputs;
  for (const std::string& name : flags.tasks) {
    PARING_TRY(const measure::Task* task, measure::find_task(name));
    if (std::find(inputs.tasks.begin(), inputs.tasks.end(), task) != inputs.tasks.end()) {
      return invalid_argument(fmt::format("the task {} is named twice", name));
    }
    inputs.tasks.push_back(task);
  }
  std::error_code ignored;
  if (inputs.tasks.size() > 1 && std::filesystem::is_regular_file(flags.data_path, ignored)) {
    return invalid_argument(
        fmt::format("{} tasks cannot read one file, {}", inputs.tasks.size(), flags.data_path),
        "name one task, or a folder with a file for each");
  }
  if (flags.shots) {
    for (const measure::Task* task : inputs.tasks) {
      if (task->kind == measure::TaskKind::kGenerate) continue;
      return invalid_argument(fmt::format("the task {} has no examples", task->name),
                              "--shots is for generation tasks");
    }
  }
  for (const measure::Task* task : inputs.tasks) {
    PARING_TRY(measure::TaskData data,
               measure::load_task_data(*task, flags.data_path, flags.limit));
    inputs.data.push_back(std::move(data));
  }
  return inputs;
}

// Loads a model, runs every task on it, and frees it: two models are never in memory at once.
Result<Side> run_side(Context& context, const EvalFlags& flags, const std::string& name,
                      const Inputs& inputs, measure::Journal& journal) {
  PARING_TRY(const std::string path, context.resolve(name));
  PARING_TRY(Executor * executor, context.executor());
  measure::TaskOptions options;
  options.eval.numerics = context.numerics();
  options.shots = flags.shots;
  std::size_t extra = 0;
  {
    PARING_TRY(const io::ModelFile file, engine::open_model(path));
    options.eval.kv_type = context.kv_type(file);
    PARING_TRY(const model::BlockSpec spec, model::read_block_spec(file));
    options.context_tokens = context.context_tokens(spec);
    extra = measure::TaskRunner::bytes_for(spec, options, executor->threads());
  }
  PARING_TRY(const engine::LoadedModel loaded, context.load(name, extra));
  Side side{name, variant_id(context, loaded), options.eval.kv_type, options.context_tokens, {}};
  PARING_TRY(const auto runner,
             measure::TaskRunner::create(loaded, *executor, options, side.variant));
  for (std::size_t t = 0; t < inputs.tasks.size(); ++t) {
    PARING_TRY(measure::TaskFigures figures,
               runner->run(*inputs.tasks[t], inputs.data[t], journal, context.progress()));
    side.figures.push_back(std::move(figures));
  }
  return side;
}

Json paired_json(const measure::PairedFigure& paired, bool is_share) {
  Json json = {{"difference", paired.difference},
               {"standard_error", paired.standard_error},
               {"interval95", {paired.low, paired.high}}};
  if (is_share) {
    json["right_to_wrong"] = paired.right_to_wrong;
    json["wrong_to_right"] = paired.wrong_to_right;
    json["mcnemar_p"] = paired.mcnemar_p;
  }
  return json;
}

Json metric_json(const measure::MetricFigure& figure) {
  return {{"value", figure.value}, {"standard_error", figure.standard_error}};
}

Json to_json(const Context& context, const std::vector<Side>& sides) {
  const Side& model = sides.back();
  Json json;
  json["model"] = model.name;
  json["variant"] = model.variant;
  if (sides.size() > 1) {
    json["against"] = sides[0].name;
    json["base_variant"] = sides[0].variant;
  }
  json["numerics"] = numerics_name(context.numerics());
  json["kv_type"] = kernels::kv_type_name(model.kv_type);
  json["isa"] = kernels::kernels().isa;
  json["context_tokens"] = model.context_tokens;
  for (std::size_t t = 0; t < model.figures.size(); ++t) {
    const measure::TaskFigures& figures = model.figures[t];
    Json task;
    task["task"] = figures.task->name;
    task["data"] = {{"name", figures.data_name}, {"sha256", figures.data_sha256}};
    task["items"] = figures.results.size();
    task["shots"] = figures.shots;
    task["cut_items"] = figures.cut_items;
    task["resumed_items"] = figures.resumed_items;
    const std::vector<measure::TaskMetric> names = measure::task_metrics(*figures.task);
    std::vector<measure::PairedFigure> paired;
    if (sides.size() > 1) paired = measure::compare_tasks(sides[0].figures[t], figures);
    for (std::size_t m = 0; m < names.size(); ++m) {
      Json& metric = task["metrics"][names[m].name];
      metric = metric_json(figures.metrics[m]);
      if (sides.size() == 1) continue;
      metric["base"] = metric_json(sides[0].figures[t].metrics[m]);
      metric["paired"] = paired_json(paired[m], names[m].is_share);
    }
    json["tasks"].push_back(std::move(task));
  }
  return json;
}

std::string figure_text(const measure::MetricFigure& figure, bool is_share) {
  if (!is_share) return fmt::format("{:.3f} +- {:.3f}", figure.value, figure.standard_error);
  return fmt::format("{:.2f} +- {:.2f} %", 100 * figure.value, 100 * figure.standard_error);
}

Table alone_table(const Side& model) {
  Table table({{"task"}, {"items", Align::kRight}, {"metric"}, {"value", Align::kRight}});
  for (const measure::TaskFigures& figures : model.figures) {
    const std::vector<measure::TaskMetric> names = measure::task_metrics(*figures.task);
    for (std::size_t m = 0; m < names.size(); ++m) {
      table.add({m == 0 ? figures.task->name : "",
                 m == 0 ? group_digits(figures.results.size()) : "", names[m].name,
                 figure_text(figures.metrics[m], names[m].is_share)});
    }
  }
  return table;
}

Table paired_table(const Side& base, const Side& model) {
  Table table({{"task"},
               {"items", Align::kRight},
               {"metric"},
               {"base", Align::kRight},
               {"model", Align::kRight},
               {"difference", Align::kRight},
               {"95 % interval", Align::kRight},
               {"lost", Align::kRight},
               {"won", Align::kRight},
               {"McNemar p", Align::kRight}});
  for (std::size_t t = 0; t < model.figures.size(); ++t) {
    const measure::TaskFigures& figures = model.figures[t];
    const std::vector<measure::TaskMetric> names = measure::task_metrics(*figures.task);
    const auto paired = measure::compare_tasks(base.figures[t], figures);
    for (std::size_t m = 0; m < names.size(); ++m) {
      const measure::PairedFigure& p = paired[m];
      const bool is_share = names[m].is_share;
      const double scale = is_share ? 100 : 1;
      table.add(
          {m == 0 ? figures.task->name : "", m == 0 ? group_digits(figures.results.size()) : "",
           names[m].name, figure_text(base.figures[t].metrics[m], is_share),
           figure_text(figures.metrics[m], is_share), fmt::format("{:+.2f}", scale * p.difference),
           fmt::format("{:+.2f} .. {:+.2f}", scale * p.low, scale * p.high),
           is_share ? fmt::format("{}", p.right_to_wrong) : "",
           is_share ? fmt::format("{}", p.wrong_to_right) : "",
           is_share ? fmt::format("{:.3g}", p.mcnemar_p) : ""});
    }
  }
  return table;
}

std::string to_text(const Context& context, const std::vector<Side>& sides) {
  const Side& model = sides.back();
  Facts facts;
  facts.add("computed in",
            fmt::format("{} numerics, {} cache, {}", numerics_name(context.numerics()),
                        kernels::kv_type_name(model.kv_type), kernels::kernels().isa));
  if (sides.size() > 1) facts.add("base", sides[0].name);
  facts.add("definitions", "lm-evaluation-harness 0.4");
  for (const measure::TaskFigures& figures : model.figures) {
    std::string text =
        fmt::format("{} (sha256 {})", figures.data_name, figures.data_sha256.substr(0, 12));
    if (figures.shots != 0) text += fmt::format(", {} examples", figures.shots);
    if (figures.cut_items != 0) text += fmt::format(", {} items cut", figures.cut_items);
    if (figures.resumed_items != 0)
      text += fmt::format(", {} from the journal", figures.resumed_items);
    facts.add(fmt::format("items of {}", figures.task->name), text);
  }
  const Table table = sides.size() > 1 ? paired_table(sides[0], model) : alone_table(model);
  return facts.render() + "\n" + table.render();
}

Result<void> write_samples(const EvalFlags& flags, const Inputs& inputs,
                           const std::vector<Side>& sides) {
  PARING_TRY(io::AtomicFile file,
             io::AtomicFile::create(flags.samples_path, io::Overwrite::kReplace));
  for (const Side& side : sides) {
    for (std::size_t t = 0; t < inputs.tasks.size(); ++t) {
      for (std::size_t i = 0; i < inputs.data[t].items.size(); ++i) {
        PARING_TRY_VOID(
            file.write(measure::sample_line(side.figures[t], inputs.data[t], i, side.name)));
      }
    }
  }
  return file.commit();
}

}  // namespace

Result<void> eval_tasks(Context& context, const EvalFlags& flags) {
  PARING_TRY(const Inputs inputs, read_inputs(flags));
  if (!flags.samples_path.empty()) {
    // Found out before the work.
    PARING_TRY_VOID(check_can_write(flags.samples_path, io::Overwrite::kReplace));
  }
  PARING_TRY(measure::Journal journal, open_journal(flags));
  std::vector<Side> sides;
  if (!flags.against.empty()) {
    PARING_TRY(Side base, run_side(context, flags, flags.against, inputs, journal));
    sides.push_back(std::move(base));
  }
  PARING_TRY(Side model, run_side(context, flags, flags.model, inputs, journal));
  sides.push_back(std::move(model));
  if (!flags.samples_path.empty()) PARING_TRY_VOID(write_samples(flags, inputs, sides));
  if (flags.is_json) {
    context.output().write_json(to_json(context, sides));
  } else {
    context.output().write(to_text(context, sides));
  }
  return {};
}

}  // namespace paring::cli
