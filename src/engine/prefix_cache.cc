// SPDX-License-Identifier: Apache-2.0
#include "engine/prefix_cache.h"

#include <algorithm>

namespace paring::engine {

namespace {
constexpr std::size_t kNoPage = model::KvSequence::kNoPage;
}

PrefixCache::Block PrefixCache::block_at(std::span<const std::int32_t> tokens, std::size_t page) {
  Block block;
  std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(page * block.size()), block.size(),
              block.begin());
  return block;
}

std::vector<PrefixCache::Node*> PrefixCache::path(std::uint64_t scope,
                                                  std::span<const std::int32_t> tokens) const {
  std::vector<Node*> nodes;
  const auto root = roots_.find(scope);
  if (root == roots_.end()) return nodes;
  const Node* node = &root->second;
  while ((nodes.size() + 1) * kernels::kPageTokens <= tokens.size()) {
    const auto child = node->children.find(block_at(tokens, nodes.size()));
    if (child == node->children.end()) break;
    node = child->second.get();
    nodes.push_back(child->second.get());
  }
  return nodes;
}

// Whether the first `pages` nodes hold every page that the next position sees.
bool PrefixCache::is_whole(const std::vector<Node*>& path, std::size_t pages) const {
  for (std::size_t c = 0; c < pool_.class_count(); ++c) {
    const std::size_t first = pool_.first_visible_page(c, pages * kernels::kPageTokens);
    for (std::size_t i = first; i < pages; ++i) {
      if (path[i]->pages[c] == kNoPage) return false;
    }
  }
  return true;
}

std::size_t PrefixCache::usable_pages(const std::vector<Node*>& path, std::size_t tokens) const {
  if (tokens == 0) return 0;
  std::size_t pages = std::min(path.size(), (tokens - 1) / kernels::kPageTokens);
  while (pages > 0 && !is_whole(path, pages)) --pages;
  return pages;
}

std::size_t PrefixCache::match(std::uint64_t scope, std::span<const std::int32_t> tokens) const {
  return usable_pages(path(scope, tokens), tokens.size()) * kernels::kPageTokens;
}

std::size_t PrefixCache::adopt(std::uint64_t scope, std::span<const std::int32_t> tokens,
                               model::KvSequence& sequence) {
  const std::vector<Node*> nodes = path(scope, tokens);
  const std::size_t pages = usable_pages(nodes, tokens.size());
  if (pages == 0) return 0;
  ++now_;
  for (std::size_t i = 0; i < pages; ++i) touch(*nodes[i]);
  std::vector<std::size_t> first(pool_.class_count());
  std::vector<std::vector<std::size_t>> held(pool_.class_count());
  const std::size_t length = pages * kernels::kPageTokens;
  for (std::size_t c = 0; c < held.size(); ++c) {
    first[c] = pool_.first_visible_page(c, length);
    for (std::size_t i = first[c]; i < pages; ++i) held[c].push_back(nodes[i]->pages[c]);
  }
  sequence.adopt(length, first, held);
  return length;
}

void PrefixCache::insert(std::uint64_t scope, std::span<const std::int32_t> tokens,
                         const model::KvSequence& sequence) {
  const std::size_t pages = std::min(sequence.length(), tokens.size()) / kernels::kPageTokens;
  if (pages == 0) return;
  ++now_;
  Node* node = &roots_[scope];
  for (std::size_t i = 0; i < pages; ++i) {
    const Block block = block_at(tokens, i);
    std::unique_ptr<Node>& child = node->children[block];
    if (child == nullptr) {
      leaves_.erase({node->used, node});
      child = std::make_unique<Node>();
      child->parent = node;
      child->block = block;
      child->pages.assign(pool_.class_count(), kNoPage);
    }
    node = child.get();
    touch(*node);
    for (std::size_t c = 0; c < node->pages.size(); ++c) {
      const std::size_t page = sequence.page_id(c, i);
      if (node->pages[c] != kNoPage || page == kNoPage) continue;
      pool_.retain(c, page);
      node->pages[c] = page;
    }
  }
}

void PrefixCache::touch(Node& node) {
  leaves_.erase({node.used, &node});
  node.used = now_;
  if (node.children.empty()) leaves_.insert({node.used, &node});
}

void PrefixCache::release_pages(const Node& node) {
  for (std::size_t c = 0; c < node.pages.size(); ++c) {
    if (node.pages[c] != kNoPage) pool_.release(c, node.pages[c]);
  }
}

bool PrefixCache::evict_one() {
  for (const auto& [used, leaf] : leaves_) {
    bool frees = false;
    for (std::size_t c = 0; c < leaf->pages.size(); ++c) {
      frees = frees || (leaf->pages[c] != kNoPage && pool_.owners(c, leaf->pages[c]) == 1);
    }
    if (!frees) continue;
    Node* const parent = leaf->parent;
    const Block block = leaf->block;
    release_pages(*leaf);
    leaves_.erase({used, leaf});
    parent->children.erase(block);
    if (!parent->children.empty()) return true;
    if (parent->parent == nullptr) {
      std::erase_if(roots_, [parent](const auto& root) { return &root.second == parent; });
    } else {
      leaves_.insert({parent->used, parent});
    }
    return true;
  }
  return false;
}

void PrefixCache::clear_below(Node& node) {
  for (auto& [block, child] : node.children) {
    release_pages(*child);
    clear_below(*child);
  }
  node.children.clear();
}

void PrefixCache::clear() {
  leaves_.clear();
  for (auto& [scope, root] : roots_) clear_below(root);
  roots_.clear();
}

}  // namespace paring::engine
