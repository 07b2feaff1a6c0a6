// SPDX-License-Identifier: Apache-2.0
// What the command line takes beside a subcommand's own options. Internal to cli.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "config/settings.h"

namespace paring::cli {

inline constexpr const char* kHelpText = "Print this help and exit";

struct GlobalFlags {
  std::string config_path;
  bool prints_config = false;
  std::vector<std::pair<std::string, std::string>> settings;  // key, value
};

// Declares every setting of all commands as an option, and the options about configuration files.
// `flags` must outlive the parsing.
void define_settings(CLI::App& app, GlobalFlags& flags);
// Declares those of one command on it.
void define_command_settings(CLI::App& command, GlobalFlags& flags);

}  // namespace paring::cli
