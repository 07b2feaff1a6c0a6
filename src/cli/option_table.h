// SPDX-License-Identifier: Apache-2.0
// The command line as data: what every subcommand takes, read from the very definitions that parse
// it, so that completion, man page and reference pages cannot tell anything else. Stateless.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace paring::cli {

// What a value is, for shells that complete it.
enum class ValueKind : std::uint8_t {
  kNone,   // a flag
  kText,   // anything
  kPath,   // a file or folder
  kModel,  // a path, or a name on a hub
  kWord,   // one of `words`
};

struct OptionRow {
  std::vector<std::string> names;  // "-h", "--help"; of a positional argument its one name
  std::string help;
  std::string value_name;  // "FILE"; may be empty
  ValueKind kind = ValueKind::kNone;
  std::vector<std::string> words;  // of kWord
  bool is_positional = false;
  bool is_required = false;
};

struct CommandRow {
  std::string name;
  std::string summary;
  std::string examples;
  std::vector<OptionRow> options;  // positional arguments first, in their order
};

// Every subcommand that is not hidden, in the order of the list.
std::vector<CommandRow> command_rows();
// What all of them take: settings, --config and --print-config.
std::vector<OptionRow> setting_options();
// What stands before a subcommand only: --version.
std::vector<OptionRow> program_options();

}  // namespace paring::cli
