// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/program.h"
#include "config/settings.h"
#include "kernels/ops.h"

namespace paring::cli {

namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  paring inspect model.gguf\n"
    "  paring run model.gguf \"Why is the sky blue?\"\n"
    "  paring optimize model.gguf --file 105.4MB --out small.gguf\n"
    "MODEL is a GGUF file or a Hugging Face folder. 'paring COMMAND --help' tells more about a "
    "command.";

Result<config::Settings> settle(const GlobalFlags& flags, const char* const* environment) {
  config::Settings settings;
  std::string path = flags.config_path;
  if (path.empty()) {
    if (const char* variable = std::getenv("PARING_CONFIG")) path = variable;
  }
  if (!path.empty()) PARING_TRY_VOID(settings.load_file(path));
  PARING_TRY_VOID(settings.load_environment(environment));
  for (const auto& [key, text] : flags.settings) {
    PARING_TRY_VOID(settings.set(key, text, config::SettingOrigin::flag()));
  }
  return settings;
}

// "auto" is the fastest level this CPU has, whatever PARING_ISA says: the setting outranks it.
Result<void> use_isa(const std::string& name) {
  if (name != "auto") return kernels::select_isa(name.c_str());
  for (const kernels::IsaLevel& level : kernels::isa_levels()) {
    if (level.supported()) return kernels::select_isa(level.name);
  }
  return {};
}

using Runner = std::function<Result<void>(Context&)>;

Result<void> run_command(const Runner& runner, const GlobalFlags& flags,
                         const char* const* environment, Output& output) {
  PARING_TRY(const config::Settings settings, settle(flags, environment));
  if (flags.prints_config) {
    output.write(settings.print());
    return {};
  }
  PARING_TRY(const LogLevel level, parse_log_level(settings.values().log_level));
  set_log_level(level);
  PARING_TRY_VOID(use_isa(settings.values().isa));
  Context context(settings, output);
  return runner(context);
}

// The end of the program: an error of the command, or else of standard output.
int finish(const Result<void>& result, Output& output) {
  const Result<void> flushed = output.flush();
  const Result<void>& outcome = !result && !output.has_failed() ? result : flushed;
  if (outcome) return 0;
  if (outcome.error().code == ErrorCode::kCancelled && output.has_failed()) return kExitBrokenPipe;
  print_error(outcome.error());
  return error_exit_code(outcome.error().code);
}

// A command line that cannot be understood: what is wrong and how to find out more.
int refuse(const CLI::ParseError& error, const CLI::App& app) {
  std::string name = "paring";
  for (const CLI::App* command : app.get_subcommands()) name += " " + command->get_name();
  std::string message = error.what();
  while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
  print_error(invalid_argument(message, fmt::format("'{} --help' lists what it takes", name)));
  print_raw_error(fmt::format("usage: {} {}\n", name,
                              name == "paring" ? "COMMAND [OPTIONS]" : "[ARGUMENTS] [OPTIONS]"));
  return error_exit_code(ErrorCode::kInvalidArgument);
}

}  // namespace

int run_program(int argc, const char* const* argv, const char* const* environment) {
  Output output(STDOUT_FILENO);
  CLI::App app("Measures, shrinks and runs large language models on the machine at hand.",
               "paring");
  app.footer(kExamples);
  app.set_version_flag("--version", fmt::format("paring {} ({})", version(), version_commit()));
  app.set_help_flag("--help,-h", kHelpText);
  GlobalFlags flags;
  define_settings(app, flags);
  std::vector<std::pair<CLI::App*, Runner>> runners;
  for (const Command* command : commands()) {
    CLI::App* sub = app.add_subcommand(command->name, command->summary);
    // Settings may stand before and after the command's name.
    sub->fallthrough();
    sub->footer(std::string("Examples:\n") + command->examples +
                "Settings such as --threads are listed by 'paring --help'.");
    if (command->is_hidden) sub->group("");
    runners.emplace_back(sub, command->define(*sub));
  }
  app.require_subcommand(0, 1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    output.write(app.help());
    return finish({}, output);
  } catch (const CLI::CallForVersion& call) {
    output.write(std::string(call.what()) + "\n");
    return finish({}, output);
  } catch (const CLI::ParseError& error) {
    return refuse(error, app);
  }
  for (const auto& [sub, runner] : runners) {
    if (sub->parsed()) return finish(run_command(runner, flags, environment, output), output);
  }
  if (flags.prints_config) return finish(run_command({}, flags, environment, output), output);
  return refuse(CLI::RequiredError("a command"), app);
}

}  // namespace paring::cli
