// SPDX-License-Identifier: Apache-2.0
// The options that say who guesses tokens, and the draft model that they name.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"
#include "cli/context.h"
#include "engine/generator.h"

namespace paring::cli {

struct SpeculationOptions {
  std::string how = "auto";
  std::string draft_model;
  std::size_t draft_tokens = 8;
};

void add_speculation_options(CLI::App& app, SpeculationOptions& options);
// InvalidArgument for options that contradict each other.
Result<void> check_speculation_options(const SpeculationOptions& options);

// Puts the choice into `generator`, whose numerics and sizes are set. Returns the draft model, null
// where none is used: it must outlive what is made of `generator`.
Result<std::unique_ptr<engine::LoadedModel>> set_speculation(Context& context,
                                                             const SpeculationOptions& options,
                                                             engine::GeneratorOptions& generator);

}  // namespace paring::cli
