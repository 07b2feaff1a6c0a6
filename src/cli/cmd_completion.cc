// SPDX-License-Identifier: Apache-2.0
// paring completion: scripts that make a shell complete this program's command line.
#include "cli/commands.h"
#include "cli/completion.h"

namespace paring::cli {

namespace {

struct Shell {
  const char* name;
  std::string (*script)();
};
constexpr Shell kShells[] = {
    {"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};

std::function<Result<void>(Context&)> define(CLI::App& app) {
  const auto name = std::make_shared<std::string>();
  app.add_option("SHELL", *name, "bash, zsh or fish")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [name](Context& context) -> Result<void> {
    for (const Shell& shell : kShells) {
      if (*name == shell.name) context.output().write(shell.script());
    }
    return {};
  };
}

}  // namespace

extern const Command kCompletion;
const Command kCompletion{"completion", "Print a script that completes this program's words",
                          "  source <(paring completion bash)\n"
                          "  paring completion zsh > ~/.zfunc/_paring\n"
                          "  paring completion fish > ~/.config/fish/completions/paring.fish\n",
                          /*is_hidden=*/false, define};

}  // namespace paring::cli
