// SPDX-License-Identifier: Apache-2.0
// ServeReload: takes over a changed configuration while a server runs. What can change does so at
// once; the log says what did, and what needs a restart. Confined to one thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/served_models.h"
#include "config/settings.h"
#include "serve/server.h"

namespace paring::cli {

class ServeReload {
 public:
  // The settings as they are found now: flags, environment, file.
  using Read = std::function<Result<config::Settings>()>;
  // `settings` and `models`: what the server runs with. All must outlive this.
  ServeReload(serve::Server& server, const config::Settings& settings,
              std::vector<config::ModelEntry> models, ServedWords words, Read read);

  // Everything or nothing: an error names file, setting and value, and leaves the server as it was.
  // Only a TLS certificate that cannot be read does not hold up the rest; the old one stays.
  Result<void> reload();

 private:
  // What is to be done to the models.
  struct ModelChanges {
    std::vector<serve::ModelSource> added;
    std::vector<serve::ModelSource> changed;
    std::vector<std::string> removed;
    std::vector<std::string> loaded;  // of those added, at once
  };
  Result<ModelChanges> compare(const std::vector<config::ModelEntry>& models,
                               const serve::ServedModelOptions& defaults) const;
  void take_over(const ModelChanges& changes, std::vector<config::ModelEntry> models);
  void tell_settings(const config::Settings& settings);

  serve::Server& server_;
  std::map<std::string, std::string> running_;  // key to value, of the settings that hold
  std::vector<config::ModelEntry> models_;
  serve::ServedModelOptions defaults_;
  bool has_tls_;
  ServedWords words_;
  Read read_;
};

}  // namespace paring::cli
