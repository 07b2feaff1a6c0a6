// SPDX-License-Identifier: Apache-2.0
// Which models `paring serve` is asked to serve, by the command line and the configuration file.
// Stateless.
#pragma once

#include <string>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "config/model_entries.h"
#include "serve/model_source.h"

namespace paring::cli {

struct ServedWords {
  std::vector<std::string> models;    // MODEL or NAME=MODEL, whose name is else that of its file
  std::vector<std::string> adapters;  // NAME=ADAPTER for the first, MODEL:NAME=ADAPTER for another
};

// NAME=SOURCE, or a source alone, whose own name is empty then.
struct NamedSource {
  std::string name;
  std::string source;
};
NamedSource named_source(const std::string& text);

// Those of the command line, which are loaded at the start, and then those of the file.
// InvalidArgument for other words, for names that are given twice, and when there is no model.
Result<std::vector<config::ModelEntry>> served_models(
    const ServedWords& words, const std::vector<config::ModelEntry>& entries);

// With the paths of its files; `defaults` hold where the entry says nothing. `progress` is null
// when nothing may be fetched. Errors of hub::resolve_model() and find_model().
Result<serve::ModelSource> source_of(const config::ModelEntry& entry,
                                     const serve::ServedModelOptions& defaults,
                                     ProgressSink* progress);

}  // namespace paring::cli
