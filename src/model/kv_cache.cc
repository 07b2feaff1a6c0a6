// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.h"

#include <fmt/format.h>

namespace paring::model {

std::size_t KvPool::bytes_per_token(const BlockSpec& spec, kernels::KvType type) noexcept {
  return kernels::kv_page_bytes(type, spec.head_width) * spec.layers * spec.kv_heads /
         kernels::kPageTokens;
}

Result<KvPool> KvPool::create(const BlockSpec& spec, kernels::KvType type, std::size_t tokens) {
  KvPool pool;
  pool.type_ = type;
  pool.kv_heads_ = spec.kv_heads;
  pool.head_page_bytes_ = kernels::kv_page_bytes(type, spec.head_width);
  pool.page_bytes_ = pool.head_page_bytes_ * spec.layers * spec.kv_heads;
  const std::size_t pages = (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  auto memory = AlignedBuffer::create(pages * pool.page_bytes_);
  if (!memory) {
    return std::move(memory.error())
        .with_context(fmt::format("key/value cache for {} tokens", tokens));
  }
  pool.memory_ = std::move(memory).value();
  pool.free_.reserve(pages);
  for (std::size_t page = pages; page > 0; --page) pool.free_.push_back(page - 1);
  return pool;
}

Result<std::size_t> KvPool::take() {
  if (free_.empty()) {
    return exhausted("the key/value cache is full", "raise context_tokens or shorten the prompt");
  }
  const std::size_t page = free_.back();
  free_.pop_back();
  return page;
}

Result<void> KvSequence::grow(std::size_t tokens) {
  const std::size_t pages = (length_ + tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  if (pages - pages_.size() > pool_->pages_free() && pages > pages_.size()) {
    return exhausted(
        fmt::format(
            "the sequence needs {} tokens of key/value cache, {} pages of {} tokens are free",
            length_ + tokens, pool_->pages_free(), kernels::kPageTokens),
        "raise context_tokens or shorten the prompt");
  }
  while (pages_.size() < pages) {
    PARING_TRY(const std::size_t page, pool_->take());
    pages_.push_back(page);
  }
  length_ += tokens;
  return {};
}

void KvSequence::truncate(std::size_t tokens) {
  PARING_CHECK(tokens <= length_, "truncate() cannot lengthen a sequence");
  length_ = tokens;
  const std::size_t pages = (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
  while (pages_.size() > pages) {
    pool_->give_back(pages_.back());
    pages_.pop_back();
  }
}

}  // namespace paring::model
