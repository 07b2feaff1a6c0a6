// SPDX-License-Identifier: Apache-2.0
// A queue of a fixed number of slots for many producers and one consumer, without locks (Dmitry
// Vyukov's bounded queue): each slot has a number that says whose turn it is. push() and pop()
// never wait: they say no when it is full or empty. What one thread pushes comes out in its order.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"

namespace paring::monitor::detail {

template <typename T>
class BoundedQueue {
 public:
  // REQUIRES: `slots` is a power of two, at least 2.
  explicit BoundedQueue(std::size_t slots)
      : mask_(slots - 1), slots_(std::make_unique<Slot[]>(slots)) {
    PARING_CHECK(slots >= 2 && std::has_single_bit(slots), "slots are a power of two");
    for (std::size_t i = 0; i < slots; ++i) slots_[i].turn.store(i, std::memory_order_relaxed);
  }

  // False when it is full; then `value` is as it was. From any thread.
  bool push(T& value) {
    std::size_t place = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Slot& slot = slots_[place & mask_];
      const std::size_t turn = slot.turn.load(std::memory_order_acquire);
      if (turn == place) {
        if (tail_.compare_exchange_weak(place, place + 1, std::memory_order_relaxed)) {
          slot.value.emplace(std::move(value));
          slot.turn.store(place + 1, std::memory_order_release);
          return true;
        }
      } else if (turn < place) {
        return false;  // what was pushed a round ago is still there
      } else {
        place = tail_.load(std::memory_order_relaxed);
      }
    }
  }

  // From one thread at a time.
  std::optional<T> pop() {
    Slot& slot = slots_[head_ & mask_];
    if (slot.turn.load(std::memory_order_acquire) != head_ + 1) return std::nullopt;
    std::optional<T> value = std::move(slot.value);
    slot.value.reset();
    slot.turn.store(head_ + mask_ + 1, std::memory_order_release);
    ++head_;
    return value;
  }

  std::size_t slots() const noexcept { return mask_ + 1; }

 private:
  struct Slot {
    std::atomic<std::size_t> turn{0};
    std::optional<T> value;
  };
  const std::size_t mask_;
  const std::unique_ptr<Slot[]> slots_;
  alignas(64) std::atomic<std::size_t> tail_{
      0};  // apart: producers write it, the consumer does not
  alignas(64) std::size_t head_ = 0;
};

}  // namespace paring::monitor::detail
