// SPDX-License-Identifier: Apache-2.0
// paring dataset: files to fine-tune on, made of what a server kept and what people thought of it.
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/redaction_file.h"
#include "cli/table.h"
#include "cli/traffic_flags.h"
#include "improve/dataset/build.h"
#include "improve/dataset/dataset_folder.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

constexpr std::int64_t kExamplesMost = 100'000'000;

struct DatasetFlags {
  std::string action;
  std::string folder;
  std::string out;
  std::string format = "sft";
  std::string prompts = "chat";
  TrafficFilterFlags chosen;
  std::vector<std::string> scores;
  std::vector<std::string> good;
  std::vector<std::string> bad;
  bool takes_unrated = false;
  bool takes_tools = false;
  std::string split = "train=1";
  std::string redact;
  bool is_unredacted = false;
  std::string duplicates = "exact";
  std::size_t limit = 0;
  std::string project = "default";
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  bool is_json = false;
};

Result<std::vector<improve::Condition>> conditions_of(const char* option,
                                                      const std::vector<std::string>& texts) {
  std::vector<improve::Condition> conditions;
  for (const std::string& text : texts) {
    Result<improve::Condition> condition = improve::parse_condition(text);
    if (!condition) return std::move(condition.error()).with_context(option);
    conditions.push_back(std::move(condition).value());
  }
  return conditions;
}

Result<std::shared_ptr<const monitor::ContentFilter>> redaction_of(const DatasetFlags& flags) {
  if (flags.is_unredacted) return std::shared_ptr<const monitor::ContentFilter>();
  monitor::ContentFilter::Options options;
  options.bytes_max = monitor::ContentFilter::kBytesMost;
  if (!flags.redact.empty()) {
    PARING_TRY(options.redaction, read_redaction_file(flags.redact));
  }
  return monitor::ContentFilter::create(options);
}

Result<improve::DatasetOptions> options_of(const DatasetFlags& flags) {
  improve::DatasetOptions options;
  options.format = *improve::dataset_format_of(flags.format);
  options.prompts =
      flags.prompts == "chat" ? improve::PromptKind::kChat : improve::PromptKind::kText;
  PARING_TRY(options.filter, flags.chosen.read());
  if (!options.filter.tenant) options.filter.tenant = "default";
  PARING_TRY(options.conditions, conditions_of("--score", flags.scores));
  PARING_TRY(options.good, conditions_of("--good", flags.good));
  PARING_TRY(options.bad, conditions_of("--bad", flags.bad));
  options.takes_unrated = flags.takes_unrated;
  options.takes_tools = flags.takes_tools;
  if (flags.takes_unrated && options.format != improve::DatasetFormat::kSft) {
    return invalid_argument(
        fmt::format("--unrated and --format {}: without feedback there is neither a label nor a "
                    "pair",
                    flags.format),
        "leave one of them out");
  }
  Result<std::vector<improve::Share>> split = improve::parse_split(flags.split);
  if (!split) return std::move(split.error()).with_context("--split");
  options.split = std::move(split).value();
  options.duplicates =
      flags.duplicates == "near" ? improve::Duplicates::kNear : improve::Duplicates::kExact;
  PARING_TRY(options.redaction, redaction_of(flags));
  options.limit = flags.limit;
  return options;
}

// For the manifest: what was asked for, as it was written.
std::map<std::string, std::string> filters_text(const store::TrafficFilter& filter) {
  std::map<std::string, std::string> texts;
  const auto add = [&](const char* name, const std::optional<std::string>& value) {
    if (value) texts[name] = *value;
  };
  if (filter.from_s > 0) texts["from_s"] = fmt::format("{}", filter.from_s);
  if (std::isfinite(filter.to_s)) texts["to_s"] = fmt::format("{}", filter.to_s);
  add("tenant", filter.tenant);
  add("model", filter.model);
  add("variant", filter.variant);
  add("key", filter.key_id);
  add("route", filter.route);
  if (filter.status_class) texts["status_class"] = std::to_string(*filter.status_class);
  if (filter.cache) texts["cache"] = store::traffic_cache_name(*filter.cache);
  if (filter.min_total_seconds) {
    texts["min_seconds"] = fmt::format("{}", *filter.min_total_seconds);
  }
  return texts;
}

