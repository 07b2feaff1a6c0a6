// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "cli/option_table.h"

namespace paring::cli {

namespace {

// In single quotes, for all three shells: a quote ends the text, stands escaped, begins it anew.
std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  return fmt::format("{}", fmt::join(words, between));
}

bool is_path(const OptionRow& row) {
  return row.kind == ValueKind::kPath || row.kind == ValueKind::kModel;
}

std::vector<OptionRow> with_settings(std::vector<OptionRow> rows) {
  for (OptionRow& row : setting_options()) rows.push_back(std::move(row));
  return rows;
}

std::string flag_names(const std::vector<OptionRow>& rows) {
  std::vector<std::string> names;
  for (const OptionRow& row : rows) {
    if (row.is_positional) continue;
    for (const std::string& name : row.names) names.push_back(name);
  }
  return joined(names, " ");
}

// "    --kv-type) COMPREPLY=(...) ;;" for what stands before the word that is completed.
std::string bash_values(const std::vector<OptionRow>& rows, std::string_view indent) {
  std::string out;
  for (const OptionRow& row : rows) {
    if (row.is_positional || row.kind == ValueKind::kNone) continue;
    std::string action = "return";
    if (is_path(row)) action = "_paring_paths; return";
    if (row.kind == ValueKind::kWord) {
      action = fmt::format("_paring_words {}; return", quoted(joined(row.words, " ")));
    }
    out += fmt::format("{}{}) {} ;;\n", indent, joined(row.names, "|"), action);
  }
  return out;
}

bool takes_paths(const CommandRow& command) {
  return std::any_of(command.options.begin(), command.options.end(),
                     [](const OptionRow& row) { return row.is_positional && is_path(row); });
}

// Words that a positional argument may be; empty when it is a path or anything.
std::string positional_words(const CommandRow& command) {
  for (const OptionRow& row : command.options) {
    if (row.is_positional && row.kind == ValueKind::kWord) return joined(row.words, " ");
  }
  return "";
}

}  // namespace

std::string bash_completion() {
  std::vector<std::string> names;
  std::string cases;
  for (const CommandRow& command : command_rows()) {
    names.push_back(command.name);
    cases += fmt::format("    {})\n      case $previous in\n{}      esac\n      flags={}\n",
                         command.name, bash_values(command.options, "        "),
                         quoted(flag_names(command.options)));
    const std::string words = positional_words(command);
    if (!words.empty()) cases += fmt::format("      words={}\n", quoted(words));
    cases += fmt::format("      paths={} ;;\n", takes_paths(command) ? 1 : 0);
  }
  const std::vector<OptionRow> settings = setting_options();
  return fmt::format(
      R"(# bash completion for paring, made by 'paring completion bash'
_paring_words() {{ mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }}
_paring_paths() {{
  compopt -o filenames 2> /dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}}
_paring() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
  local command= flags= words= paths=0 i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case " {0} " in *" ${{COMP_WORDS[i]}} "*) command=${{COMP_WORDS[i]}}; break ;; esac
  done
  case $previous in
{1}  esac
  case $command in
{2}    *) flags={3}; words={4} ;;
  esac
  case $current in
    -*) _paring_words "$flags "{5} ;;
    *)
      if [ -n "$words" ]; then _paring_words "$words"
      elif [ $paths = 1 ]; then _paring_paths
      fi ;;
  esac
}}
complete -F _paring paring
)",
      joined(names, " "), bash_values(settings, "    "), cases,
      quoted(flag_names(program_options())), quoted(joined(names, " ")),
      quoted(flag_names(settings)));
}

namespace {

// What zsh's _arguments has a meaning for, inside a description or a list of words.
std::string zsh_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\' || c == '`' || c == '$') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(const OptionRow& row) {
  if (is_path(row)) return "_files";
  if (row.kind == ValueKind::kWord) return "(" + joined(row.words, " ") + ")";
  return " ";
}

std::string zsh_arguments(const std::vector<OptionRow>& rows) {
  std::string out;
  std::size_t position = 0;
  for (const OptionRow& row : rows) {
    const std::string help = zsh_escaped(row.help);
    if (row.is_positional) {
      const std::string place = fmt::format("{}:", ++position);
      out += fmt::format(
          " \\\n        {}",
          quoted(fmt::format("{}{}:{}", place, zsh_escaped(row.names.front()), zsh_action(row))));
      continue;
    }
    for (const std::string& name : row.names) {
      const std::string value =
          row.kind == ValueKind::kNone
              ? ""
              : fmt::format(":{}:{}", row.value_name.empty() ? "value" : row.value_name,
                            zsh_action(row));
      out += fmt::format(" \\\n        {}", quoted(fmt::format("{}[{}]{}", name, help, value)));
    }
  }
  return out;
}

}  // namespace

std::string zsh_completion() {
  std::string names;
  std::string cases;
  for (const CommandRow& command : command_rows()) {
    names += fmt::format("    {}\n", quoted(command.name + ":" + zsh_escaped(command.summary)));
    cases += fmt::format("    {})\n      _arguments -S{} ;;\n", command.name,
                         zsh_arguments(with_settings(command.options)));
  }
  return fmt::format(R"(#compdef paring
# zsh completion for paring, made by 'paring completion zsh'
_paring() {{
  local -a commands
  local i command=
  commands=(
{0}  )
  for ((i = 2; i < CURRENT; i++)); do
    if [[ ${{words[i]}} != -* ]] && (( ${{commands[(I)${{words[i]}}:*]}} )); then
      command=${{words[i]}}
      shift $((i - 1)) words
      (( CURRENT -= i - 1 ))
      break
    fi
  done
  case $command in
{1}    *)
      _arguments -S '1:command:->command'{2}
      [[ $state = command ]] && _describe command commands ;;
  esac
}}
if [[ $funcstack[1] = _paring ]]; then _paring "$@"; else compdef _paring paring; fi
)",
                     names, cases, zsh_arguments(with_settings(program_options())));
}

namespace {

std::string fish_option(const OptionRow& row, std::string_view condition) {
  if (row.is_positional) return "";
  std::string line = fmt::format("complete -c paring{}", condition);
  for (const std::string& name : row.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (is_path(row)) line += " -r -F";
  if (row.kind == ValueKind::kText) line += " -x";
  if (row.kind == ValueKind::kWord) line += " -x -a " + quoted(joined(row.words, " "));
  return line + " -d " + quoted(row.help) + "\n";
}

}  // namespace

std::string fish_completion() {
  std::vector<std::string> names;
  for (const CommandRow& command : command_rows()) names.push_back(command.name);
  const std::string none =
      fmt::format(" -n 'not __fish_seen_subcommand_from {}'", joined(names, " "));
  std::string out =
      "# fish completion for paring, made by 'paring completion fish'\n"
      "complete -c paring -f\n";
  for (const OptionRow& row : program_options()) out += fish_option(row, none);
  for (const OptionRow& row : setting_options()) out += fish_option(row, "");
  for (const CommandRow& command : command_rows()) {
    out += fmt::format("complete -c paring{} -a {} -d {}\n", none, command.name,
                       quoted(command.summary));
    const std::string seen = fmt::format(" -n '__fish_seen_subcommand_from {}'", command.name);
    const std::string words = positional_words(command);
    if (!words.empty()) out += fmt::format("complete -c paring{} -a {}\n", seen, quoted(words));
    if (takes_paths(command)) out += fmt::format("complete -c paring{} -F\n", seen);
    for (const OptionRow& row : command.options) out += fish_option(row, seen);
  }
  return out;
}

}  // namespace paring::cli
