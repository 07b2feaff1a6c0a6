// SPDX-License-Identifier: Apache-2.0
#include "model/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace paring::model {

namespace {

std::size_t pages_for(std::size_t tokens) {
  return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens;
}

}  // namespace

std::size_t KvPool::bytes_per_token(const BlockSpec& spec, kernels::KvType type) noexcept {
  return kernels::kv_page_bytes(type, spec.head_width) * spec.layers * spec.kv_heads /
         kernels::kPageTokens;
}

double KvPool::bytes_read(const BlockSpec& spec, kernels::KvType type,
                          const PositionRange& range) noexcept {
  double visible = 0;  // over all layers
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    visible += range.mean_visible(spec.scope(layer).window);
  }
  return visible * static_cast<double>(kernels::kv_page_bytes(type, spec.head_width)) *
         static_cast<double>(spec.kv_heads) / static_cast<double>(kernels::kPageTokens);
}

std::vector<KvPool::Class> KvPool::classes_of(const BlockSpec& spec, kernels::KvType type,
                                              const KvCapacity& capacity,
                                              std::vector<LayerPlace>* places) {
  std::vector<Class> classes;
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    const std::size_t window = spec.scope(layer).window;
    auto found = std::find_if(classes.begin(), classes.end(),
                              [window](const Class& c) { return c.window == window; });
    if (found == classes.end()) {
      found = classes.emplace(classes.end());
      found->window = window;
    }
    if (places != nullptr) {
      places->push_back({static_cast<std::size_t>(found - classes.begin()), found->layers});
    }
    ++found->layers;
  }
  const std::size_t head_page = kernels::kv_page_bytes(type, spec.head_width);
  std::size_t offset = 0;
  for (Class& c : classes) {
    c.page_bytes = head_page * c.layers * spec.kv_heads;
    c.pages = pages_for(capacity.tokens);
    if (c.window != 0 && capacity.step_tokens != 0) {
      // After growing, a sequence holds what the first new position sees, and the new ones; the
      // oldest page may hold one position of them.
      const std::size_t held = c.window + capacity.rewind_tokens + capacity.step_tokens;
      c.pages = std::min(c.pages, capacity.sequences * (pages_for(held) + 1));
    }
    c.offset = offset;
    offset += c.pages * c.page_bytes;
  }
  return classes;
}

std::size_t KvPool::bytes_for(const BlockSpec& spec, kernels::KvType type,
                              const KvCapacity& capacity) {
  std::size_t bytes = 0;
  for (const Class& c : classes_of(spec, type, capacity, nullptr)) bytes += c.pages * c.page_bytes;
  return bytes;
}

Result<KvPool> KvPool::create(const BlockSpec& spec, kernels::KvType type,
                              const KvCapacity& capacity) {
  KvPool pool;
  pool.type_ = type;
  pool.capacity_ = capacity;
  pool.kv_heads_ = spec.kv_heads;
  pool.head_page_bytes_ = kernels::kv_page_bytes(type, spec.head_width);
  pool.classes_ = classes_of(spec, type, capacity, &pool.places_);
  auto memory = AlignedBuffer::create(bytes_for(spec, type, capacity));
  if (!memory) {
    return std::move(memory.error())
        .with_context(fmt::format("key/value cache for {} tokens", capacity.tokens));
  }
  pool.memory_ = std::move(memory).value();
  for (Class& c : pool.classes_) {
    c.free.reserve(c.pages);
    for (std::size_t page = c.pages; page > 0; --page) c.free.push_back(page - 1);
    c.owners.assign(c.pages, 0);
  }
  return pool;
}

void KvPool::retain(std::size_t kv_class, std::size_t page) {
  std::uint32_t& owners = classes_[kv_class].owners[page];
  PARING_CHECK(owners > 0, "a free page cannot be shared");
  ++owners;
}

void KvPool::release(std::size_t kv_class, std::size_t page) {
  std::uint32_t& owners = classes_[kv_class].owners[page];
  PARING_CHECK(owners > 0, "a page was given back twice");
  if (--owners == 0) classes_[kv_class].free.push_back(page);
}

std::size_t KvPool::take(std::size_t kv_class) {
  Class& c = classes_[kv_class];
  const std::size_t page = c.free.back();
  c.free.pop_back();
  c.owners[page] = 1;
  return page;
}

void KvPool::copy(std::size_t kv_class, std::size_t from, std::size_t to) noexcept {
  const Class& c = classes_[kv_class];
  for (std::size_t part = 0; part < c.layers * kv_heads_; ++part) {
    std::memcpy(address_in(c, to, part), address_in(c, from, part), head_page_bytes_);
  }
}

std::size_t KvPool::first_visible_page(std::size_t kv_class, std::size_t length) const noexcept {
  const std::size_t window = classes_[kv_class].window;
  if (window == 0 || capacity_.step_tokens == 0) return 0;
  // The next position, `length`, sees itself and window - 1 before it.
  const std::size_t kept = window - 1;
  return length > kept ? (length - kept) / kernels::kPageTokens : 0;
}

