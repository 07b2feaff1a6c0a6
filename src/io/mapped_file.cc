// SPDX-License-Identifier: Apache-2.0
#include "io/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "io/system_error.h"

namespace paring::io {

namespace {

// Closes a descriptor at the end of a scope; a mapping outlives it.
struct Descriptor {
  int number;
  explicit Descriptor(int fd) : number(fd) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

std::int64_t modified_ns(const struct stat& status) {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  if (path.empty()) return invalid_argument("the path is empty", "name a file");
  if (path.find('\0') != std::string::npos) {
    return invalid_argument("the path holds a zero byte", "check the path");
  }
  // O_NONBLOCK: opening a pipe must not wait for its writer; it has no meaning for regular files.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.number < 0) return system_error(errno, "open", path);
  struct stat status{};
  if (::fstat(file.number, &status) != 0) return system_error(errno, "read", path);
  if (S_ISDIR(status.st_mode)) {
    return invalid_argument(fmt::format("'{}' is a folder, not a file", path),
                            "name a file inside it");
  }
  if (!S_ISREG(status.st_mode)) {
    return invalid_argument(fmt::format("'{}' is not a regular file", path),
                            "pipes and devices cannot be mapped; copy the data to a file first");
  }
  MappedFile mapped;
  mapped.path_ = path;
  mapped.device_ = status.st_dev;
  mapped.node_ = status.st_ino;
  mapped.modified_ns_ = modified_ns(status);
  mapped.size_ = static_cast<std::size_t>(status.st_size);
  if (mapped.size_ == 0) return mapped;
  void* address = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (address == MAP_FAILED) {
    mapped.size_ = 0;
    return system_error(errno, "map", path);
  }
  mapped.data_ = static_cast<const std::byte*>(address);
  return mapped;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)),
      device_(other.device_),
      node_(other.node_),
      modified_ns_(other.modified_ns_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  std::swap(device_, other.device_);
  std::swap(node_, other.node_);
  std::swap(modified_ns_, other.modified_ns_);
  return *this;
}

Result<void> MappedFile::check_unchanged() const {
  struct stat status{};
  if (path_.empty() || ::stat(path_.c_str(), &status) != 0) return {};
  const bool is_same = status.st_dev == device_ && status.st_ino == node_;
  const bool has_changed =
      status.st_size != static_cast<off_t>(size_) || modified_ns(status) != modified_ns_;
  if (!is_same || !has_changed) return {};
  return io_error(fmt::format("'{}' was changed while it was being read", path_),
                  "do not write to a model while it is in use; run the command again");
}

void MappedFile::release(std::size_t offset, std::size_t length) const noexcept {
  PARING_DCHECK(offset <= size_ && length <= size_ - offset, "released range lies in the file");
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (offset + page - 1) / page * page;
  // The last page of the file belongs to its last bytes alone.
  const std::size_t end = offset + length == size_ ? size_ : (offset + length) / page * page;
  if (begin >= end) return;
  // A hint: failing costs memory, not correctness.
  ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace paring::io
