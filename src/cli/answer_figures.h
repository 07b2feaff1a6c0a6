// SPDX-License-Identifier: Apache-2.0
// What is told about an answer beside its text: speeds, and what guessing tokens was good for.
#pragma once

#include <optional>
#include <string>

#include "api/request.h"
#include "cli/output.h"

namespace paring::cli {

// Notes on standard error. nullopt: the answer was interrupted.
void print_answer_figures(const std::optional<api::Completion>& completion);
// The answer of --json.
Json answer_json(const std::string& text, const std::optional<api::Completion>& completion);

}  // namespace paring::cli
