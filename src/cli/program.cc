// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace paring::cli {

namespace {

constexpr const char* kSettingsGroup =
    "Settings (flag, else PARING_* variable, else --config file)";

// Settings of `paring serve` that every server of ours has.
bool is_of_monitor(std::string_view key) {
  constexpr std::string_view kKeys[] = {"serve_host",           "serve_port",
                                        "serve_requests_max",   "serve_connections_max",
                                        "serve_header_seconds", "serve_connections_per_address_max",
                                        "serve_body_seconds",   "serve_idle_seconds",
                                        "serve_write_seconds",  "serve_trusted_proxies",
                                        "serve_tls_key",        "serve_tls_certificate",
                                        "serve_access_log",     "serve_drain_seconds",
                                        "serve_traffic",        "serve_traffic_days",
                                        "serve_content",        "serve_content_days",
                                        "serve_content_bytes",  "serve_content_share",
                                        "serve_redact",         "serve_otlp_endpoint",
                                        "serve_price_book",     "serve_slo"};
  return std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys);
}

void define_settings_of(std::string_view command, const char* group, CLI::App& app,
                        GlobalFlags& flags) {
  for (const config::SettingRow& row : config::setting_rows()) {
    const bool is_shared = command == "monitor" && is_of_monitor(row.key);
    if (row.command() != command && !is_shared) continue;
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
