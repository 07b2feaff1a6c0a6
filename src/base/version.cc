// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"

// Both are set for this file alone by src/base/CMakeLists.txt.
namespace paring {

const char* version() noexcept { return PARING_VERSION_TEXT; }
const char* version_commit() noexcept { return PARING_COMMIT_TEXT; }

}  // namespace paring