std::string built_text(const improve::Dataset& dataset, const improve::WrittenDataset& written,
                       const std::string& out) {
  Facts facts;
  facts.add("dataset", out + (written.is_unchanged ? " (unchanged)" : ""));
  facts.add("version", written.version.substr(0, 12));
  for (std::size_t p = 0; p < dataset.parts.size(); ++p) {
    facts.add(dataset.options.split[p].name, counted(dataset.parts[p].size(), "example"));
  }
  for (const auto& [why, count] : dataset.kinds) {
    facts.add("  " + why, group_digits(static_cast<std::uint64_t>(count)));
  }
  facts.add("of", counted(static_cast<std::uint64_t>(dataset.requests), "request"));
  Table table({{"left out", Align::kRight}, {"because"}});
  for (const auto& [reason, count] : dataset.left_out) {
    table.add({group_digits(static_cast<std::uint64_t>(count)), improve::left_out_text(reason)});
  }
  return facts.render() + (dataset.left_out.empty() ? "" : table.render());
}

Result<void> build(Context& context, const DatasetFlags& flags) {
  if (flags.out.empty()) {
    return invalid_argument("'dataset build' needs a folder to write", "name it with --out");
  }
  PARING_TRY(const improve::DatasetOptions options, options_of(flags));
  PARING_TRY(const std::string data, store::data_folder(context.settings().data_dir, environ));
  const std::string folder = data + "/traffic/" + flags.project;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error) ||
      !std::filesystem::is_regular_file(data + "/control.db", error)) {
    return not_found(fmt::format("no traffic is kept in {}", folder),
                     "name the server's folder with --data-dir");
  }
  PARING_TRY(const store::ControlDb control, store::ControlDb::open({.folder = data}));
  PARING_TRY(const store::TrafficDb traffic,
             store::TrafficDb::open({.data = data, .project = flags.project}));
  PARING_TRY(const store::TrafficSums sums, traffic.summary(options.filter));
  context.progress().begin("reading requests", static_cast<std::uint64_t>(sums.requests));
  PARING_TRY(const improve::Dataset dataset,
             improve::build_dataset(traffic, store::Scores(control), options,
                                    [&](std::size_t rows) { context.progress().advance(rows); }));
  context.progress().end();
  if (dataset.examples() == 0) {
    std::string why;
    for (const auto& [reason, count] : dataset.left_out) {
      why +=
          fmt::format("{}{}: {}", why.empty() ? "; " : ", ", improve::left_out_text(reason), count);
    }
    return not_found(fmt::format("none of {} of tenant '{}' is an example{}",
                                 counted(static_cast<std::uint64_t>(dataset.requests), "request"),
                                 *options.filter.tenant, why),
                     "texts are kept with --content redacted, feedback comes by POST /v1/feedback");
  }
  PARING_TRY(
      const improve::WrittenDataset written,
      improve::write_dataset(dataset, filters_text(options.filter), flags.out, flags.overwrite));
  if (flags.is_json) {
    PARING_TRY(const improve::DatasetManifest manifest, improve::read_manifest(flags.out));
    Json json = Json::parse(manifest.text);
    json["path"] = flags.out;
    json["unchanged"] = written.is_unchanged;
    context.output().write_json(json);
    return {};
  }
  context.output().write(built_text(dataset, written, flags.out));
  return {};
}

Result<void> list(Context& context, const DatasetFlags& flags) {
  PARING_TRY(const std::vector<improve::DatasetManifest> found,
             improve::list_datasets(flags.folder));
  if (flags.is_json) {
    Json json = Json::array();
    for (const improve::DatasetManifest& manifest : found) {
      Json entry = Json::parse(manifest.text);
      entry["path"] = manifest.path;
      json.push_back(std::move(entry));
    }
    context.output().write_json({{"datasets", std::move(json)}});
    return {};
  }
  Table table({{"folder"}, {"version"}, {"format"}, {"prompts"}, {"examples"}});
  for (const improve::DatasetManifest& manifest : found) {
    std::string parts;
    for (const improve::DatasetPart& part : manifest.parts) {
      if (part.name.empty()) continue;
      parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", part.name, part.examples);
    }
    table.add(
        {manifest.path, manifest.version.substr(0, 12), manifest.format, manifest.prompts, parts});
  }
  context.output().write(table.render());
  return {};
}

