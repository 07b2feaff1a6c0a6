// SPDX-License-Identifier: Apache-2.0
// Paged key/value storage. Layers with the same window form a class; a page holds
// kernels::kPageTokens positions of every layer and KV head of one class of one sequence. KvPool
// owns the memory, KvSequence lists the pages of one sequence and gives back those that left the
// window. Never evicts on its own. Confined to one thread at a time; workers of a step write
// disjoint parts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "base/result.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::model {

// What a pool must have room for.
struct KvCapacity {
  std::size_t tokens = 0;  // positions of all sequences together
  // The two below let layers with windows keep no more than their windows. Without a step_tokens
  // every layer keeps every position, and a sequence can be cut back to any length.
  std::size_t step_tokens = 0;    // a sequence grows by at most so many positions at a time
  std::size_t rewind_tokens = 0;  // and is cut back by at most so many, or to nothing
  std::size_t sequences = 1;      // at the same time; only counts together with step_tokens
};

class KvPool {
 public:
  // Exhausted when memory does not suffice.
  static Result<KvPool> create(const BlockSpec& spec, kernels::KvType type,
                               const KvCapacity& capacity);

  kernels::KvType type() const noexcept { return type_; }
  std::size_t bytes() const noexcept { return memory_.bytes(); }
  // What create() would allocate.
  static std::size_t bytes_for(const BlockSpec& spec, kernels::KvType type,
                               const KvCapacity& capacity);
  // Bytes that one more position takes over all layers, as long as no window is full.
  static std::size_t bytes_per_token(const BlockSpec& spec, kernels::KvType type) noexcept;
  // Mean bytes of keys and values that tokens read which stand at these positions.
  static double bytes_read(const BlockSpec& spec, kernels::KvType type,
                           const PositionRange& range) noexcept;

  // Layers that share windows.
  std::size_t class_count() const noexcept { return classes_.size(); }
  std::size_t pages_free(std::size_t kv_class = 0) const noexcept {
    return classes_[kv_class].free.size();
  }

 private:
  friend class KvSequence;
  struct Class {
    std::size_t window = 0;  // 0: all
    std::size_t layers = 0;
    std::size_t page_bytes = 0;
    std::size_t pages = 0;
    std::size_t offset = 0;  // of its first page in memory_
    std::vector<std::size_t> free;
  };
  struct LayerPlace {
    std::size_t kv_class;
    std::size_t index;  // among the layers of its class
  };
  static std::vector<Class> classes_of(const BlockSpec& spec, kernels::KvType type,
                                       const KvCapacity& capacity, std::vector<LayerPlace>* places);
  std::byte* address(std::size_t page, std::size_t layer, std::size_t kv_head) noexcept {
    const LayerPlace place = places_[layer];
    const Class& c = classes_[place.kv_class];
    return memory_.data() + c.offset + page * c.page_bytes +
           (place.index * kv_heads_ + kv_head) * head_page_bytes_;
  }

  kernels::KvType type_ = kernels::KvType::kQ8;
  KvCapacity capacity_;
  std::size_t kv_heads_ = 0;
  std::size_t head_page_bytes_ = 0;
  std::vector<Class> classes_;
  std::vector<LayerPlace> places_;  // by layer
  AlignedBuffer memory_;
};

// Positions [0, length()) of one sequence. Returns its pages to the pool when destroyed.
class KvSequence {
 public:
  explicit KvSequence(KvPool& pool) : pool_(&pool), lists_(pool.class_count()) {}
  ~KvSequence() { truncate(0); }
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  std::size_t length() const noexcept { return length_; }
  // Reserves pages for `tokens` more positions, after giving back those that no later position
  // will see. Exhausted: unchanged.
  Result<void> grow(std::size_t tokens);
  // False when windows have already let go of what the position after `tokens` would see.
  bool can_truncate(std::size_t tokens) const noexcept;
  // Keeps the first `tokens` positions. REQUIRES: can_truncate(tokens).
  void truncate(std::size_t tokens);

  KvPool& pool() noexcept { return *pool_; }
  // REQUIRES (of both): the page is held, i.e. inside the window of the layer.
  std::byte* page_of(std::size_t position, std::size_t layer, std::size_t kv_head) noexcept {
    return page(position / kernels::kPageTokens, layer, kv_head);
  }
  std::byte* page(std::size_t index, std::size_t layer, std::size_t kv_head) noexcept {
    const PageList& list = lists_[pool_->places_[layer].kv_class];
    return pool_->address(list.pages[index - list.first], layer, kv_head);
  }

 private:
  // Pages `first`, first + 1, ... of a class; earlier ones were given back.
  struct PageList {
    std::size_t first = 0;
    std::vector<std::size_t> pages;
    std::size_t end() const { return first + pages.size(); }
  };
  std::size_t first_needed_page(std::size_t kv_class, std::size_t length) const noexcept;

  KvPool* pool_;
  std::vector<PageList> lists_;  // by class
  std::size_t length_ = 0;
};

}  // namespace paring::model
