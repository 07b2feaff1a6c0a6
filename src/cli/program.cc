// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <fmt/format.h>

namespace paring::cli {

namespace {

constexpr const char* kSettingsGroup =
    "Settings (flag, else PARING_* variable, else --config file)";

void define_settings_of(std::string_view command, const char* group, CLI::App& app,
                        GlobalFlags& flags) {
  for (const config::SettingRow& row : config::setting_rows()) {
    if (row.command() != command) continue;
    const std::string key = row.key;
    // --context is what people type for the longest name of the list.
    const std::string names = row.flag() + (key == "context_tokens" ? ",--context" : "");
    CLI::Option* option = nullptr;
    if (row.type == config::SettingType::kFlag) {
      option = app.add_flag_function(
          names, [&flags, key](std::int64_t) { flags.settings.emplace_back(key, "true"); },
          row.help);
    } else {
      option = app.add_option_function<std::string>(
          names, [&flags, key](const std::string& text) { flags.settings.emplace_back(key, text); },
          fmt::format("{} ({}; default {})", row.help, row.bounds(), row.default_text));
      option->type_name("");
    }
    option->group(group);
  }
}

}  // namespace

void define_settings(CLI::App& app, GlobalFlags& flags) {
  define_settings_of("", kSettingsGroup, app, flags);
  app.add_option("--config", flags.config_path, "YAML file with settings (also PARING_CONFIG)")
      ->type_name("FILE")
      ->group(kSettingsGroup);
  app.add_flag("--print-config", flags.prints_config,
               "Print every setting with its value and origin, then exit")
      ->group(kSettingsGroup);
}

void define_command_settings(CLI::App& command, GlobalFlags& flags) {
  define_settings_of(command.get_name(), kSettingsGroup, command, flags);
}

}  // namespace paring::cli
