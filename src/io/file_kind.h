// SPDX-License-Identifier: Apache-2.0
// Names what a file is by its first bytes, so that an error can say "this is a zip archive" instead
// of "bad magic". Stateless.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace paring::io {

struct FileKind {
  std::string name;  // "a zip archive"; "not a format known here" at worst
  std::string hint;  // what to do to get a model from it
};

FileKind recognise_file(std::span<const std::byte> file);

}  // namespace paring::io
