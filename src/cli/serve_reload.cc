// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "cli/serve_settings.h"

namespace paring::cli {

namespace {

using config::ModelEntry;

const ModelEntry* find(const std::vector<ModelEntry>& models, const std::string& name) {
  const auto it = std::find_if(models.begin(), models.end(),
                               [&](const ModelEntry& model) { return model.name == name; });
  return it == models.end() ? nullptr : &*it;
}

}  // namespace

ServeReload::ServeReload(serve::Server& server, const config::Settings& settings,
                         std::vector<ModelEntry> models, ServedWords words, Read read)
    : server_(server),
      models_(std::move(models)),
      defaults_(model_options(settings.values())),
      has_tls_(settings.values().serve_tls_key != "none"),
      words_(std::move(words)),
      read_(std::move(read)) {
  for (const config::Settings::Entry& entry : settings.entries()) {
    running_[entry.row->key] = entry.value;
  }
}

Result<void> ServeReload::reload() {
  PARING_TRY(const config::Settings settings, read_());
  PARING_TRY(const LogLevel level, parse_log_level(settings.values().log_level));
  PARING_TRY(const serve::ServerOptions options, server_options(settings.values()));
  PARING_TRY(std::vector<ModelEntry> models, served_models(words_, settings.models()));
  PARING_TRY(const ModelChanges changes, compare(models, defaults_));
  PARING_TRY_VOID(server_.apply(options));
  set_log_level(level);
  tell_settings(settings);
  take_over(changes, std::move(models));
  if (has_tls_) {
    const Result<void> renewed = server_.reload_tls();
    if (renewed) {
      log_info("the TLS certificate was read again");
    } else {
      log_error("the TLS certificate stays as it was: " + renewed.error().text());
    }
  }
  return {};
}

// What can change is in force now; what cannot keeps its value until the next start.
void ServeReload::tell_settings(const config::Settings& settings) {
  std::size_t changed = 0;
  for (const config::Settings::Entry& entry : settings.entries()) {
    std::string& running = running_[entry.row->key];
    if (running == entry.value) continue;
    ++changed;
    if (entry.row->takes_effect == config::TakesEffect::kAtStart) {
      log_warning(fmt::format("{} is {} now and stays {} until the next start", entry.row->key,
                              entry.value, running));
      continue;
    }
    log_info(fmt::format("{} is {} now, it was {} ({})", entry.row->key, entry.value, running,
                         entry.origin));
    running = entry.value;
  }
  log_info(
      fmt::format("the configuration was read again, {} changed", counted(changed, "setting")));
}

// All files are found before anything is done.
Result<ServeReload::ModelChanges> ServeReload::compare(
    const std::vector<ModelEntry>& models, const serve::ServedModelOptions& defaults) const {
  ModelChanges changes;
  for (const ModelEntry& entry : models) {
    const ModelEntry* before = find(models_, entry.name);
    if (before != nullptr && *before == entry) continue;
    auto source = source_of(entry, defaults, nullptr);
    if (!source) return std::move(source.error()).with_context("model " + entry.name);
    (before == nullptr ? changes.added : changes.changed).push_back(std::move(*source));
    if (before == nullptr && entry.loads_at_start) changes.loaded.push_back(entry.name);
  }
  for (const ModelEntry& entry : models_) {
    if (find(models, entry.name) == nullptr) changes.removed.push_back(entry.name);
  }
  return changes;
}

// What one of them is too busy for is tried again with the next reload.
void ServeReload::take_over(const ModelChanges& changes, std::vector<ModelEntry> models) {
  serve::ModelRegistry& registry = server_.models();
  const auto undo = [&](const std::string& name, const std::string& why) {
    log_error(fmt::format("the model {} stays as it was: {}", name, why));
    std::erase_if(models, [&](const ModelEntry& model) { return model.name == name; });
    if (const ModelEntry* before = find(models_, name)) models.push_back(*before);
  };
  for (const std::string& name : changes.removed) {
    if (const auto error = registry.unload(name, true, [](const auto&) {})) {
      undo(name, error->message);
    } else {
      log_info(fmt::format("the model {} was taken away", name));
    }
  }
  const auto note = [&](const serve::ModelSource& source, const Result<void>& done,
                        const char* what) {
    if (!done) return undo(source.name, done.error().text());
    log_info(fmt::format("the model {} {}", source.name, what));
  };
  for (const serve::ModelSource& source : changes.changed) {
    note(source, registry.change(source), "is another one now, requests load it");
  }
  for (const serve::ModelSource& source : changes.added) {
    note(source, registry.add(source), "is known now");
  }
  for (const std::string& name : changes.loaded) {
    registry.acquire({.name = name, .is_operators = true}, [](const auto&) {});
  }
  models_ = std::move(models);
}

}  // namespace paring::cli
