// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/prefix_pages.h"

namespace paring::advise {

std::size_t PrefixPages::match(std::span<const std::uint32_t> blocks) const {
  std::size_t count = 0;
  while (count < blocks.size() && nodes_.contains(key_of(blocks, count))) ++count;
  return count;
}

void PrefixPages::update_leaf(Key key, const Node& node) {
  if (node.children == 0 && node.pins == 0) {
    leaves_.insert({node.used, key});
  } else {
    leaves_.erase({node.used, key});
  }
}

void PrefixPages::touch(Key key, Node& node) {
  leaves_.erase({node.used, key});
  node.used = now_;
  update_leaf(key, node);
}

void PrefixPages::pin(std::span<const std::uint32_t> blocks, std::size_t count) {
  ++now_;
  for (std::size_t i = 0; i < count; ++i) {
    Node& node = nodes_.at(key_of(blocks, i));
    ++node.pins;
    touch(key_of(blocks, i), node);
  }
}

void PrefixPages::unpin(std::span<const std::uint32_t> blocks, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Node& node = nodes_.at(key_of(blocks, i));
    --node.pins;
    update_leaf(key_of(blocks, i), node);
  }
}

bool PrefixPages::take(std::size_t pages) {
  while (free() < pages) {
    if (!evict_one()) return false;
  }
  held_ += pages;
  return true;
}

void PrefixPages::give_back(std::size_t pages) { held_ -= pages; }

void PrefixPages::keep(std::span<const std::uint32_t> blocks, std::size_t first) {
  ++now_;
  Key parent = kNoParent;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Key key = key_of(blocks, i);
    const auto [place, is_new] = nodes_.try_emplace(key);
    Node& node = place->second;
    if (is_new) {
      node.parent = parent;
      if (parent != kNoParent) {
        Node& above = nodes_.at(parent);
        ++above.children;
        update_leaf(parent, above);
      }
    } else if (i >= first) {
      --held_;
    }
    if (i >= first) ++node.pins;
    touch(key, node);
    parent = key;
  }
}

void PrefixPages::keep_unknown(std::size_t pages) {
  ++now_;
  for (std::size_t i = 0; i < pages; ++i) {
    const Key key = std::uint64_t{1} << 63 | unknown_++;
    Node& node = nodes_[key];
    touch(key, node);
  }
}

bool PrefixPages::evict_one() {
  if (leaves_.empty()) return false;
  const Key key = leaves_.begin()->second;
  leaves_.erase(leaves_.begin());
  const auto place = nodes_.find(key);
  const Key parent = place->second.parent;
  nodes_.erase(place);
  --held_;
  if (parent != kNoParent) {
    Node& above = nodes_.at(parent);
    --above.children;
    update_leaf(parent, above);
  }
  return true;
}

}  // namespace paring::advise
