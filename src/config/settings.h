// SPDX-License-Identifier: Apache-2.0
// The settings of a process: flag > environment PARING_* > configuration file (YAML) > default.
// Every value remembers where it came from. To add a setting, add a row to settings.def.
// Thread-compatible.
//
//   Settings settings;
//   PARING_TRY_VOID(settings.load_file("paring.yaml"));
//   PARING_TRY_VOID(settings.load_environment(environ));
//   PARING_TRY_VOID(settings.set("threads", "2", SettingOrigin::flag()));
//   use(settings.values().threads);
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/model_entries.h"

namespace paring::config {

// kBytes and kSeconds are numbers that may be written with a unit: "2GB", "10m".
enum class SettingType { kNumber, kBytes, kSeconds, kChoice, kText, kFlag };
enum class TakesEffect { kAtOnce, kAtStart };

// A row of the list, for help, reference pages and command lines.
struct SettingRow {
  const char* key;
  SettingType type;
  const char* default_text;
  std::uint64_t smallest;  // of a number
  std::uint64_t largest;   // of a number; bytes of a text
  const char* choices;     // "first|second" of a choice, "" else
  TakesEffect takes_effect;
  const char* help;

  // The subcommand whose setting it is: "serve"; "" for all.
  std::string_view command() const;
  std::string flag() const;         // "--kv-type", "--port"
  std::string environment() const;  // "PARING_KV_TYPE", "PARING_PORT"
  std::string bounds() const;       // "0 to 256", "q8, f16 or f32"
};

std::span<const SettingRow> setting_rows() noexcept;
// Null when there is none.
const SettingRow* find_setting(std::string_view key) noexcept;

// Every setting by name, checked.
struct SettingValues {
#define PARING_SETTING_NUMBER(key, value, smallest, largest, restart, help) \
  std::uint64_t key = value;
#define PARING_SETTING_BYTES PARING_SETTING_NUMBER
#define PARING_SETTING_SECONDS PARING_SETTING_NUMBER
#define PARING_SETTING_CHOICE(key, value, choices, restart, help) std::string key = value;
#define PARING_SETTING_TEXT(key, value, longest, restart, help) std::string key = value;
#define PARING_SETTING_FLAG(key, value, restart, help) bool key = value;
#include "config/settings.def"
#undef PARING_SETTING_NUMBER
#undef PARING_SETTING_BYTES
#undef PARING_SETTING_SECONDS
#undef PARING_SETTING_CHOICE
#undef PARING_SETTING_TEXT
#undef PARING_SETTING_FLAG
};

// Where a value came from; a higher rank wins.
struct SettingOrigin {
  enum class Rank { kDefault, kFile, kEnvironment, kFlag };
  Rank rank = Rank::kDefault;
  std::string detail;  // "paring.yaml, line 3", "PARING_THREADS", "--threads"

  static SettingOrigin flag() { return {Rank::kFlag, ""}; }
  // "default", "flag --threads", "environment PARING_THREADS", "file paring.yaml, line 3".
  std::string text(const SettingRow& row) const;
};

class Settings {
 public:
  Settings();

  const SettingValues& values() const noexcept { return values_; }
  // Of configuration files; later ones replace those of earlier files.
  const std::vector<ModelEntry>& models() const noexcept { return models_; }

  // `key` may have a dot for its first underscore: serve.port. Checks and stores one value, unless
  // one of higher rank is there already (then it is checked all the same). NotFound for an unknown
  // key, with the nearest known one; InvalidArgument for a wrong value, naming key, value, bounds
  // and origin. On error nothing changes.
  Result<void> set(std::string_view key, std::string_view text, const SettingOrigin& origin);
  // All keys of a YAML file; groups are written as nested maps, `models` as model_entries.h says.
  // On error nothing changes.
  Result<void> load_file(const std::string& path);
  // `variables`: null-terminated "NAME=value" strings, as `environ`. Names that begin with PARING_
  // and are no setting are logged as warnings, since they may be misspelt. On error nothing
  // changes.
  Result<void> load_environment(const char* const* variables);

  struct Entry {
    const SettingRow* row;
    std::string value;
    std::string origin;
  };
  // Every setting in the order of the list: the data of --print-config.
  std::vector<Entry> entries() const;
  // The same as YAML with the origins as comments; load_file() reads it back.
  std::string print() const;

 private:
  SettingValues values_;
  std::vector<std::string> texts_;  // of each row
  std::vector<SettingOrigin> origins_;
  std::vector<ModelEntry> models_;
};

// The table of all settings for the documentation, in Markdown.
std::string settings_reference();

}  // namespace paring::config
