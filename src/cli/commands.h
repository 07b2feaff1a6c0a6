// SPDX-License-Identifier: Apache-2.0
// The list of subcommands. Adding one: a file cmd_<name>.cc and a line in commands.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>

#include "base/result.h"
#include "cli/context.h"
#include "io/atomic_file.h"

namespace paring::cli {

struct Command {
  const char* name;
  const char* summary;
  const char* examples;  // lines for --help
  bool is_hidden;
  // Declares the command's options on `app` and returns what runs it once they are parsed.
  std::function<Result<void>(Context&)> (*define)(CLI::App& app);
};

std::span<const Command* const> commands() noexcept;

// Adds the --json flag.
void add_json_flag(CLI::App& app, bool& is_json);
// Adds an option whose value is a size such as 105.4MB.
CLI::Option* add_bytes_option(CLI::App& app, const std::string& flag, std::uint64_t& target,
                              const std::string& help);

// --force, for commands that write a file.
void add_force_flag(CLI::App& app, io::Overwrite& overwrite);
// A number in [least, most]; NaN and infinities are refused with everything else outside.
CLI::Validator number_between(double least, double most);
// While it lives, Ctrl-C and the like print `text`, a literal, before they end the process as
// usual: what was stopped, what is kept and how to go on.
class OnInterrupt {
 public:
  explicit OnInterrupt(const char* text) noexcept { io::say_on_signals(text); }
  ~OnInterrupt() { io::say_on_signals(nullptr); }
  OnInterrupt(const OnInterrupt&) = delete;
  OnInterrupt& operator=(const OnInterrupt&) = delete;
};

// Whether `path` can be written, found out before the work that fills it.
Result<void> check_can_write(const std::string& path, io::Overwrite overwrite);
// InvalidArgument when two paths mean one file: an output must not replace the input or another
// output, with --force neither. The names are those of the options. Missing files are compared by
// path.
Result<void> check_different(const std::string& a_name, const std::string& a,
                             const std::string& b_name, const std::string& b);

}  // namespace paring::cli
