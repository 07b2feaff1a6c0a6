// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/commands.h"
#include "cli/context.h"
#include "cli/help_formatter.h"
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
  if (settings.values().numerics == "fast") PARING_TRY_VOID(kernels::check_fast());
  Context context(settings, output, [&] { return settle(flags, environment); });
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

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// The word that nothing takes, with what was probably meant; nullopt when every word was taken.
std::optional<Error> unknown_word(const CLI::App& app, const CLI::App* command,
                                  const std::string& name) {
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  const auto option = std::find_if(rest.begin(), rest.end(), [](const std::string& word) {
    return word.size() > 1 && word.front() == '-';
  });
  if (option == rest.end() && command != nullptr) return std::nullopt;
  std::vector<std::string> known;
  std::string word;
  const char* kind = "option";
  if (option != rest.end()) {
    word = option->substr(0, option->find('='));
    known = option_names(app);
    if (command != nullptr) {
      // A command's own options come first: of two equally near the first is meant.
      const std::vector<std::string> own = option_names(*command);
      known.insert(known.begin(), own.begin(), own.end());
    }
  } else {
    if (rest.empty()) return std::nullopt;
    word = rest.front();
    kind = "command";
    for (const Command* each : commands()) {
      if (!each->is_hidden) known.emplace_back(each->name);
    }
  }
  const std::string meant = nearest_name(word, known);
  const std::string help = fmt::format("'{} --help' lists what it takes", name);
  return invalid_argument(fmt::format("'{}' is no {} of '{}'", escape_control(word), kind, name),
                          meant.empty() ? help : fmt::format("did you mean '{}'? {}", meant, help));
}

// "paring quantize [OPTIONS] MODEL OUT"
std::string usage_of(const CLI::App* command, const std::string& name) {
  if (command == nullptr) return name + " COMMAND [OPTIONS]";
  std::string usage = name + " [OPTIONS]";
  for (const CLI::Option* option : command->get_options()) {
    if (!option->get_positional()) continue;
    const std::string argument = option->get_single_name();
    usage += option->get_required() ? " " + argument : " [" + argument + "]";
  }
  return usage;
}

// A command line that cannot be understood: what is wrong and how to find out more.
int refuse(const CLI::ParseError& error, const CLI::App& app) {
  const std::vector<CLI::App*> given = app.get_subcommands();
  const CLI::App* command = given.empty() ? nullptr : given.front();
  const std::string name = command == nullptr ? "paring" : "paring " + command->get_name();
  if (const auto unknown = unknown_word(app, command, name)) {
    print_error(*unknown);
  } else {
    std::string message = error.what();
    while (!message.empty() && (message.back() == '\n' || message.back() == '.')) {
      message.pop_back();
    }
    print_error(invalid_argument(message, fmt::format("'{} --help' lists what it takes", name)));
  }
  print_raw_error("usage: " + usage_of(command, name) + "\n");
  return error_exit_code(ErrorCode::kInvalidArgument);
}

}  // namespace

int run_program(int argc, const char* const* argv, const char* const* environment) {
  Output output(STDOUT_FILENO);
  CLI::App app("Measures, shrinks and runs large language models on the machine at hand.",
               "paring");
  app.formatter(std::make_shared<HelpFormatter>());  // shared with the commands
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
    define_command_settings(*sub, flags);
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
