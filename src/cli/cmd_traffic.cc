// SPDX-License-Identifier: Apache-2.0
// paring traffic: what a server kept of its requests, for others to read.
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/traffic_flags.h"
#include "io/atomic_file.h"
#include "monitor/postgres.h"
#include "monitor/traffic_columns.h"
#include "monitor/traffic_export.h"
#include "store/data_folder.h"
#include "store/traffic.h"

namespace paring::cli {

namespace {

struct TrafficFlags {
  std::string action;
  std::string format = "jsonl";
  std::string out;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
  std::string postgres;
  std::string project = "default";
  bool with_content = false;
  bool is_json = false;
  TrafficFilterFlags chosen;
  store::TrafficFilter filter;
};

Result<store::TrafficDb> open_traffic(Context& context, const TrafficFlags& flags) {
  PARING_TRY(const std::string data, store::data_folder(context.settings().data_dir, environ));
  const std::string folder = data + "/traffic/" + flags.project;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return Error{ErrorCode::kNotFound, fmt::format("no traffic is kept in {}", folder),
                 "name the server's folder with --data-dir"};
  }
  return store::TrafficDb::open({.data = data, .project = flags.project});
}

Result<std::int64_t> to_file(Context& context, const TrafficFlags& flags,
                             const store::TrafficDb& traffic) {
  const bool is_csv = flags.format == "csv";
  const auto line = [&](const store::TrafficRequest& row) {
    return is_csv ? monitor::csv_line(row, flags.with_content)
                  : monitor::json_line(row, flags.with_content);
  };
  const std::string head = is_csv ? monitor::csv_head(flags.with_content) : "";
  if (flags.out == "-") {
    context.output().write(head);
    return monitor::export_traffic(
        traffic, flags.filter, flags.with_content,
        [&](std::span<const store::TrafficRequest> rows) -> Result<void> {
          for (const store::TrafficRequest& row : rows) context.output().write(line(row));
          context.progress().advance(rows.size());
          return context.output().has_failed() ? context.output().flush() : Result<void>();
        });
  }
  PARING_TRY(io::AtomicFile file, io::AtomicFile::create(flags.out, flags.overwrite));
  PARING_TRY_VOID(file.write(head));
  PARING_TRY(
      const std::int64_t rows,
      monitor::export_traffic(traffic, flags.filter, flags.with_content,
                              [&](std::span<const store::TrafficRequest> page) -> Result<void> {
                                std::string lines;
                                for (const store::TrafficRequest& row : page) lines += line(row);
                                context.progress().advance(page.size());
                                return file.write(lines);
                              }));
  PARING_TRY_VOID(file.commit());
  return rows;
}

Result<void> run(Context& context, TrafficFlags flags) {
  if (flags.out.empty() == flags.postgres.empty()) {
    return invalid_argument("an export goes to a file or to a PostgreSQL server",
                            "give either --out FILE or --postgres URI");
  }
  if (!flags.out.empty() && flags.out != "-") {
    PARING_TRY_VOID(check_can_write(flags.out, flags.overwrite));
  }
  PARING_TRY(flags.filter, flags.chosen.read());
  PARING_TRY(const store::TrafficDb traffic, open_traffic(context, flags));
  PARING_TRY(const store::TrafficSums sums, traffic.summary(flags.filter));
  context.progress().begin("exporting requests", static_cast<std::uint64_t>(sums.requests));
  std::int64_t rows = 0;
  std::int64_t changed = 0;
  if (flags.postgres.empty()) {
    PARING_TRY(rows, to_file(context, flags, traffic));
    changed = rows;
  } else {
    PARING_TRY(const auto postgres, monitor::PostgresTraffic::connect(flags.postgres));
    PARING_TRY(rows, monitor::export_traffic(traffic, flags.filter, flags.with_content,
                                             [&](std::span<const store::TrafficRequest> page) {
                                               context.progress().advance(page.size());
                                               return postgres->write(page);
                                             }));
    changed = postgres->changed();
  }
  context.progress().end();
  if (flags.out == "-") return {};
  if (flags.is_json) {
    context.output().write_json({{"rows", rows}, {"written", changed}});
    return {};
  }
  context.output().write(
      fmt::format("{} {}\n", counted(static_cast<std::size_t>(rows), "request"),
                  flags.postgres.empty()
                      ? "written to " + flags.out
                      : fmt::format("read, {} new or with new content in PostgreSQL", changed)));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto flags = std::make_shared<TrafficFlags>();
  app.add_option("ACTION", flags->action, "export")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"export"}));
  app.add_option("--out", flags->out,
                 "File that is written, whole or not at all; -: standard output")
      ->type_name("FILE");
  app.add_option("--format", flags->format, "jsonl: an object a line; csv: RFC 4180 with a head")
      ->check(CLI::IsMember({"jsonl", "csv"}))
      ->capture_default_str();
  app.add_option(
         "--postgres", flags->postgres,
         "Server whose table paring.requests is filled, as postgresql://user@host/database; "
         "rows that are there stay")
      ->type_name("URI");
  app.add_flag("--with-content", flags->with_content,
               "Prompts and answers too, where they are kept");
  app.add_option("--project", flags->project, "Folder below DATA/traffic")
      ->type_name("NAME")
      ->capture_default_str();
  flags->chosen.add_to(app);
  add_force_flag(app, flags->overwrite);
  add_json_flag(app, flags->is_json);
  return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

extern const Command kTraffic;
const Command kTraffic{
    "traffic", "Exports what a server kept of its requests",
    "  paring traffic export --out requests.jsonl --from 2026-11-01\n"
    "  paring traffic export --out failed.csv --format csv --status-class 5\n"
    "  paring traffic export --out - --with-content | jq .answer\n"
    "  PGPASSWORD=... paring traffic export --postgres postgresql://paring@db/monitoring\n"
    "It reads beside a running server. Newest requests come first.\n",
    /*is_hidden=*/false, define};

}  // namespace paring::cli
