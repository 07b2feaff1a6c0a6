// SPDX-License-Identifier: Apache-2.0
#include "cli/redaction_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/text.h"
#include "config/yaml.h"

namespace paring::cli {

namespace {

constexpr std::string_view kBuiltIn = "built_in.";
constexpr std::string_view kRules = "rules.";

struct RuleLines {
  monitor::RedactionRule rule;
  std::size_t line = 0;
  bool has_pattern = false;
};

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  Result<monitor::RedactionOptions> read(const std::string& text) {
    auto entries = config::read_yaml(text);
    if (!entries) return Error{entries.error().code, path_ + ", " + entries.error().message};
    for (const config::YamlEntry& entry : *entries) PARING_TRY_VOID(add(entry));
    monitor::RedactionOptions options;
    // One after the other, so that who is wrong is known with its line.
    for (const auto& [name, is_on, line] : switches_) {
      options.built_in[name] = is_on;
      PARING_TRY_VOID(check({.rules = {}, .built_in = {{name, is_on}}}, line));
    }
    for (RuleLines& each : rules_) {
      if (!each.has_pattern) {
        return at(each.line, fmt::format("the rule '{}' has no pattern", each.rule.name),
                  "add a line 'pattern: ...' below its name");
      }
      if (each.rule.replacement.empty()) {
        each.rule.replacement = "[" + each.rule.name + "]";
        std::ranges::transform(each.rule.replacement, each.rule.replacement.begin(), [](char c) {
          return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        });
      }
      PARING_TRY_VOID(check({.rules = {each.rule}, .built_in = {}}, each.line));
      options.rules.push_back(std::move(each.rule));
    }
    PARING_TRY_VOID(check(options, 1));
    return options;
  }

 private:
  struct Switch {
    std::string name;
    bool is_on;
    std::size_t line;
  };

  Error at(std::size_t line, const std::string& why, std::string hint) const {
    return invalid_argument(fmt::format("{}, line {}: {}", path_, line, why), std::move(hint));
  }

  Result<void> check(const monitor::RedactionOptions& options, std::size_t line) const {
    const auto redactor = monitor::Redactor::create(options);
    if (redactor) return {};
    return at(line, redactor.error().message, redactor.error().hint);
  }

  Result<void> add(const config::YamlEntry& entry) {
    const std::string_view key = entry.key;
    if (key.starts_with(kBuiltIn)) return add_switch(key.substr(kBuiltIn.size()), entry);
    const std::size_t dot = key.rfind('.');
    const std::string_view field = dot == std::string_view::npos ? key : key.substr(dot + 1);
    if (!key.starts_with(kRules) || dot < kRules.size() ||
        (field != "pattern" && field != "replacement")) {
      return at(entry.line, fmt::format("'{}' is not known", escape_control(entry.key)),
                "it takes built_in.NAME: on|off, rules.NAME.pattern and rules.NAME.replacement");
    }
    const std::string name(key.substr(kRules.size(), dot - kRules.size()));
    auto found =
        std::ranges::find(rules_, name, [](const RuleLines& each) { return each.rule.name; });
    if (found == rules_.end()) {
      rules_.push_back({{name, "", ""}, entry.line});
      found = rules_.end() - 1;
    }
    if (field == "pattern") {
      found->rule.pattern = entry.value;
      found->has_pattern = true;
      found->line = entry.line;
    } else {
      found->rule.replacement = entry.value;
    }
    return {};
  }

  Result<void> add_switch(std::string_view name, const config::YamlEntry& entry) {
    const bool is_on = entry.value == "on" || entry.value == "true";
    if (!is_on && entry.value != "off" && entry.value != "false") {
      return at(entry.line,
                fmt::format("'{}' is '{}'", escape_control(entry.key), escape_control(entry.value)),
                "write on or off");
    }
    switches_.push_back({std::string(name), is_on, entry.line});
    return {};
  }

  const std::string path_;
  std::vector<RuleLines> rules_;
  std::vector<Switch> switches_;
};

}  // namespace

Result<monitor::RedactionOptions> read_redaction_file(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path, config::kYamlBytesMax));
  return Reader(path).read(text);
}

}  // namespace paring::cli
