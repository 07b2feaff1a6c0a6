// SPDX-License-Identifier: Apache-2.0
// AlignedBuffer: owned, 64-byte aligned, fixed-size memory for weights, caches and activations.
// Large buffers come from mmap with MADV_HUGEPAGE; pages are zero and untouched until first use.
// Movable, not copyable. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/result.h"

namespace paring {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  // Zeroed memory of `bytes` (0 gives an empty buffer). Exhausted if the system refuses.
  static Result<AlignedBuffer> create(std::size_t bytes);

  // Keeps all of it in physical memory until it is freed, touched or not. Exhausted, with the limit
  // that hinders it (RLIMIT_MEMLOCK); then nothing has changed.
  Result<void> lock() const;

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

  template <typename T>
  T* as() noexcept {
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const noexcept {
    return reinterpret_cast<const T*>(data_);
  }
  template <typename T>
  std::span<T> span() noexcept {
    return {as<T>(), bytes_ / sizeof(T)};
  }

 private:
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace paring
