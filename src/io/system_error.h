// SPDX-License-Identifier: Apache-2.0
// Errors of file system calls as sentences: one place that maps errno to a code and a hint.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::io {

// `action` completes "cannot ...": system_error(ENOSPC, "write", path) is Exhausted, "cannot write
// PATH: No space left on device", with what to do about it.
Error system_error(int error_number, std::string_view action, const std::string& path);

}  // namespace paring::io
