// SPDX-License-Identifier: Apache-2.0
// paring advise: what to change about a server, from what it kept of its traffic.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "advise/advice_json.h"
#include "advise/advisor.h"
#include "base/text.h"
#include "cli/advice_apply.h"
#include "cli/advice_weights.h"
#include "cli/commands.h"
#include "cli/figures.h"
#include "cli/table.h"
#include "cost/machine.h"
#include "store/advice_ledger.h"
#include "store/control_db.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

constexpr double kHourSeconds = 3600;

struct AdviseFlags {
  std::string served_as;
  double hours = 24;
  std::size_t clients = 0;
  std::vector<std::string> types = {"Q8_0", "Q4_K"};
  std::vector<std::string> candidates;
  bool measures_nothing = false;
  std::size_t apply = 0;  // number of the advice; 0: none
  ApplyOptions trial{.url = "http://127.0.0.1:8000", .key = {}};
  bool is_json = false;
};

std::string value_text(advise::AdviceMetric metric, double value) {
  switch (metric) {
    case advise::AdviceMetric::kThroughput:
      return fmt::format("{:.1f} tokens/s", value);
    case advise::AdviceMetric::kMemory:
      return fmt::format("{:.0f} MB", value / 1e6);
    case advise::AdviceMetric::kEnergy:
      return fmt::format("{:.3g} J", value);
    case advise::AdviceMetric::kMoney:
      return fmt::format("{:.3g}", value);
    default:
      return fmt::format("{:.3g} ms", 1e3 * value);
  }
}

const char* metric_text(advise::AdviceMetric metric) {
  switch (metric) {
    case advise::AdviceMetric::kThroughput:
      return "answers, at full load";
    case advise::AdviceMetric::kInterToken:
      return "between tokens";
    case advise::AdviceMetric::kFirstToken:
      return "to the first token";
    case advise::AdviceMetric::kWork:
      return "engine, a request";
    case advise::AdviceMetric::kEnergy:
      return "energy, a request";
    case advise::AdviceMetric::kMoney:
      return "money, a request";
    case advise::AdviceMetric::kMemory:
      return "memory";
  }
  return "";
}

std::string advice_text(const advise::Advice& advice, std::size_t number) {
  std::string text = fmt::format("{}. {}{}\n", number, advice.title,
                                 advice.is_recommended ? "" : "  (not recommended)");
  Facts facts;
  facts.add("why", advice.evidence);
  for (const std::string& command : advice.commands) facts.add("do", command);
  facts.add("predicted", fmt::format("{:+.1f} % {} (90 %: {:+.1f} to {:+.1f} %)", 100 * advice.gain,
                                     metric_text(advice.gain_metric), 100 * advice.gain_low,
                                     100 * advice.gain_high));
  facts.add("loss", advice.loss);
  if (!advice.caution.empty()) facts.add("but", advice.caution);
  Table table({{""}, {"now", Align::kRight}, {"then", Align::kRight}, {"90 %", Align::kRight}});
  for (const advise::PredictedMetric& metric : advice.metrics) {
    table.add({metric_text(metric.metric), value_text(metric.metric, metric.now),
               value_text(metric.metric, metric.expected),
               fmt::format("{} to {}", value_text(metric.metric, metric.low),
                           value_text(metric.metric, metric.high))});
  }
  return text + facts.render() + table.render();
}

// What became of past advice.
Result<std::vector<std::pair<advise::AdviceAction, double>>> residuals_of(
    const std::string& folder) {
  constexpr std::int64_t kResidualsMax = 1000;
  PARING_TRY(const store::ControlDb control, store::ControlDb::open({.folder = folder}));
  PARING_TRY(const std::vector<store::AdviceResidual> rows,
             store::AdviceLedger(control).residuals("", kResidualsMax));
  std::vector<std::pair<advise::AdviceAction, double>> residuals;
  for (const store::AdviceResidual& row : rows) {
    if (const auto action = advise::find_advice_action(row.action)) {
      residuals.push_back({*action, row.value});
    }
  }
  return residuals;
}

std::string measured_text(const Json& canary) {
  Table table({{""}, {"predicted", Align::kRight}, {"measured", Align::kRight}, {"90 %"}});
  for (const Json& measured : canary.value("measured", Json::array())) {
    const auto name = measured.value("metric", "");
    const double before = measured.value("before", 0.0);
    if (before <= 0) continue;
    std::string predicted = "-";
    for (const Json& entry : canary.value("prediction", Json::array())) {
      if (entry.value("metric", "") == name && entry.value("now", 0.0) > 0) {
        predicted = fmt::format("{:+.1f} %",
                                100 * (entry.value("expected", 0.0) / entry.value("now", 0.0) - 1));
      }
    }
    const auto change = [](double ratio) { return fmt::format("{:+.1f} %", 100 * (ratio - 1)); };
    table.add({name, predicted, change(measured.value("after", 0.0) / before),
               fmt::format("{} to {}", change(measured.value("low", 1.0)),
                           change(measured.value("high", 1.0)))});
  }
  return table.render();
}

