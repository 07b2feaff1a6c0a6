// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"

#include "embed_commit.h"  // written at build time, see src/base/CMakeLists.txt

// PARING_VERSION_TEXT is set for this file alone, there, too.
namespace paring {

const char* version() noexcept { return PARING_VERSION_TEXT; }
const char* version_commit() noexcept { return PARING_COMMIT_TEXT; }

}  // namespace paring
