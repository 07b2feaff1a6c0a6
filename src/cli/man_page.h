// SPDX-License-Identifier: Apache-2.0
// The manual page paring(1), made from the option tables (option_table.h). Stateless.
#pragma once

#include <string>

namespace paring::cli {

// In the macros of man(7).
std::string man_page();

}  // namespace paring::cli
