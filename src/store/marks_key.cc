// SPDX-License-Identifier: Apache-2.0
#include "store/marks_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "store/detail/database_file.h"

namespace paring::store {

namespace {

constexpr std::size_t kKeyBytes = 16;
using KeyBytes = std::array<unsigned char, kKeyBytes>;

SipKey key_of(const KeyBytes& bytes) {
  SipKey key;
  std::memcpy(&key.low, bytes.data(), sizeof(key.low));
  std::memcpy(&key.high, bytes.data() + sizeof(key.low), sizeof(key.high));
  return key;
}

// A file of its own, then its name: who looks in between sees all of it or nothing.
Result<void> make(const std::string& path) {
  constexpr mode_t kMode = 0600;
  KeyBytes bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return detail::file_error("get random bytes for", path, errno);
  }
  const std::string own = fmt::format("{}.{}", path, ::gettid());
  const int file = ::open(own.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode);
  if (file < 0) return detail::file_error("make", own, errno);
  const ssize_t written = ::write(file, bytes.data(), bytes.size());
  const int write_error = written < 0 ? errno : ENOSPC;
  const bool is_whole = written == static_cast<ssize_t>(bytes.size()) && ::fsync(file) == 0;
  ::close(file);
  int link_error = 0;
  if (is_whole && ::link(own.c_str(), path.c_str()) != 0 && errno != EEXIST) link_error = errno;
  ::unlink(own.c_str());
  if (!is_whole) return detail::file_error("write", own, write_error);
  if (link_error != 0) return detail::file_error("make", path, link_error);
  return {};
}

}  // namespace

Result<SipKey> marks_key(const std::string& data) {
  const std::string folder = data + "/traffic";
  const std::string path = folder + "/marks.key";
  PARING_TRY_VOID(detail::make_private_folder(data));
  PARING_TRY_VOID(detail::make_private_folder(folder));
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) {
    PARING_TRY_VOID(make(path));
    file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (file < 0) return detail::file_error("open", path, errno);
  std::array<unsigned char, kKeyBytes + 1> bytes{};
  const ssize_t size = ::read(file, bytes.data(), bytes.size());
  ::close(file);
  if (size != static_cast<ssize_t>(kKeyBytes)) {
    return corrupt(
        fmt::format("'{}' does not hold {} bytes", path, kKeyBytes),
        "remove the file: a new key is made, and repeats are not found across that time");
  }
  KeyBytes key{};
  std::memcpy(key.data(), bytes.data(), kKeyBytes);
  return key_of(key);
}

}  // namespace paring::store
