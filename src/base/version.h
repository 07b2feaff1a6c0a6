// SPDX-License-Identifier: Apache-2.0
// What this build is called. Immutable, safe from any thread.
#pragma once

namespace paring {

// "0.1.0"
const char* version() noexcept;
// Abbreviated hash of the git commit that was built, with "-dirty" when files differed from it;
// "unknown" outside a clone.
const char* version_commit() noexcept;

}  // namespace paring
