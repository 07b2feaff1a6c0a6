// SPDX-License-Identifier: Apache-2.0
#include "text/token_ids.h"

#include <bit>
#include <random>
#include <utility>

#include "text/seeded_hash.h"

namespace paring::text {

std::uint64_t hash_seed() {
  static const std::uint64_t kSeed = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
  }();
  return kSeed;
}

std::size_t TokenIds::place(std::string_view text) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = static_cast<std::size_t>(seeded_hash(hash_seed(), text)) & mask;
  while (slots_[at].id >= 0 && std::string_view(slots_[at].data, slots_[at].size) != text) {
    at = (at + 1) & mask;
  }
  return at;
}

void TokenIds::reserve(std::size_t count) {
  const std::size_t size = std::bit_ceil(2 * count + 2);
  if (size <= slots_.size()) return;
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(size));
  for (const Slot& slot : old) {
    if (slot.id >= 0) slots_[place({slot.data, slot.size})] = slot;
  }
}

std::int32_t TokenIds::add(std::string_view text, std::int32_t id) {
  if (2 * size_ + 2 > slots_.size()) reserve(2 * size_ + 2);
  Slot& slot = slots_[place(text)];
  if (slot.id >= 0) return slot.id;
  slot = {text.data(), static_cast<std::uint32_t>(text.size()), id};
  ++size_;
  return id;
}

std::int32_t TokenIds::find(std::string_view text) const { return slots_[place(text)].id; }

}  // namespace paring::text