Result<void> apply(Context& context, const AdviseFlags& flags, const advise::TrafficSample& sample,
                   const advise::AdviceReport& report) {
  if (flags.apply > report.advice.size()) {
    return invalid_argument(
        fmt::format("there is no advice {}, only {}", flags.apply, report.advice.size()),
        "run it without --apply first");
  }
  ApplyOptions trial = flags.trial;
  if (const char* key = std::getenv("PARING_API_KEY")) trial.key = key;
  PARING_TRY(const Json canary, apply_advice(sample.model, report.advice[flags.apply - 1], trial));
  if (flags.is_json) {
    context.output().write_json(canary);
    return {};
  }
  Facts facts;
  facts.add("advice", report.advice[flags.apply - 1].title);
  facts.add("verdict", canary.value("state", ""));
  for (const Json& event : canary.value("events", Json::array())) {
    if (event.value("kind", "") != "measured") {
      facts.add(event.value("kind", ""), event.value("detail", ""));
    }
  }
  context.output().write(facts.render() + measured_text(canary));
  return {};
}

Result<void> run_advise(Context& context, const AdviseFlags& flags) {
  PARING_TRY(const std::string folder, store::data_folder(context.settings().data_dir, environ));
  std::error_code unknown;
  if (!std::filesystem::is_directory(folder + "/traffic", unknown)) {
    return not_found(folder + " is not the data folder of a server that keeps its traffic",
                     "name it with --data-dir");
  }
  PARING_TRY(const store::TrafficDb traffic, store::TrafficDb::open({.data = folder}));
  const double now = system_clock().wall_seconds();
  PARING_TRY(const advise::TrafficSample sample,
             advise::read_sample(
                 traffic, {.model = flags.served_as, .from_s = now - flags.hours * kHourSeconds}));
  advise::AdvisorOptions options;
  options.clients = flags.clients;
  const cost::Machine machine = cost::read_machine();
  options.usable_cores = machine.usable_cores;
  options.free_bytes = static_cast<double>(machine.memory_available_bytes.value_or(0));
  if (!flags.measures_nothing) {
    PARING_TRY(options.candidates, weight_candidates(context, sample, options.free_bytes,
                                                     {flags.types, flags.candidates}));
  }
  if (auto past = residuals_of(folder); past) options.residuals = std::move(*past);
  const advise::AdviceReport report = advise::advise_on(sample, options);
  if (flags.apply > 0) return apply(context, flags, sample, report);
  if (flags.is_json) {
    context.output().write_json(Json::parse(advise::advice_json(sample, report)));
    return {};
  }
  Facts facts;
  facts.add("model", sample.model + ", " + sample.facts.path);
  facts.add("traffic", fmt::format("{} requests in {:.1f} hours, {} of them like an earlier one",
                                   sample.requests.size(),
                                   (sample.to_s - sample.from_s) / kHourSeconds, sample.repeated));
  facts.add("engine",
            fmt::format("{:.1f} s of work, {:.1f} ms between tokens, {:.1f} ms to the first",
                        sample.measured.work_s, 1e3 * sample.measured.gap_s,
                        1e3 * sample.measured.first_token_s));
  facts.add("full load", fmt::format("{} clients, {:.1f} answer tokens/s by replay", report.clients,
                                     report.present.answer_tokens_per_second()));
  context.output().write(facts.render());
  for (std::size_t i = 0; i < report.advice.size(); ++i) {
    context.output().write("\n" + advice_text(report.advice[i], i + 1));
  }
  if (report.advice.empty()) context.output().write("\nNothing to change.\n");
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<AdviseFlags>();
  app.add_option("--served-as", flags->served_as,
                 "The model, by the name that requests use; without it: that of the last steps")
      ->type_name("NAME");
  app.add_option("--hours", flags->hours, "How far back requests are read")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 24.0 * 366))
      ->type_name("N");
  app.add_option(
         "--clients", flags->clients,
         "Clients of the full load for which is predicted, each with one request at a time; "
         "0: as many sequences as ran together on average")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096))
      ->type_name("N");
  app.add_option("--types", flags->types, "Types of weights that are considered")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("A,B");
  app.add_option("--candidate", flags->candidates,
                 "A model file that could be served instead; may be repeated")
      ->type_name("MODEL");
  app.add_flag("--no-measure", flags->measures_nothing,
               "Times no steps on this machine: other weights are not predicted");
  CLI::Option* apply = app.add_option("--apply", flags->apply,
                                      "Has the running server try advice N on a share of its "
                                      "requests, and keep it or take it back (PARING_API_KEY: a "
                                      "key with the scope admin)");
  apply->check(CLI::Range(1, 1000))->type_name("N");
  app.add_option("--url", flags->trial.url, "The running server")
      ->needs(apply)
      ->capture_default_str()
      ->type_name("URL");
  app.add_option("--share", flags->trial.share, "Of the requests that get the change")
      ->needs(apply)
      ->capture_default_str()
      ->check(CLI::Range(0.01, 0.99))
      ->type_name("X");
  app.add_option("--trial-requests", flags->trial.requests_min,
                 "That must have ended with and without the change")
      ->needs(apply)
      ->capture_default_str()
      ->check(CLI::Range(10, 1000000))
      ->type_name("N");
  app.add_option("--trial-seconds", flags->trial.seconds_max, "That the trial may take")
      ->needs(apply)
      ->capture_default_str()
      ->check(CLI::Range(1, 7 * 86400))
      ->type_name("N");
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run_advise(context, *flags); };
}

}  // namespace

extern const Command kAdvise;
const Command kAdvise{"advise", "What to change about a server, with what it would gain",
                      "  paring advise --data-dir /var/lib/paring\n"
                      "  paring advise --clients 8 --candidate model-q4.gguf\n"
                      "  paring advise --apply 1 --url http://127.0.0.1:8000\n",
                      /*is_hidden=*/false, define};

}  // namespace paring::cli
