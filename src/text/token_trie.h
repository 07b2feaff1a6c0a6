// SPDX-License-Identifier: Apache-2.0
// A byte trie over token texts, for longest matches and for all tokens that begin at a position.
// Immutable once built, shared by threads.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace paring::text {

class TokenTrie {
 public:
  static constexpr std::uint32_t kRoot = 0;
  static constexpr std::uint32_t kNone = UINT32_MAX;

  TokenTrie() : TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>>{}) {}
  // Empty texts are left out; of equal texts the first counts. The texts are not kept.
  explicit TokenTrie(std::vector<std::pair<std::string_view, std::int32_t>> texts);

  // The node behind `byte`, kNone when no token goes on so.
  std::uint32_t next(std::uint32_t node, char byte) const noexcept {
    const std::uint32_t begin = nodes_[node].edges_begin;
    const std::uint32_t end = nodes_[node + 1].edges_begin;
    if (end - begin == kAllBytes) return edges_[begin + static_cast<unsigned char>(byte)].node;
    for (std::uint32_t i = begin; i < end; ++i) {
      if (edges_[i].byte == byte) return edges_[i].node;
    }
    return kNone;
  }
  // The token that ends at this node, -1 when none does.
  std::int32_t token(std::uint32_t node) const noexcept { return nodes_[node].token; }

 private:
  struct Node {
    std::uint32_t edges_begin = 0;  // up to those of the node behind it
    std::int32_t token = -1;
  };
  struct Edge {
    char byte = 0;
    std::uint32_t node = kNone;
  };
  // Nodes with many children have an edge for each byte, so that no search is long.
  static constexpr std::uint32_t kAllBytes = 256;

  std::vector<Node> nodes_;  // breadth first, one more than there are
  std::vector<Edge> edges_;
};

}  // namespace paring::text