// Whether growing would write into a page that others own too.
bool KvSequence::needs_copy(std::size_t kv_class) const noexcept {
  const PageList& list = lists_[kv_class];
  return length_ % kernels::kPageTokens != 0 && !list.pages.empty() &&
         pool_->owners(kv_class, list.pages.back()) > 1;
}

Result<void> KvSequence::check_room(std::size_t tokens) const {
  const std::size_t rewind = pool_->capacity_.rewind_tokens;
  const std::size_t oldest = length_ > rewind ? length_ - rewind : 0;  // length that may come back
  const std::size_t pages = pages_for(length_ + tokens);
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    const PageList& list = lists_[c];
    const std::size_t first = std::max(list.first, pool_->first_visible_page(c, oldest));
    std::size_t available = pool_->pages_free(c);
    for (std::size_t i = list.first; i < std::min(first, list.end()); ++i) {
      available += pool_->owners(c, list.pages[i - list.first]) == 1 ? 1U : 0U;
    }
    const std::size_t missing = pages - std::min(pages, std::max(list.end(), first)) +
                                (tokens > 0 && needs_copy(c) ? 1U : 0U);
    if (missing <= available) continue;
    return exhausted(
        fmt::format(
            "the sequence needs {} tokens of key/value cache, {} pages of {} tokens are free",
            length_ + tokens, pool_->pages_free(c), kernels::kPageTokens),
        "raise context_tokens or shorten the prompt");
  }
  return {};
}

void KvSequence::drop_front(std::size_t kv_class, std::size_t first) {
  PageList& list = lists_[kv_class];
  const std::size_t gone = std::min(first, list.end()) - list.first;
  for (std::size_t i = 0; i < gone; ++i) pool_->release(kv_class, list.pages[i]);
  list.pages.erase(list.pages.begin(), list.pages.begin() + static_cast<std::ptrdiff_t>(gone));
  list.first = list.pages.empty() ? first : list.first + gone;
}

Result<void> KvSequence::grow(std::size_t tokens) {
  PARING_TRY_VOID(check_room(tokens));
  const std::size_t rewind = pool_->capacity_.rewind_tokens;
  const std::size_t oldest = length_ > rewind ? length_ - rewind : 0;
  const std::size_t pages = pages_for(length_ + tokens);
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    PageList& list = lists_[c];
    drop_front(c, std::max(list.first, pool_->first_visible_page(c, oldest)));
    if (tokens > 0 && needs_copy(c)) {
      const std::size_t shared = list.pages.back();
      list.pages.back() = pool_->take(c);
      pool_->copy(c, shared, list.pages.back());
      pool_->release(c, shared);
    }
    while (list.end() < pages) list.pages.push_back(pool_->take(c));
  }
  length_ += tokens;
  return {};
}

void KvSequence::fork(const KvSequence& other) {
  PARING_CHECK(length_ == 0 && other.pool_ == pool_, "a fork begins empty, in the same pool");
  truncate(0);
  lists_ = other.lists_;
  length_ = other.length_;
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    for (const std::size_t page : lists_[c].pages) pool_->retain(c, page);
  }
}

void KvSequence::adopt(std::size_t tokens, std::span<const std::size_t> first,
                       std::span<const std::vector<std::size_t>> pages) {
  PARING_CHECK(length_ == 0 && tokens % kernels::kPageTokens == 0 &&
                   first.size() == lists_.size() && pages.size() == lists_.size(),
               "a prefix is adopted by an empty sequence, in whole pages");
  truncate(0);
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    PARING_CHECK(first[c] + pages[c].size() == pages_for(tokens) &&
                     first[c] <= pool_->first_visible_page(c, tokens),
                 "a prefix must hold what its next position sees");
    for (const std::size_t page : pages[c]) pool_->retain(c, page);
    lists_[c] = {first[c], pages[c]};
  }
  length_ = tokens;
}

std::size_t KvSequence::page_id(std::size_t kv_class, std::size_t index) const noexcept {
  const PageList& list = lists_[kv_class];
  return index >= list.first && index < list.end() ? list.pages[index - list.first] : kNoPage;
}

std::size_t KvSequence::pages() const noexcept {
  std::size_t held = 0;
  for (const PageList& list : lists_) held += list.pages.size();
  return held;
}

bool KvSequence::can_truncate(std::size_t tokens) const noexcept {
  if (tokens > length_) return false;
  if (tokens == 0) return true;
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    if (lists_[c].first > pool_->first_visible_page(c, tokens)) return false;
  }
  return true;
}

void KvSequence::truncate(std::size_t tokens) {
  PARING_CHECK(can_truncate(tokens), "truncate() cannot bring positions back");
  length_ = tokens;
  for (std::size_t c = 0; c < lists_.size(); ++c) {
    PageList& list = lists_[c];
    const std::size_t end = std::max(pages_for(tokens), tokens == 0 ? 0 : list.first);
    while (!list.pages.empty() && list.end() > end) {
      pool_->release(c, list.pages.back());
      list.pages.pop_back();
    }
    if (tokens == 0) list.first = 0;
  }
}

}  // namespace paring::model
