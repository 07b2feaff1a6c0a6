// SPDX-License-Identifier: Apache-2.0
// Built breadth first from sorted texts: a node is a range of texts that share a beginning.
#include "text/token_trie.h"

#include <algorithm>

namespace paring::text {
namespace {

constexpr std::size_t kSearchedChildrenMax = 12;

struct Range {
  std::size_t begin;
  std::size_t end;
  std::size_t depth;
};

}  // namespace

TokenTrie::TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>> texts) {
  std::erase_if(texts, [](const auto& text) { return text.first.empty(); });
  std::stable_sort(texts.begin(), texts.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Range> ranges{{0, texts.size(), 0}};
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    auto [begin, end, depth] = ranges[i];
    Node node{static_cast<std::uint32_t>(edges_.size()), -1};
    const std::size_t first_longer = [&] {
      std::size_t at = begin;
      while (at < end && texts[at].first.size() == depth) ++at;
      return at;
    }();
    if (depth > 0 && first_longer > begin) node.token = texts[begin].second;
    nodes_.push_back(node);
    std::vector<Edge> children;
    for (std::size_t at = first_longer; at < end;) {
      const char byte = texts[at].first[depth];
      const std::size_t child_begin = at;
      while (at < end && texts[at].first[depth] == byte) ++at;
      children.push_back({byte, static_cast<std::uint32_t>(ranges.size())});
      ranges.push_back({child_begin, at, depth + 1});
    }
    if (children.size() <= kSearchedChildrenMax) {
      edges_.insert(edges_.end(), children.begin(), children.end());
      continue;
    }
    const std::size_t all = edges_.size();
    edges_.resize(all + kAllBytes);
    for (const Edge& child : children) {
      edges_[all + static_cast<unsigned char>(child.byte)] = child;
    }
  }
  nodes_.push_back({static_cast<std::uint32_t>(edges_.size()), -1});
}

}  // namespace paring::text
