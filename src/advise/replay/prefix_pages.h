// SPDX-License-Identifier: Apache-2.0
// PrefixPages: which pages of prefixes a cache of keys and values would hold, by their hashes
// alone: the rules of engine/prefix_cache.h without keys and values. Confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace paring::advise {

class PrefixPages {
 public:
  explicit PrefixPages(std::size_t pages) : pages_(pages) {}

  std::size_t free() const noexcept { return pages_ - held_; }
  std::size_t held() const noexcept { return held_; }
  // How many of the first blocks are cached.
  std::size_t match(std::span<const std::uint32_t> blocks) const;
  // The first `count` blocks, which match, are somebody's until unpin().
  void pin(std::span<const std::uint32_t> blocks, std::size_t count);
  void unpin(std::span<const std::uint32_t> blocks, std::size_t count);
  // Pages that belong to a sequence alone. False, and nothing happens: there is no room, whatever
  // is forgotten.
  bool take(std::size_t pages);
  void give_back(std::size_t pages);
  // Keeps blocks whose pages are the caller's own from `first` on: those become the cache's, but
  // for blocks that are there already, whose pages are free again. Pinned once more.
  void keep(std::span<const std::uint32_t> blocks, std::size_t first);
  // Keeps pages that no later prompt will ask for, behind `blocks` or behind nothing.
  void keep_unknown(std::size_t pages);

 private:
  using Key = std::uint64_t;  // depth and hash
  struct Node {
    Key parent = 0;
    std::size_t children = 0;
    std::size_t pins = 0;
    std::uint64_t used = 0;
  };
  static constexpr Key kNoParent = 0;
  static Key key_of(std::span<const std::uint32_t> blocks, std::size_t index) noexcept {
    return (std::uint64_t{index} + 1) << 32 | blocks[index];
  }
  bool evict_one();
  void touch(Key key, Node& node);
  void update_leaf(Key key, const Node& node);

  std::size_t pages_;
  std::size_t held_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t unknown_ = 0;
  std::unordered_map<Key, Node> nodes_;
  std::set<std::pair<std::uint64_t, Key>> leaves_;  // that nobody has pinned, by time of use
};

}  // namespace paring::advise
