// SPDX-License-Identifier: Apache-2.0
// Paged key/value storage. A page holds kernels::kPageTokens positions of every layer and KV head
// of one sequence; KvPool owns the memory, KvSequence lists the pages of one sequence. Never evicts
// on its own. Confined to one thread at a time; workers of a step write disjoint parts.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "base/result.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::model {

class KvPool {
 public:
  // Room for `tokens` positions in whole pages. Exhausted when memory does not suffice.
  static Result<KvPool> create(const BlockSpec& spec, kernels::KvType type, std::size_t tokens);

  kernels::KvType type() const noexcept { return type_; }
  std::size_t pages_free() const noexcept { return free_.size(); }
  std::size_t bytes() const noexcept { return memory_.bytes(); }
  // Bytes of KV that one position takes over all layers.
  static std::size_t bytes_per_token(const BlockSpec& spec, kernels::KvType type) noexcept;

  // Takes a free page; Exhausted when there is none.
  Result<std::size_t> take();
  void give_back(std::size_t page) { free_.push_back(page); }
  // The part of a page that belongs to one layer and KV head.
  std::byte* page(std::size_t page, std::size_t layer, std::size_t kv_head) noexcept {
    return memory_.data() + page * page_bytes_ + (layer * kv_heads_ + kv_head) * head_page_bytes_;
  }

 private:
  kernels::KvType type_ = kernels::KvType::kQ8;
  std::size_t kv_heads_ = 0;
  std::size_t head_page_bytes_ = 0;
  std::size_t page_bytes_ = 0;
  AlignedBuffer memory_;
  std::vector<std::size_t> free_;
};

// Positions [0, length()) of one sequence. Returns its pages to the pool when destroyed.
class KvSequence {
 public:
  explicit KvSequence(KvPool& pool) : pool_(&pool) {}
  ~KvSequence() { truncate(0); }
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  std::size_t length() const noexcept { return length_; }
  // Reserves pages for `tokens` more positions. Exhausted: unchanged.
  Result<void> grow(std::size_t tokens);
  // Keeps the first `tokens` positions. REQUIRES: tokens <= length().
  void truncate(std::size_t tokens);

  KvPool& pool() noexcept { return *pool_; }
  std::size_t pages() const noexcept { return pages_.size(); }
  std::byte* page_of(std::size_t position, std::size_t layer, std::size_t kv_head) noexcept {
    return page(position / kernels::kPageTokens, layer, kv_head);
  }
  std::byte* page(std::size_t index, std::size_t layer, std::size_t kv_head) noexcept {
    return pool_->page(pages_[index], layer, kv_head);
  }

 private:
  KvPool* pool_;
  std::vector<std::size_t> pages_;
  std::size_t length_ = 0;
};

}  // namespace paring::model
