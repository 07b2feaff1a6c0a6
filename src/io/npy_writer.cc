// SPDX-License-Identifier: Apache-2.0
#include "io/npy_writer.h"

#include <fmt/format.h>

#include <bit>
#include <string_view>

#include "base/check.h"

namespace paring::io {

namespace {
constexpr std::size_t kAlignment = 64;  // of the values, as the format asks
constexpr std::size_t kPreludeBytes = 10;
static_assert(std::endian::native == std::endian::little, "values are written as they lie");
}  // namespace

Result<void> write_npy(std::span<const float> values, std::size_t rows, const std::string& path,
                       Overwrite overwrite) {
  PARING_CHECK(rows > 0 && values.size() % rows == 0, "whole rows");
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows,
                  values.size() / rows);
  const std::size_t used = kPreludeBytes + header.size() + 1;
  header.append((kAlignment - used % kAlignment) % kAlignment, ' ');
  header += '\n';
  std::string prelude("\x93NUMPY\x01\x00", 8);
  prelude += static_cast<char>(header.size() & 0xff);
  prelude += static_cast<char>(header.size() >> 8);
  PARING_TRY(AtomicFile file, AtomicFile::create(path, overwrite));
  PARING_TRY_VOID(file.write(prelude + header));
  PARING_TRY_VOID(file.write(
      std::string_view(reinterpret_cast<const char*>(values.data()), values.size_bytes())));
  return file.commit();
}

}  // namespace paring::io
