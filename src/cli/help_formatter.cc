// SPDX-License-Identifier: Apache-2.0
#include "cli/help_formatter.h"

#include <algorithm>
#include <set>
#include <vector>

namespace paring::cli {

namespace {

// " Label: --a --b", by name.
std::string list(const std::string& label, const std::set<CLI::Option*>& options) {
  if (options.empty()) return {};
  std::vector<std::string> names;
  for (const CLI::Option* option : options) names.push_back(option->get_name());
  std::sort(names.begin(), names.end());
  std::string text = " " + label + ":";
  for (const std::string& name : names) text += " " + name;
  return text;
}

}  // namespace

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  std::string text = CLI::Formatter::make_option_opts(option);
  if (!option->get_option_text().empty()) return text;
  const bool has_lists = !option->get_needs().empty() || !option->get_excludes().empty();
  if (!has_lists) return text;
  // Both lists are the end of what CLI11 writes.
  const std::string first = option->get_needs().empty() ? "Excludes" : "Needs";
  text.resize(text.rfind(" " + get_label(first) + ":"));
  return text + list(get_label("Needs"), option->get_needs()) +
         list(get_label("Excludes"), option->get_excludes());
}

}  // namespace paring::cli
