// SPDX-License-Identifier: Apache-2.0
// Paged key/value storage. Layers with the same window form a class; a page holds
// kernels::kPageTokens positions of every layer and KV head of one class of one sequence. KvPool
// owns the memory, KvSequence lists the pages of one sequence and gives back those that left the
// window. Pages are counted references: sequences and caches of prefixes share them, and a sequence
// that grows into a shared page gets a copy of its own. Never evicts on its own. Confined to one
// thread at a time; workers of a step write disjoint parts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
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
  // Positions that layers of a class see, 0: all.
  std::size_t class_window(std::size_t kv_class) const noexcept {
    return classes_[kv_class].window;
  }
  // First page that the position after `length` sees.
  std::size_t first_visible_page(std::size_t kv_class, std::size_t length) const noexcept;
  std::size_t page_count(std::size_t kv_class) const noexcept { return classes_[kv_class].pages; }
  // One more or one less owner of a page; without owners it is free. REQUIRES: it has an owner.
  void retain(std::size_t kv_class, std::size_t page);
  void release(std::size_t kv_class, std::size_t page);
  std::size_t class_of(std::size_t layer) const noexcept { return places_[layer].kv_class; }
  std::size_t owners(std::size_t kv_class, std::size_t page) const noexcept {
    return classes_[kv_class].owners[page];
  }
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
    std::vector<std::uint32_t> owners;  // [pages]
  };
  struct LayerPlace {
    std::size_t kv_class;
    std::size_t index;  // among the layers of its class
  };
  static std::vector<Class> classes_of(const BlockSpec& spec, kernels::KvType type,
                                       const KvCapacity& capacity, std::vector<LayerPlace>* places);
  std::size_t take(std::size_t kv_class);
  void copy(std::size_t kv_class, std::size_t from, std::size_t to) noexcept;
  // Consecutive pages of one layer and KV head lie side by side, kRunPages of them: attention
  // streams through them, and a short sequence touches little of a large pool.
  static constexpr std::size_t kRunPages = 16;
  std::byte* address(std::size_t page, std::size_t layer, std::size_t kv_head) noexcept {
    const LayerPlace place = places_[layer];
    return address_in(classes_[place.kv_class], page, place.index * kv_heads_ + kv_head);
  }
  // Part `part` of a page: KV head part % kv_heads_ of the class's layer part / kv_heads_.
  std::byte* address_in(const Class& c, std::size_t page, std::size_t part) noexcept {
    const std::size_t first = page / kRunPages * kRunPages;
    const std::size_t run = std::min(kRunPages, c.pages - first);
    return memory_.data() + c.offset + first * c.page_bytes +
           (part * run + page - first) * head_page_bytes_;
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
  static constexpr std::size_t kNoPage = static_cast<std::size_t>(-1);

  explicit KvSequence(KvPool& pool) : pool_(&pool), lists_(pool.class_count()) {}
  ~KvSequence() { truncate(0); }
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  std::size_t length() const noexcept { return length_; }
  // Reserves pages for `tokens` more positions, after giving back those that no later position
  // will see, and copies the last page when it is shared and not full. Exhausted: unchanged.
  Result<void> grow(std::size_t tokens);
  // That it holds, of all classes; those that it shares count.
  std::size_t pages() const noexcept;
  // False when windows have already let go of what the position after `tokens` would see.
  bool can_truncate(std::size_t tokens) const noexcept;
  // Keeps the first `tokens` positions. REQUIRES: can_truncate(tokens).
  void truncate(std::size_t tokens);

  // Shares all pages of `other`, of the same pool. REQUIRES: length() == 0.
  void fork(const KvSequence& other);
  // Shares whole pages of a prefix: pages[c] are those of class c with indices first[c],
  // first[c] + 1, ... up to the end of `tokens` positions, which earlier sequences computed.
  // REQUIRES: length() == 0; `tokens` in whole pages; the pages have owners, and hold what the
  // position after `tokens` sees.
  void adopt(std::size_t tokens, std::span<const std::size_t> first,
             std::span<const std::vector<std::size_t>> pages);
  // Page `index` of a class, kNoPage when it is not held (any more).
  std::size_t page_id(std::size_t kv_class, std::size_t index) const noexcept;

  KvPool& pool() noexcept { return *pool_; }
  const KvPool& pool() const noexcept { return *pool_; }
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
  bool needs_copy(std::size_t kv_class) const noexcept;
  Result<void> check_room(std::size_t tokens) const;
  void drop_front(std::size_t kv_class, std::size_t first);

  KvPool* pool_;
  std::vector<PageList> lists_;  // by class
  std::size_t length_ = 0;
};

}  // namespace paring::model
