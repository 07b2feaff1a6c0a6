// SPDX-License-Identifier: Apache-2.0
// paring score: scorers over what a server kept, and what they say kept as scores.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/scorers_file.h"
#include "cli/table.h"
#include "cli/traffic_flags.h"
#include "improve/score_run.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

constexpr std::int64_t kAnswersMost = 100'000'000;

struct ScoreFlags {
  std::string scorers;
  TrafficFilterFlags chosen;
  std::size_t limit = 0;
  std::string project = "default";
  bool is_json = false;
};

Json report_json(const improve::ScoreReport& report) {
  Json json = {{"requests", report.requests}, {"answers", report.answers}};
  json["left_out"] = Json::object();
  for (const auto& [why, count] : report.left_out) json["left_out"][why] = count;
  for (const improve::ScorerTally& tally : report.tallies) {
    Json entry = {{"name", tally.name},   {"kind", tally.kind},           {"scored", tally.scored},
                  {"there", tally.there}, {"not_about", tally.not_about}, {"failed", tally.failed}};
    if (tally.count() > 0) {
      entry["mean"] = tally.mean;
      entry["interval"] = {tally.low, tally.high};
    }
    if (!tally.first_error.empty()) entry["first_error"] = tally.first_error;
    json["scorers"].push_back(std::move(entry));
  }
  return json;
}

std::string report_text(const improve::ScoreReport& report) {
  Table table({{"score"},
               {"kind"},
               {"answers", Align::kRight},
               {"new", Align::kRight},
               {"not about", Align::kRight},
               {"failed", Align::kRight},
               {"mean", Align::kRight},
               {"95 % interval", Align::kRight}});
  const auto digits = [](std::int64_t n) { return group_digits(static_cast<std::uint64_t>(n)); };
  std::string errors;
  for (const improve::ScorerTally& tally : report.tallies) {
    const bool is_there = tally.count() > 0;
    table.add({tally.name, tally.kind, digits(tally.count()), digits(tally.scored),
               digits(tally.not_about), digits(tally.failed),
               is_there ? fmt::format("{:.3f}", tally.mean) : "",
               is_there ? fmt::format("{:.3f} to {:.3f}", tally.low, tally.high) : ""});
    if (!tally.first_error.empty()) {
      errors += fmt::format("{}: {}\n", tally.name, escape_control(tally.first_error));
    }
  }
  std::string left;
  for (const auto& [why, count] : report.left_out) {
    left += fmt::format("{}{} {}", left.empty() ? "; left out: " : ", ", digits(count), why);
  }
  return table.render() + errors +
         fmt::format("{} of {}{}\n", counted(static_cast<std::uint64_t>(report.answers), "answer"),
                     counted(static_cast<std::uint64_t>(report.requests), "request"), left);
}

Result<void> run(Context& context, const ScoreFlags& flags) {
  PARING_TRY(const auto scorers, read_scorers_file(flags.scorers));
  improve::ScoreRunOptions options;
  PARING_TRY(options.filter, flags.chosen.read());
  if (!options.filter.tenant) options.filter.tenant = "default";
  options.limit = flags.limit;
  PARING_TRY(const std::string data, store::data_folder(context.settings().data_dir, environ));
  const std::string folder = data + "/traffic/" + flags.project;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return not_found(fmt::format("no traffic is kept in {}", folder),
                     "name the server's folder with --data-dir");
  }
  PARING_TRY(const store::ControlDb control, store::ControlDb::open({.folder = data}));
  PARING_TRY(const store::TrafficDb traffic,
             store::TrafficDb::open({.data = data, .project = flags.project}));
  PARING_TRY(const store::TrafficSums sums, traffic.summary(options.filter));
  context.progress().begin("scoring answers", static_cast<std::uint64_t>(sums.requests));
  const OnInterrupt said("stopped; what was scored is kept, run it again to go on\n");
  PARING_TRY(const improve::ScoreReport report,
             improve::run_scorers(traffic, store::Scores(control), scorers, options,
                                  static_cast<std::int64_t>(system_clock().wall_seconds()),
                                  [&](std::size_t rows) { context.progress().advance(rows); }));
  context.progress().end();
  if (report.answers == 0) {
    return not_found(fmt::format("none of {} of tenant '{}' can be scored",
                                 counted(static_cast<std::uint64_t>(report.requests), "request"),
                                 *options.filter.tenant),
                     "texts are kept with --content redacted or full");
  }
  if (flags.is_json) {
    context.output().write_json(report_json(report));
  } else {
    context.output().write(report_text(report));
  }
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<ScoreFlags>();
  app.add_option("--scorers", flags->scorers,
                 "YAML file that says what answers are judged by (docs/howto/score-answers.md)")
      ->required()
      ->type_name("FILE");
  flags->chosen.add_to(app);
  app.add_option("--limit", flags->limit, "At most the newest N answers; 0: all")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kAnswersMost))
      ->capture_default_str();
  app.add_option("--project", flags->project, "Folder below DATA/traffic")
      ->type_name("NAME")
      ->capture_default_str();
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kScore;
const Command kScore{
    "score", "Judges stored answers by rules and models, and keeps what they say",
    "  paring score --scorers scorers.yaml\n"
    "  paring score --scorers scorers.yaml --from 2026-11-23 --model chat --limit 1000\n"
    "Requests of the tenant 'default' unless --tenant names another. Run again it scores what is "
    "new.\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
