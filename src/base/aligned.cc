// SPDX-License-Identifier: Apache-2.0
#include "base/aligned.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include <fmt/core.h>

namespace paring {

namespace {
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
}

Result<AlignedBuffer> AlignedBuffer::create(std::size_t bytes) {
  AlignedBuffer buffer;
  if (bytes == 0) return buffer;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return exhausted(fmt::format("the system refused {} bytes of memory", bytes),
                     "free memory or use a smaller model or context");
  }
  if (bytes >= kHugePageBytes) madvise(memory, bytes, MADV_HUGEPAGE);  // advice: failure is fine
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.bytes_ = bytes;
  return buffer;
}

Result<void> AlignedBuffer::lock() const {
  if (data_ == nullptr || mlock(data_, bytes_) == 0) return {};
  const int reason = errno;
  rlimit limit{};
  const bool is_limited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return exhausted(
      fmt::format("the system refused to lock {} bytes in memory ({}); the limit of this process "
                  "is {}",
                  bytes_, std::strerror(reason),
                  is_limited ? fmt::format("{} bytes", limit.rlim_cur) : "none"),
      "raise it with 'ulimit -l' (LimitMEMLOCK= of a systemd unit, --ulimit memlock= of a "
      "container), free memory, or leave --mlock out");
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace paring
