// SPDX-License-Identifier: Apache-2.0
// Prefix cache: keys and values of token prefixes that were computed before, in a radix tree with
// one node a page (the structure of SGLang's RadixAttention, arXiv:2312.07104, sec. 3). The tree
// owns pages together with the sequences that use them. Results do not depend on it: a page holds
// the same bits whoever computed it (batch invariance). Confined to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "model/kv_cache.h"

namespace paring::engine {

class PrefixCache {
 public:
  // `pool` must outlive the cache.
  explicit PrefixCache(model::KvPool& pool) : pool_(pool) {}
  ~PrefixCache() { clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Lets the empty `sequence` share the longest cached prefix of `tokens` and returns its length:
  // whole pages, never all of `tokens`, since the last one is computed for its logits. Prefixes of
  // different scopes (tenants, adapters) never meet.
  std::size_t adopt(std::uint64_t scope, std::span<const std::int32_t> tokens,
                    model::KvSequence& sequence);
  // The length that adopt() would return.
  std::size_t match(std::uint64_t scope, std::span<const std::int32_t> tokens) const;
  // Keeps the whole pages of `sequence`, whose positions hold the first sequence.length() `tokens`.
  void insert(std::uint64_t scope, std::span<const std::int32_t> tokens,
              const model::KvSequence& sequence);
  // Forgets the least recently used prefix end whose page nobody else owns. False: there is none.
  bool evict_one();
  void clear();

 private:
  using Block = std::array<std::int32_t, kernels::kPageTokens>;
  struct Node {
    Node* parent = nullptr;
    std::map<Block, std::unique_ptr<Node>> children;
    Block block{};
    std::vector<std::size_t> pages;  // by class; kNoPage where a window had let go of it
    std::uint64_t used = 0;
  };
  static Block block_at(std::span<const std::int32_t> tokens, std::size_t page);
  // Nodes of the longest known prefix, whether or not all their pages are held.
  std::vector<Node*> path(std::uint64_t scope, std::span<const std::int32_t> tokens) const;
  bool is_whole(const std::vector<Node*>& path, std::size_t pages) const;
  std::size_t usable_pages(const std::vector<Node*>& path, std::size_t tokens) const;
  void touch(Node& node);
  void release_pages(const Node& node);
  void clear_below(Node& node);

  model::KvPool& pool_;
  std::map<std::uint64_t, Node> roots_;               // by scope
  std::set<std::pair<std::uint64_t, Node*>> leaves_;  // by time of use
  std::uint64_t now_ = 0;
};

}  // namespace paring::engine
