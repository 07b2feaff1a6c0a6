// SPDX-License-Identifier: Apache-2.0
// Where the server's state lies. Stateless.
#pragma once

#include <string>

#include "base/result.h"

namespace paring::store {

// The setting data_dir: a folder, or "auto" for XDG_DATA_HOME/paring, else
// ~/.local/share/paring. `environment` ends with null. InvalidArgument: "auto" without a home.
Result<std::string> data_folder(const std::string& setting, const char* const* environment);

}  // namespace paring::store
