// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace paring {

std::string errno_text(int error_number) { return std::generic_category().message(error_number); }

Result<std::string> read_small_file(const std::string& path, std::size_t bytes_max) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const int number = errno;
    const std::string text = fmt::format("cannot open '{}': {}", path, errno_text(number));
    if (number == ENOENT || number == ENOTDIR) return not_found(text);
    return io_error(text);
  }
  std::string content;
  char block[4096];
  for (;;) {
    const ssize_t count = read(file, block, sizeof(block));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int number = errno;
      close(file);
      return io_error(fmt::format("cannot read '{}': {}", path, errno_text(number)));
    }
    if (count == 0) break;
    content.append(block, static_cast<std::size_t>(count));
    if (content.size() > bytes_max) {
      close(file);
      return exhausted(fmt::format("'{}' is larger than the limit of {} bytes", path, bytes_max));
    }
  }
  close(file);
  return content;
}

}  // namespace paring
