// SPDX-License-Identifier: Apache-2.0
#include "cli/option_table.h"

#include <CLI/CLI.hpp>
#include <string_view>

#include "cli/commands.h"
#include "cli/program.h"
#include "quant/format.h"

namespace paring::cli {

namespace {

std::vector<std::string> type_names() {
  std::vector<std::string> names;
  for (const quant::Format& format : quant::formats()) names.emplace_back(dtype_name(format.type));
  return names;
}

// What follows from the names by which options call their values.
void set_kind(OptionRow& row) {
  const std::string& value = row.value_name;
  const std::string& name = row.names.front();
  if (value == "FILE" || value == "FOLDER" || value == "PATH" || name == "OUT") {
    row.kind = ValueKind::kPath;
  } else if (value == "BASE" || name == "MODEL") {
    row.kind = ValueKind::kModel;
  } else if (name == "SHELL") {
    row.kind = ValueKind::kWord;
    row.words = {"bash", "zsh", "fish"};
  } else if (name == "ACTION") {
    row.kind = ValueKind::kWord;
    row.words = {"create", "list", "show", "revoke", "audit"};
  } else if (value == "TYPE" || value == "A,B") {
    row.kind = ValueKind::kWord;
    row.words = type_names();
  } else {
    row.kind = ValueKind::kText;
  }
}

OptionRow row_of(const CLI::Option& option) {
  OptionRow row;
  for (const std::string& name : option.get_snames()) row.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) row.names.push_back("--" + name);
  row.is_positional = option.get_positional();
  if (row.is_positional) row.names = {option.get_single_name()};
  row.help = option.get_description();
  row.is_required = option.get_required();
  if (option.get_expected_min() == 0 && !row.is_positional) return row;  // a flag
  row.value_name = option.get_type_name();
  const std::size_t colon = row.value_name.find(':');  // a validator's text follows
  if (colon != std::string::npos) row.value_name.resize(colon);
  set_kind(row);
  return row;
}

std::vector<OptionRow> options_of(const CLI::App& app) {
  std::vector<OptionRow> rows;
  for (const bool is_positional : {true, false}) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->get_positional() == is_positional) rows.push_back(row_of(*option));
    }
  }
  return rows;
}

// Settings know their choices.
void add_choices(std::vector<OptionRow>& rows) {
  for (OptionRow& row : rows) {
    for (const config::SettingRow& setting : config::setting_rows()) {
      if (row.names.front() != setting.flag()) continue;
      std::string_view choices = setting.choices;
      while (!choices.empty()) {
        const std::size_t end = std::min(choices.find('|'), choices.size());
        row.words.emplace_back(choices.substr(0, end));
        choices.remove_prefix(std::min(end + 1, choices.size()));
      }
      if (!row.words.empty()) row.kind = ValueKind::kWord;
    }
  }
}

}  // namespace

std::vector<CommandRow> command_rows() {
  std::vector<CommandRow> rows;
  for (const Command* command : commands()) {
    if (command->is_hidden) continue;
    CLI::App app;
    const auto runner = command->define(app);
    app.set_help_flag("--help,-h", kHelpText);
    rows.push_back({command->name, command->summary, command->examples, options_of(app)});
  }
  return rows;
}

std::vector<OptionRow> setting_options() {
  CLI::App app;
  app.set_help_flag();
  GlobalFlags flags;
  define_settings(app, flags);
  std::vector<OptionRow> rows = options_of(app);
  add_choices(rows);
  return rows;
}

std::vector<OptionRow> program_options() {
  return {
      {.names = {"--version"}, .help = "Print the version and exit", .value_name = {}, .words = {}},
      {.names = {"-h", "--help"}, .help = kHelpText, .value_name = {}, .words = {}}};
}

}  // namespace paring::cli
