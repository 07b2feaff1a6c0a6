// SPDX-License-Identifier: Apache-2.0
// Writes a matrix as NumPy's .npy file (format version 1.0). Stateless.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "io/atomic_file.h"

namespace paring::io {

// `values` [rows, cols], row-major, as little-endian f32. Errors as AtomicFile. REQUIRES:
// values.size() is a multiple of rows; rows > 0.
Result<void> write_npy(std::span<const float> values, std::size_t rows, const std::string& path,
                       Overwrite overwrite);

}  // namespace paring::io
