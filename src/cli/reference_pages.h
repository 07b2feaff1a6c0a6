// SPDX-License-Identifier: Apache-2.0
// Reference pages about what the engine knows, made from its own tables. Markdown. Stateless, and
// the same on every machine.
#pragma once

#include <string>

namespace paring::cli {

std::string formats_page();
std::string architectures_page();
std::string kernels_page();

}  // namespace paring::cli
