// SPDX-License-Identifier: Apache-2.0
#include "cli/man_page.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/option_table.h"
#include "config/settings.h"

namespace paring::cli {

namespace {

// Text as roff takes it: backslashes, leading dots and quotes, and hyphens that can be copied.
std::string roff(std::string_view text) {
  std::string out;
  bool is_line_start = true;
  for (const char c : text) {
    if (is_line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    is_line_start = c == '\n';
  }
  return out;
}

std::string option_lines(const std::vector<OptionRow>& rows) {
  std::string out;
  for (const OptionRow& row : rows) {
    out += ".TP\n";
    if (row.is_positional) {
      out += fmt::format("\\fI{}\\fR\n", roff(row.names.front()));
    } else {
      std::string names;
      for (const std::string& name : row.names) {
        names += fmt::format("{}\\fB{}\\fR", names.empty() ? "" : ", ", roff(name));
      }
      const std::string value = row.value_name.empty() ? "VALUE" : row.value_name;
      out += row.kind == ValueKind::kNone ? names + "\n"
                                          : fmt::format("{} \\fI{}\\fR\n", names, roff(value));
    }
    out += roff(row.help) + "\n";
  }
  return out;
}

// Lines of a terminal, set as they stand.
std::string example_lines(std::string_view text) {
  return ".PP\n.nf\n.RS\n" + roff(text) + (text.ends_with('\n') ? "" : "\n") + ".RE\n.fi\n";
}

std::string exit_lines() {
  std::string out = ".TP\n.B 0\nsuccess\n";
#define PARING_X(enumerator, text, exit, http) out += ".TP\n.B " #exit "\n" + roff(text) + "\n";
  PARING_ERROR_CODES(PARING_X)
#undef PARING_X
  return out + ".TP\n.B 141\nthe reader of standard output went away\n";
}

std::string environment_lines() {
  std::string out;
  for (const config::SettingRow& row : config::setting_rows()) {
    out += fmt::format(".TP\n.B {}\n{} ({}; default {})\n", roff(row.environment()), roff(row.help),
                       roff(row.bounds()), roff(row.default_text));
  }
  out += ".TP\n.B PARING_CONFIG\nYAML file with settings, when \\fB\\-\\-config\\fR is not given\n";
  out +=
      ".TP\n.BR HF_ENDPOINT \", \" HF_TOKEN \", \" HF_HOME \", \" HF_HUB_CACHE \", \" "
      "HF_HUB_OFFLINE\nwhere models come from and where they are kept, as all Hugging Face "
      "tools read them\n";
  return out;
}

}  // namespace

std::string man_page() {
  std::string out = fmt::format(
      ".TH PARING 1 \"\" \"paring {}\" \"User Commands\"\n"
      ".SH NAME\nparing \\- measures, shrinks and runs large language models on the machine at "
      "hand\n"
      ".SH SYNOPSIS\n.B paring\n\\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n"
      ".SH DESCRIPTION\nA \\fIMODEL\\fR is a GGUF file, a folder in Hugging Face layout, or "
      "\\fBhf:\\fIOWNER\\fB/\\fINAME\\fR[\\fB@\\fIREVISION\\fR][\\fB:\\fIFILE\\fR], which is "
      "fetched once into the cache that all Hugging Face tools share.\n.PP\n"
      "Results go to standard output, progress, logs and errors to standard error. Sizes are "
      "written like 105.4MB or 90MiB. Settings may stand before and after the command.\n"
      ".SH COMMANDS\n",
      roff(version()));
  for (const CommandRow& command : command_rows()) {
    out += fmt::format(".SS paring {}\n{}.\n{}{}", roff(command.name), roff(command.summary),
                       option_lines(command.options), example_lines(command.examples));
  }
  out += ".SH OPTIONS\n" + option_lines(program_options());
  out +=
      ".SH SETTINGS\nA flag outranks the environment variable, which outranks the file given "
      "with \\fB\\-\\-config\\fR, which outranks the default.\n" +
      option_lines(setting_options());
  out += ".SH ENVIRONMENT\n" + environment_lines();
  out += ".SH EXIT STATUS\n" + exit_lines();
  return out;
}

}  // namespace paring::cli