Result<void> show(Context& context, const DatasetFlags& flags) {
  PARING_TRY(const improve::DatasetManifest manifest, improve::read_manifest(flags.folder));
  PARING_TRY_VOID(improve::check_dataset(manifest));
  context.output().write(manifest.text);
  return {};
}

Result<void> run(Context& context, const DatasetFlags& flags) {
  if (flags.action == "build") {
    if (flags.folder.empty()) return build(context, flags);
    return invalid_argument("'dataset build' takes no FOLDER", "name it with --out");
  }
  if (flags.folder.empty()) {
    return invalid_argument(fmt::format("'dataset {}' needs a FOLDER", flags.action),
                            "it is what --out named");
  }
  return flags.action == "list" ? list(context, flags) : show(context, flags);
}

void add_labels(CLI::App& app, DatasetFlags& flags) {
  const auto add = [&](const char* name, std::vector<std::string>& target, const char* help) {
    app.add_option(name, target, help)->type_name("NAME>=X")->expected(1)->take_all();
  };
  add("--score", flags.scores,
      "Only answers whose newest score of that name is so: helpful>=0.8; may be repeated, all must "
      "hold");
  add("--good", flags.good,
      "A score that says that an answer is good, beside thumbs and words; may be repeated: "
      "stars>=4");
  add("--bad", flags.bad, "One that says that it is bad: stars<=2");
  app.add_flag("--unrated", flags.takes_unrated,
               "With sft: answers without feedback too; bad ones never");
  app.add_flag("--tools", flags.takes_tools,
               "Conversations with calls of tools too, though the definitions of the tools are not "
               "kept");
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<DatasetFlags>();
  app.add_option("ACTION", flags->action, "build, list or show")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"build", "list", "show"}));
  app.add_option("FOLDER", flags->folder,
                 "A dataset, for show, which also checks its files; where some are, for list")
      ->type_name("");
  app.add_option("--out", flags->out, "Folder that is written, whole or not at all")
      ->type_name("FOLDER");
  app.add_option("--format", flags->format,
                 "sft: good and corrected answers; dpo: pairs of a better and a worse one; kto: "
                 "answers with their thumb")
      ->check(CLI::IsMember({"sft", "dpo", "kto"}))
      ->capture_default_str();
  app.add_option("--prompts", flags->prompts, "Requests for chats, or for completions of a text")
      ->check(CLI::IsMember({"chat", "text"}))
      ->capture_default_str();
  flags->chosen.add_to(app);
  add_labels(app, *flags);
  app.add_option("--split", flags->split,
                 "Parts and their shares: train=0.9,test=0.1; equal prompts and all of a session "
                 "are in one part")
      ->type_name("NAME=SHARE,...")
      ->capture_default_str();
  app.add_option("--dedup", flags->duplicates,
                 "exact: equal but for blanks and capitals; near: also where prompts and answers "
                 "share 80 % of their runs of 5 words")
      ->check(CLI::IsMember({"exact", "near"}))
      ->capture_default_str();
  CLI::Option* redact =
      app.add_option("--redact", flags->redact,
                     "YAML file of redaction rules beside the built-in ones, as for 'paring serve'")
          ->type_name("FILE");
  app.add_flag("--unredacted", flags->is_unredacted, "Texts and corrections as they were kept")
      ->excludes(redact);
  app.add_option("--limit", flags->limit, "At most the newest N examples; 0: all")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kExamplesMost))
      ->capture_default_str();
  app.add_option("--project", flags->project, "Folder below DATA/traffic")
      ->type_name("NAME")
      ->capture_default_str();
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kDataset;
const Command kDataset{
    "dataset", "Makes files to fine-tune on out of stored requests and feedback",
    "  paring dataset build --out support --format sft --split train=0.9,test=0.1\n"
    "  paring dataset build --out pairs --format dpo --from 2026-11-01 --dedup near\n"
    "  paring dataset build --out stars --format kto --good 'stars>=4' --bad 'stars<=2'\n"
    "  paring dataset list .\n"
    "  paring dataset show support\n"
    "Requests of the tenant 'default' unless --tenant names another. The files are what TRL "
    "reads.\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
