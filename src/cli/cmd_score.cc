// SPDX-License-Identifier: Apache-2.0
// paring score: scorers over what a server kept, and what they say kept as scores.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/text.h"
#include "cli/agreement_report.h"
#include "cli/commands.h"
#include "cli/scorer_tools.h"
#include "cli/scorers_file.h"
#include "cli/table.h"
#include "cli/traffic_flags.h"
#include "improve/agreement.h"
#include "improve/score_run.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

constexpr std::int64_t kAnswersMost = 100'000'000;

struct ScoreFlags {
  std::string action = "run";
  std::string scorers;
  std::string judge;
  std::string human;
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
    Json entry = {{"name", tally.name},           {"kind", tally.kind},
                  {"scored", tally.scored},       {"there", tally.there},
                  {"not_about", tally.not_about}, {"failed", tally.failed},
                  {"not_asked", tally.not_asked}};
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
    if (tally.not_asked > 0) {
      errors += fmt::format("{}: not asked about {} more, since {} in a row failed\n", tally.name,
                            digits(tally.not_asked), improve::kFailuresInARowMax);
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

// What a server keeps, which may be running.
struct Stored {
  store::ControlDb control;
  store::TrafficDb traffic;
  store::TrafficFilter filter;
};

Result<Stored> open_stored(Context& context, const ScoreFlags& flags) {
  PARING_TRY(store::TrafficFilter filter, flags.chosen.read());
  if (!filter.tenant) filter.tenant = "default";
  PARING_TRY(const std::string data, store::data_folder(context.settings().data_dir, environ));
  const std::string folder = data + "/traffic/" + flags.project;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return not_found(fmt::format("no traffic is kept in {}", folder),
                     "name the server's folder with --data-dir");
  }
  PARING_TRY(store::ControlDb control, store::ControlDb::open({.folder = data}));
  PARING_TRY(store::TrafficDb traffic,
             store::TrafficDb::open({.data = data, .project = flags.project}));
  return Stored{std::move(control), std::move(traffic), std::move(filter)};
}

Result<void> run_agreement(Context& context, const ScoreFlags& flags) {
  if (flags.judge.empty()) {
    return invalid_argument("'score agreement' needs a judge",
                            "name its score with --judge, such as --judge 'quality>=4'");
  }
  PARING_TRY(const improve::Rating judge, improve::parse_rating(flags.judge));
  std::optional<improve::Rating> human;
  if (!flags.human.empty()) {
    PARING_TRY(human, improve::parse_rating(flags.human));
  }
  PARING_TRY(const Stored stored, open_stored(context, flags));
  PARING_TRY(const improve::RatingPairs pairs,
             improve::rating_pairs(stored.traffic, store::Scores(stored.control), stored.filter,
                                   judge, human));
  PARING_TRY(const improve::Agreement agreement, improve::agreement_of(pairs.pairs));
  if (flags.is_json) {
    context.output().write_json(agreement_json(pairs, agreement));
  } else {
    context.output().write(agreement_text(flags.judge, pairs, agreement));
  }
  return {};
}

Result<void> run(Context& context, const ScoreFlags& flags) {
  if (flags.action == "agreement") return run_agreement(context, flags);
  if (flags.scorers.empty()) {
    return invalid_argument("'score' needs a file of scorers", "name it with --scorers");
  }
  PARING_TRY(const auto scorers, read_scorers_file(flags.scorers, scorer_tools(context)));
  PARING_TRY(const Stored stored, open_stored(context, flags));
  const store::TrafficDb& traffic = stored.traffic;
  const improve::ScoreRunOptions options{.filter = stored.filter, .limit = flags.limit};
  PARING_TRY(const store::TrafficSums sums, traffic.summary(options.filter));
  context.progress().begin("scoring answers", static_cast<std::uint64_t>(sums.requests));
  const OnInterrupt said("stopped; what was scored is kept, run it again to go on\n");
  PARING_TRY(const improve::ScoreReport report,
             improve::run_scorers(traffic, store::Scores(stored.control), scorers, options,
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
  app.add_option("ACTION", flags->action,
                 "run: scores answers; agreement: compares a judge with people")
      ->type_name("")
      ->check(CLI::IsMember({"run", "agreement"}))
      ->capture_default_str();
  app.add_option("--scorers", flags->scorers,
                 "Of run: YAML file that says what answers are judged by "
                 "(docs/howto/score-answers.md)")
      ->type_name("FILE");
  app.add_option("--judge", flags->judge,
                 "Of agreement: the judge's score, or from where on it is good: 'quality>=4'")
      ->type_name("NAME[>=X]");
  app.add_option("--human", flags->human,
                 "Of agreement: people's score; without it: thumbs, words and corrections")
      ->type_name("NAME[>=X]");
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
    "  paring score agreement --judge 'quality>=4'\n"
    "  paring score agreement --judge quality --human stars\n"
    "Requests of the tenant 'default' unless --tenant names another. Run again it scores what is "
    "new.\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
