// SPDX-License-Identifier: Apache-2.0
// Completion scripts for shells, made from the option tables (option_table.h). Stateless.
#pragma once

#include <string>

namespace paring::cli {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace paring::cli
