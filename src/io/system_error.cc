// SPDX-License-Identifier: Apache-2.0
#include "io/system_error.h"

#include <fmt/format.h>

#include <cerrno>

#include "base/file.h"

namespace paring::io {

namespace {

struct ErrnoRow {
  int number;
  ErrorCode code;
  const char* hint;
};

constexpr ErrnoRow kRows[] = {
    {ENOENT, ErrorCode::kNotFound, "check the path"},
    {ENOTDIR, ErrorCode::kNotFound, "a part of the path is a file, not a folder"},
    {EISDIR, ErrorCode::kInvalidArgument, "name a file, not a folder"},
    {ENAMETOOLONG, ErrorCode::kInvalidArgument, "use a shorter path"},
    {ELOOP, ErrorCode::kInvalidArgument, "the symbolic links of the path form a circle"},
    {EACCES, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {EPERM, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {EROFS, ErrorCode::kIo, "the file system is read-only; choose another folder"},
    {ENOSPC, ErrorCode::kExhausted, "the disk is full; free space or choose another folder"},
    {EDQUOT, ErrorCode::kExhausted,
     "your disk quota is used up; free space or choose another folder"},
    {EFBIG, ErrorCode::kExhausted,
     "larger than the limit of the process (ulimit -f) or the file system allows"},
    {ENOMEM, ErrorCode::kExhausted, "not enough memory or address space (ulimit -v)"},
    {EMFILE, ErrorCode::kExhausted, "too many open files; raise ulimit -n"},
    {ENFILE, ErrorCode::kExhausted, "the system has too many open files"},
};

}  // namespace

Error system_error(int error_number, std::string_view action, const std::string& path) {
  std::string message = fmt::format("cannot {} '{}': {}", action, path, errno_text(error_number));
  for (const ErrnoRow& row : kRows) {
    if (row.number == error_number) return {row.code, std::move(message), row.hint};
  }
  return io_error(std::move(message));
}

}  // namespace paring::io
