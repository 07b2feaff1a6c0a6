// SPDX-License-Identifier: Apache-2.0
// `paring bench MODEL --against llama.cpp`: the options of it, and what runs it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/context.h"
#include "io/atomic_file.h"

namespace paring::cli {

struct VersusFlags {
  std::string against;  // empty: no comparison
  std::string cases;    // empty: the default ones
  std::size_t pairs = 7;
  double search_seconds = 60;
  double peer_timeout_seconds = 600;
  std::string markdown_path;
  io::Overwrite overwrite = io::Overwrite::kRefuse;
};

// Adds the options, which need --against and cannot stand beside `alone`, those of a plain bench.
void add_versus_options(CLI::App& app, VersusFlags& flags, const std::vector<CLI::Option*>& alone);

Result<void> run_versus(Context& context, const std::string& model, const VersusFlags& flags,
                        bool is_json);

}  // namespace paring::cli
