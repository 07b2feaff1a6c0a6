// SPDX-License-Identifier: Apache-2.0
#include "base/aligned.h"

#include <sys/mman.h>

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

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace paring
