// SPDX-License-Identifier: Apache-2.0
#include "config/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "config/yaml.h"

namespace paring::config {
namespace {

constexpr std::string_view kPrefix = "PARING_";
// Names the configuration file itself, so it is no setting.
// Variables of ours that are no settings: the file with settings, and a secret, which no listing of
// settings may show (serve/access/key_file.h).
constexpr std::array<std::string_view, 3> kOtherVariables = {"PARING_CONFIG", "PARING_API_KEY",
                                                             "PARING_UPSTREAM_KEY"};

// Of keys that belong to `paring serve`.
constexpr std::string_view kServePrefix = "serve_";

std::string_view without_command(std::string_view key) {
  return key.starts_with(kServePrefix) ? key.substr(kServePrefix.size()) : key;
}

constexpr SettingRow kRows[] = {
#define PARING_SETTING_NUMBER(key, value, smallest, largest, restart, help) \
  {#key, SettingType::kNumber, #value, smallest, largest, "", TakesEffect::restart, help},
#define PARING_SETTING_BYTES(key, value, smallest, largest, restart, help) \
  {#key, SettingType::kBytes, #value, smallest, largest, "", TakesEffect::restart, help},
#define PARING_SETTING_SECONDS(key, value, smallest, largest, restart, help) \
  {#key, SettingType::kSeconds, #value, smallest, largest, "", TakesEffect::restart, help},
#define PARING_SETTING_CHOICE(key, value, choices, restart, help) \
  {#key, SettingType::kChoice, value, 0, 0, choices, TakesEffect::restart, help},
#define PARING_SETTING_TEXT(key, value, longest, restart, help) \
  {#key, SettingType::kText, value, 0, longest, "", TakesEffect::restart, help},
#define PARING_SETTING_FLAG(key, value, restart, help) \
  {#key, SettingType::kFlag, #value, 0, 0, "", TakesEffect::restart, help},
#include "config/settings.def"
#undef PARING_SETTING_NUMBER
#undef PARING_SETTING_BYTES
#undef PARING_SETTING_SECONDS
#undef PARING_SETTING_CHOICE
#undef PARING_SETTING_TEXT
#undef PARING_SETTING_FLAG
};

std::vector<std::string> choices_of(const SettingRow& row) {
  std::vector<std::string> choices;
  std::string_view rest = row.choices;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('|'), rest.size());
    choices.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return choices;
}

bool parse_number(std::string_view text, const SettingRow& row, std::uint64_t& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  bool is_number = error == std::errc() && stop == end && !text.empty();
  if (!is_number && row.type == SettingType::kBytes) {
    const Result<std::uint64_t> bytes = parse_bytes(text);
    is_number = bytes.has_value();
    value = bytes ? *bytes : 0;
  } else if (!is_number && row.type == SettingType::kSeconds) {
    const Result<double> seconds = parse_duration(text);
    // Whole ones, within what a number holds exactly.
    constexpr double kSecondsMax = 1e15;
    is_number = seconds && *seconds == std::floor(*seconds) && *seconds <= kSecondsMax;
    value = is_number ? static_cast<std::uint64_t>(*seconds) : 0;
  }
  return is_number && value >= row.smallest && value <= row.largest;
}

bool parse_choice(std::string_view text, const SettingRow& row, std::string& value) {
  const std::vector<std::string> choices = choices_of(row);
  if (std::find(choices.begin(), choices.end(), text) == choices.end()) return false;
  value = text;
  return true;
}

bool parse_text(std::string_view text, const SettingRow& row, std::string& value) {
  if (text.empty() || text.size() > row.largest || escape_control(text) != text) return false;
  value = text;
  return true;
}

bool parse_flag(std::string_view text, const SettingRow&, bool& value) {
  const auto is_one_of = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), text) != words.end();
  };
  if (is_one_of({"true", "1", "yes", "on"})) {
    value = true;
  } else if (is_one_of({"false", "0", "no", "off"})) {
    value = false;
  } else {
    return false;
  }
  return true;
}

// Parses into the member of `values` that `row` names.
bool parse_value(const SettingRow& row, std::string_view text, SettingValues& values) {
  const std::string_view key = row.key;
#define PARING_SETTING_NUMBER(name, ...) \
  if (key == #name) return parse_number(text, row, values.name);
#define PARING_SETTING_BYTES PARING_SETTING_NUMBER
#define PARING_SETTING_SECONDS PARING_SETTING_NUMBER
#define PARING_SETTING_CHOICE(name, ...) \
  if (key == #name) return parse_choice(text, row, values.name);
#define PARING_SETTING_TEXT(name, ...) \
  if (key == #name) return parse_text(text, row, values.name);
#define PARING_SETTING_FLAG(name, ...) \
  if (key == #name) return parse_flag(text, row, values.name);
#include "config/settings.def"
#undef PARING_SETTING_NUMBER
#undef PARING_SETTING_BYTES
#undef PARING_SETTING_SECONDS
#undef PARING_SETTING_CHOICE
#undef PARING_SETTING_TEXT
#undef PARING_SETTING_FLAG
  return false;
}

// Levenshtein distance.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (left[i] == right[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

// serve.port and serve_port are one setting.
Result<void> check_given_once(std::span<const YamlEntry> entries) {
  std::map<const SettingRow*, const YamlEntry*> given;
  for (const YamlEntry& entry : entries) {
    const SettingRow* const row = find_setting(entry.key);
    if (row == nullptr) continue;
    const auto [found, is_new] = given.emplace(row, &entry);
    if (is_new) continue;
    return invalid_argument(
        fmt::format("line {}: '{}' is the same setting as '{}' in line {}", entry.line, entry.key,
                    found->second->key, found->second->line),
        "leave one of them out");
  }
  return {};
}

Error no_map_of_models(const YamlEntry& entry) {
  return invalid_argument(fmt::format("line {}: 'models' has a value instead of names", entry.line),
                          "write a name a line below it, each with its file: '  chat: FILE.gguf'");
}

Error unknown_key(std::string_view key, const SettingOrigin& origin) {
  constexpr std::size_t kShownMax = 64;
  const std::string shown = escape_control(key.substr(0, kShownMax));
  const std::string place = origin.detail.empty() ? "" : " (" + origin.detail + ")";
  // The name of a group may be what is misspelt.
  const std::string group = shown.substr(0, shown.find('.'));
  for (const char* const known : {"models", "serve"}) {
    if (group == shown || group == known || distance(group, known) > 2) continue;
    return not_found(fmt::format("unknown setting '{}'{}", shown, place),
                     fmt::format("did you mean '{}'?", known));
  }
  const auto nearest = std::min_element(
      std::begin(kRows), std::end(kRows), [&](const SettingRow& left, const SettingRow& right) {
        return distance(shown, left.key) < distance(shown, right.key);
      });
  const std::string hint = distance(shown, nearest->key) <= 3
                               ? fmt::format("did you mean '{}'?", nearest->key)
                               : "--print-config lists all settings";
  return not_found(fmt::format("unknown setting '{}'{}", shown, place), hint);
}

}  // namespace

std::string_view SettingRow::command() const {
  return std::string_view(key).starts_with(kServePrefix) ? "serve" : "";
}

std::string SettingRow::flag() const {
  std::string name = "--" + std::string(without_command(key));
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string SettingRow::environment() const {
  std::string name(kPrefix);
  for (const char c : without_command(key)) {
    const bool is_lower = c >= 'a' && c <= 'z';
    name += is_lower ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

std::string SettingRow::bounds() const {
  switch (type) {
    case SettingType::kNumber:
      return fmt::format("{} to {}", smallest, largest);
    case SettingType::kBytes:
      return fmt::format("{} to {} bytes, or with a unit: 2GB, 512MiB", smallest, largest);
    case SettingType::kSeconds:
      return fmt::format("{} to {} seconds, or with a unit: 90s, 10m, 2h", smallest, largest);
    case SettingType::kText:
      return fmt::format("1 to {} characters", largest);
    case SettingType::kFlag:
      return "true or false";
    case SettingType::kChoice:
      break;
  }
  const std::vector<std::string> all = choices_of(*this);
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0) text += i + 1 == all.size() ? " or " : ", ";
    text += all[i];
  }
  return text;
}

std::span<const SettingRow> setting_rows() noexcept { return kRows; }

const SettingRow* find_setting(std::string_view key) noexcept {
  const auto is_same = [](char a, char b) { return a == b || (a == '.' && b == '_'); };
  for (const SettingRow& row : kRows) {
    const std::string_view mine = row.key;
    if (std::equal(key.begin(), key.end(), mine.begin(), mine.end(), is_same)) return &row;
  }
  return nullptr;
}

std::string SettingOrigin::text(const SettingRow& row) const {
  switch (rank) {
    case Rank::kDefault:
      return "default";
    case Rank::kFile:
      return "file " + detail;
    case Rank::kEnvironment:
      return "environment " + (detail.empty() ? row.environment() : detail);
    case Rank::kFlag:
      break;
  }
  return "flag " + (detail.empty() ? row.flag() : detail);
}

Settings::Settings() : origins_(std::size(kRows)) {
  for (const SettingRow& row : kRows) texts_.emplace_back(row.default_text);
}

Result<void> Settings::set(std::string_view key, std::string_view text,
                           const SettingOrigin& origin) {
  constexpr std::size_t kShownMax = 64;
  const SettingRow* const row = find_setting(key);
  if (row == nullptr) return unknown_key(key, origin);
  SettingValues changed = values_;
  if (!parse_value(*row, text, changed)) {
    return invalid_argument(
        fmt::format("setting '{}' cannot be '{}' ({})", row->key,
                    escape_control(text.substr(0, kShownMax)), origin.text(*row)),
        "it takes " + row->bounds());
  }
  const auto index = static_cast<std::size_t>(row - kRows);
  if (origin.rank < origins_[index].rank) return {};
  values_ = std::move(changed);
  texts_[index] = text;
  origins_[index] = origin;
  return {};
}

Result<void> Settings::load_file(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path, kYamlBytesMax));
  auto entries = read_yaml(text);
  if (!entries) return std::move(entries.error()).with_context(escape_control(path));
  Settings changed = *this;
  Result<void> once = check_given_once(*entries);
  if (!once) return std::move(once.error()).with_context(escape_control(path));
  auto models = read_model_entries(*entries);
  if (!models) return std::move(models.error()).with_context(escape_control(path));
  if (!models->empty()) changed.models_ = std::move(*models);
  for (const YamlEntry& entry : *entries) {
    if (entry.key.starts_with(kModelsKey)) continue;
    if (entry.key + "." == kModelsKey)
      return no_map_of_models(entry).with_context(escape_control(path));
    const SettingOrigin origin{SettingOrigin::Rank::kFile,
                               fmt::format("{}, line {}", escape_control(path), entry.line)};
    PARING_TRY_VOID(changed.set(entry.key, entry.value, origin));
  }
  *this = std::move(changed);
  return {};
}

Result<void> Settings::load_environment(const char* const* variables) {
  Settings changed = *this;
  for (; *variables != nullptr; ++variables) {
    const std::string_view variable = *variables;
    const std::size_t equals = variable.find('=');
    if (!variable.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string_view name = variable.substr(0, equals);
    const auto row = std::find_if(std::begin(kRows), std::end(kRows), [&](const SettingRow& each) {
      return each.environment() == name;
    });
    if (row != std::end(kRows)) {
      PARING_TRY_VOID(changed.set(row->key, variable.substr(equals + 1),
                                  {SettingOrigin::Rank::kEnvironment, std::string(name)}));
    } else if (std::find(kOtherVariables.begin(), kOtherVariables.end(), name) ==
               kOtherVariables.end()) {
      log_warning(fmt::format("the environment variable {} is no setting and is ignored", name));
    }
  }
  *this = std::move(changed);
  return {};
}

std::vector<Settings::Entry> Settings::entries() const {
  std::vector<Entry> all;
  for (std::size_t i = 0; i < std::size(kRows); ++i) {
    all.push_back({&kRows[i], texts_[i], origins_[i].text(kRows[i])});
  }
  return all;
}

std::string Settings::print() const {
  std::string text;
  for (const Entry& entry : entries()) {
    const bool is_text = entry.row->type == SettingType::kText;
    const std::string value = is_text ? quote_yaml(entry.value) : entry.value;
    text += fmt::format("{}: {}  # {}\n", entry.row->key, value, entry.origin);
  }
  return text + print_model_entries(models_);
}

std::string settings_reference() {
  std::string page =
      "| key | flag | environment | default | values | a change takes effect | meaning |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const SettingRow& row : kRows) {
    page += fmt::format("| `{}` | `{}` | `{}` | `{}` | {} | {} | {} |\n", row.key, row.flag(),
                        row.environment(), row.default_text, row.bounds(),
                        row.takes_effect == TakesEffect::kAtOnce ? "at once" : "at the next start",
                        row.help);
  }
  return page;
}

}  // namespace paring::config
