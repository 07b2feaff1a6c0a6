// SPDX-License-Identifier: Apache-2.0
#include "cli/served_models.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "base/text.h"
#include "hub/model_source.h"

namespace paring::cli {

namespace {

using config::ModelEntry;

ModelEntry read_model(const std::string& text) {
  NamedSource named = named_source(text);
  if (named.name.empty()) {
    std::filesystem::path path(text);
    if (!path.has_filename()) path = path.parent_path();
    named.name = path.filename().string();
    if (named.name.ends_with(".gguf")) named.name.resize(named.name.size() - 5);
  }
  return {.name = named.name, .source = named.source, .loads_at_start = true};
}

// Takes "MODEL:" from the front of an adapter's name; the longest name of a model that fits is
// meant, as names may hold colons.
ModelEntry& base_of(std::vector<ModelEntry>& models, std::string& adapter) {
  ModelEntry* base = nullptr;
  for (ModelEntry& model : models) {
    if (!adapter.starts_with(model.name + ":")) continue;
    if (base == nullptr || base->name.size() < model.name.size()) base = &model;
  }
  if (base == nullptr) return models.front();
  adapter.erase(0, base->name.size() + 1);
  return *base;
}

Result<void> check_names(const std::vector<ModelEntry>& models) {
  std::set<std::string> names;
  const auto take = [&](const std::string& name) -> Result<void> {
    if (names.insert(name).second) return {};
    return invalid_argument(
        fmt::format("two models or adapters are named '{}'", escape_control(name)),
        "give each a name of its own: NAME=MODEL");
  };
  for (const ModelEntry& model : models) {
    PARING_TRY_VOID(take(model.name));
    for (const ModelEntry::Adapter& adapter : model.adapters) PARING_TRY_VOID(take(adapter.name));
  }
  return {};
}

}  // namespace

NamedSource named_source(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || text.find('/') < equals) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::vector<ModelEntry>> served_models(const ServedWords& words,
                                              const std::vector<ModelEntry>& entries) {
  std::vector<ModelEntry> all;
  for (const std::string& text : words.models) all.push_back(read_model(text));
  all.insert(all.end(), entries.begin(), entries.end());
  if (all.empty()) {
    return invalid_argument("there is no model to serve",
                            "name one: paring serve MODEL, or 'models:' in the --config file");
  }
  for (const std::string& text : words.adapters) {
    NamedSource adapter = named_source(text);
    if (adapter.name.empty() || adapter.source.empty()) {
      return invalid_argument(fmt::format("--lora '{}' is not NAME=ADAPTER", escape_control(text)),
                              "requests ask for the adapter by NAME; ADAPTER is a file, a folder "
                              "of PEFT, or hf:OWNER/NAME");
    }
    ModelEntry& base = base_of(all, adapter.name);
    base.adapters.push_back({.name = adapter.name, .source = adapter.source});
  }
  PARING_TRY_VOID(check_names(all));
  return all;
}

Result<serve::ModelSource> source_of(const ModelEntry& entry,
                                     const serve::ServedModelOptions& defaults,
                                     ProgressSink* progress) {
  serve::ModelSource source;
  source.name = entry.name;
  source.options = defaults;
  PARING_TRY(source.path, progress != nullptr ? hub::resolve_model(entry.source, *progress)
                                              : hub::find_model(entry.source));
  for (const ModelEntry::Adapter& adapter : entry.adapters) {
    PARING_TRY(const std::string path, progress != nullptr
                                           ? hub::resolve_adapter(adapter.source, *progress)
                                           : hub::find_adapter(adapter.source));
    source.options.adapters.push_back(
        {.name = adapter.name, .path = path, .scale = static_cast<float>(adapter.scale)});
  }
  if (entry.context_tokens) source.options.context_tokens = *entry.context_tokens;
  if (entry.cache_tokens) source.options.cache_tokens = *entry.cache_tokens;
  if (entry.idle_unload_seconds) {
    source.idle_seconds = static_cast<double>(*entry.idle_unload_seconds);
  }
  return source;
}

}  // namespace paring::cli
