// SPDX-License-Identifier: Apache-2.0
#include "config/model_entries.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"

namespace paring::config {

namespace {

constexpr std::size_t kShownMax = 64;
constexpr std::size_t kSourceBytesMax = 4096;
constexpr std::string_view kLora = ".lora.";

Error wrong(const YamlEntry& entry, const std::string& takes) {
  return invalid_argument(fmt::format("line {}: '{}' cannot be '{}'", entry.line,
                                      escape_control(entry.key.substr(0, kShownMax)),
                                      escape_control(entry.value.substr(0, kShownMax))),
                          "it takes " + takes);
}

Result<std::string> read_source(const YamlEntry& entry) {
  const bool is_plain = escape_control(entry.value) == entry.value;
  if (!entry.value.empty() && entry.value.size() <= kSourceBytesMax && is_plain) return entry.value;
  return wrong(entry, "a file, a folder, or hf:OWNER/NAME");
}

Result<std::uint64_t> read_number(const YamlEntry& entry, std::uint64_t least, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* const end = entry.value.data() + entry.value.size();
  const auto [stop, error] = std::from_chars(entry.value.data(), end, value);
  if (error == std::errc() && stop == end && value >= least && value <= most) return value;
  return wrong(entry, fmt::format("{} to {}", least, most));
}

// As settings of seconds are written (settings.cc).
Result<std::uint64_t> read_seconds(const YamlEntry& entry, std::uint64_t most) {
  const Result<double> seconds = parse_duration(entry.value);
  if (seconds && *seconds == std::floor(*seconds) && *seconds <= static_cast<double>(most)) {
    return static_cast<std::uint64_t>(*seconds);
  }
  return wrong(entry, fmt::format("0 to {} seconds, or with a unit: 90s, 10m, 2h", most));
}

Result<double> read_scale(const YamlEntry& entry) {
  double value = 0;
  const char* const end = entry.value.data() + entry.value.size();
  const auto [stop, error] = std::from_chars(entry.value.data(), end, value);
  if (error == std::errc() && stop == end && std::isfinite(value)) return value;
  return wrong(entry, "a number");
}

// Names may hold dots: what a key means is told by its end.
bool cut_end(std::string_view& key, std::string_view end) {
  if (!key.ends_with(end) || key.size() == end.size()) return false;
  key.remove_suffix(end.size());
  return true;
}

template <typename List>
auto& named(List& list, std::string_view name) {
  const auto it =
      std::find_if(list.begin(), list.end(), [&](const auto& each) { return each.name == name; });
  if (it != list.end()) return *it;
  list.emplace_back();
  list.back().name = name;
  return list.back();
}

Result<void> read_adapter(const YamlEntry& entry, std::string_view name, ModelEntry& model) {
  const bool is_scale = cut_end(name, ".scale");
  if (!is_scale) cut_end(name, ".source");
  ModelEntry::Adapter& adapter = named(model.adapters, name);
  if (model.adapters.size() > kModelAdaptersMax) {
    return invalid_argument(
        fmt::format("line {}: more than {} adapters", entry.line, kModelAdaptersMax));
  }
  if (is_scale) {
    PARING_TRY(adapter.scale, read_scale(entry));
  } else {
    PARING_TRY(adapter.source, read_source(entry));
  }
  return {};
}

Result<void> read_entry(const YamlEntry& entry, std::vector<ModelEntry>& models) {
  std::string_view key = entry.key;
  key.remove_prefix(kModelsKey.size());
  constexpr std::size_t kNameDepth = 2;
  if (entry.depth == kNameDepth) {  // chat: FILE.gguf
    PARING_TRY(named(models, key).source, read_source(entry));
    return {};
  }
  if (const std::size_t lora = key.find(kLora); lora != std::string_view::npos && lora > 0) {
    return read_adapter(entry, key.substr(lora + kLora.size()), named(models, key.substr(0, lora)));
  }
  if (cut_end(key, ".source")) {
    PARING_TRY(named(models, key).source, read_source(entry));
  } else if (cut_end(key, ".load")) {
    if (entry.value != "at_start" && entry.value != "on_request") {
      return wrong(entry, "at_start or on_request");
    }
    named(models, key).loads_at_start = entry.value == "at_start";
  } else if (cut_end(key, ".context_tokens")) {
    PARING_TRY(named(models, key).context_tokens, read_number(entry, 16, 1048576));
  } else if (cut_end(key, ".cache_tokens")) {
    PARING_TRY(named(models, key).cache_tokens, read_number(entry, 0, 16777216));
  } else if (cut_end(key, ".idle_unload_seconds")) {
    PARING_TRY(named(models, key).idle_unload_seconds, read_seconds(entry, 31536000));
  } else {
    return not_found(
        fmt::format("line {}: unknown setting '{}' of a model", entry.line,
                    escape_control(entry.key.substr(0, kShownMax))),
        "a model has source, load, context_tokens, cache_tokens, idle_unload_seconds and lora");
  }
  return {};
}

}  // namespace

Result<std::vector<ModelEntry>> read_model_entries(std::span<const YamlEntry> entries) {
  std::vector<ModelEntry> models;
  for (const YamlEntry& entry : entries) {
    if (!entry.key.starts_with(kModelsKey)) continue;
    PARING_TRY_VOID(read_entry(entry, models));
    if (models.size() > kModelEntriesMax) {
      return invalid_argument(
          fmt::format("line {}: more than {} models", entry.line, kModelEntriesMax));
    }
  }
  for (const ModelEntry& model : models) {
    const auto nowhere = std::find_if(model.adapters.begin(), model.adapters.end(),
                                      [](const auto& adapter) { return adapter.source.empty(); });
    if (!model.source.empty() && nowhere == model.adapters.end()) continue;
    return invalid_argument(
        fmt::format("models.{}{} has no source", escape_control(model.name),
                    model.source.empty() ? "" : ".lora." + escape_control(nowhere->name)),
        "write 'source: FILE' below its name");
  }
  return models;
}

std::string print_model_entries(std::span<const ModelEntry> models) {
  std::string text;
  for (const ModelEntry& model : models) {
    text += text.empty() ? "models:\n" : "";
    text += fmt::format("  {}:\n    source: {}\n    load: {}\n", quote_yaml(model.name),
                        quote_yaml(model.source), model.loads_at_start ? "at_start" : "on_request");
    const auto add = [&](const char* name, const std::optional<std::uint64_t>& value) {
      if (value) text += fmt::format("    {}: {}\n", name, *value);
    };
    add("context_tokens", model.context_tokens);
    add("cache_tokens", model.cache_tokens);
    add("idle_unload_seconds", model.idle_unload_seconds);
    if (!model.adapters.empty()) text += "    lora:\n";
    for (const ModelEntry::Adapter& adapter : model.adapters) {
      text += fmt::format("      {}: {{source: {}, scale: {}}}\n", quote_yaml(adapter.name),
                          quote_yaml(adapter.source), adapter.scale);
    }
  }
  return text;
}

}  // namespace paring::config
