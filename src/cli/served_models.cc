// SPDX-License-Identifier: Apache-2.0
#include "cli/served_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/text.h"

namespace paring::cli {

namespace {

// "NAME=SOURCE"; a name is empty where there is none.
NamedSource split(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || text.find('/') < equals) return {"", text};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

NamedSource read_model(const std::string& text) {
  NamedSource named = split(text);
  if (!named.name.empty()) return named;
  std::filesystem::path path(text);
  if (!path.has_filename()) path = path.parent_path();
  named.name = path.filename().string();
  if (named.name.ends_with(".gguf")) named.name.resize(named.name.size() - 5);
  return named;
}

// Takes "MODEL:" from the front of an adapter's name; the longest name of a model that fits is
// meant, as names may hold colons.
ModelWords& base_of(std::vector<ModelWords>& models, std::string& adapter) {
  ModelWords* base = nullptr;
  for (ModelWords& model : models) {
    if (!adapter.starts_with(model.model.name + ":")) continue;
    if (base == nullptr || base->model.name.size() < model.model.name.size()) base = &model;
  }
  if (base == nullptr) return models.front();
  adapter.erase(0, base->model.name.size() + 1);
  return *base;
}

}  // namespace

Result<std::vector<ModelWords>> read_model_words(const std::vector<std::string>& models,
                                                 const std::vector<std::string>& adapters) {
  std::vector<ModelWords> all;
  std::set<std::string> names;
  const auto take = [&](const std::string& name) -> Result<void> {
    if (names.insert(name).second) return {};
    return invalid_argument(
        fmt::format("two models or adapters are named '{}'", escape_control(name)),
        "give each a name of its own: NAME=MODEL");
  };
  for (const std::string& text : models) {
    all.push_back({read_model(text), {}});
    PARING_TRY_VOID(take(all.back().model.name));
  }
  for (const std::string& text : adapters) {
    NamedSource adapter = split(text);
    if (all.empty() || adapter.name.empty() || adapter.source.empty()) {
      return invalid_argument(fmt::format("--lora '{}' is not NAME=ADAPTER", escape_control(text)),
                              "requests ask for the adapter by NAME; ADAPTER is a file, a folder "
                              "of PEFT, or hf:OWNER/NAME");
    }
    ModelWords& base = base_of(all, adapter.name);
    PARING_TRY_VOID(take(adapter.name));
    base.adapters.push_back(std::move(adapter));
  }
  return all;
}

}  // namespace paring::cli
