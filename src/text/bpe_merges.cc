// SPDX-License-Identifier: Apache-2.0
#include "text/bpe_merges.h"

#include <bit>
#include <queue>

#include "text/unicode.h"

namespace paring::text {
namespace {

constexpr std::size_t kShortMax = 32;             // ids up to which a scan beats a queue
constexpr std::size_t kMemoWordBytesMax = 64;     // longer words hardly repeat
constexpr std::size_t kMemoWordsMax = 1U << 16U;  // bounds the memo of a call to a few MB

struct Node {
  std::int32_t id;        // -1: joined to an earlier one
  std::int32_t previous;  // -1: none
  std::int32_t next;
};

struct Candidate {
  std::uint32_t rank;
  std::int32_t left;  // node
  std::int32_t left_id, right_id, result;
};
struct IsWorse {
  bool operator()(const Candidate& a, const Candidate& b) const {
    return a.rank > b.rank || (a.rank == b.rank && a.left > b.left);
  }
};

std::string quoted(std::string_view token) {
  return "\"" + repaired_utf8(token.substr(0, 64)) + "\"";
}

}  // namespace

std::int32_t TextTokens::find(std::string_view token) const {
  const std::int32_t id = ids->find(token);
  return id < 0 || is_text.empty() || is_text[static_cast<std::size_t>(id)] ? id : -1;
}

Error bad_merge(std::size_t rank, const std::string& what) {
  return corrupt("merge " + std::to_string(rank) + " " + what);
}

Result<BpeMerges> BpeMerges::create(const TextTokens& tokens, std::span<const TextMerge> merges) {
  std::vector<Merge> joins;
  joins.reserve(merges.size());
  std::string whole;
  for (const auto& [left, right] : merges) {
    whole.assign(left).append(right);
    const Merge join{tokens.find(left), tokens.find(right), tokens.find(whole)};
    for (const auto& [id, token] : {std::pair(join.left, left), std::pair(join.right, right)}) {
      if (id >= 0) continue;
      return bad_merge(joins.size(), "names " + quoted(token) + ", which is not a token");
    }
    if (join.result < 0) {
      return bad_merge(joins.size(), "makes " + quoted(whole) + ", which is not a token");
    }
    joins.push_back(join);
  }
  return BpeMerges(joins);
}

BpeMerges::BpeMerges(std::span<const Merge> merges) {
  const std::size_t size = std::bit_ceil(2 * merges.size() + 2);
  slots_.assign(size, {});
  std::uint32_t rank = 0;
  for (const Merge& merge : merges) {
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = home(pair);
    while (slots_[at].pair != kNoPair && slots_[at].pair != pair) at = (at + 1) % size;
    if (slots_[at].pair == kNoPair) slots_[at] = {pair, rank, merge.result};
    ++rank;
  }
}

const BpeMerges::Slot& BpeMerges::slot(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t at = home(pair);
  while (slots_[at].pair != kNoPair && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  return slots_[at];
}

void BpeMerges::join(std::vector<std::int32_t>& ids) const {
  if (ids.size() <= kShortMax) {
    join_short(ids);
  } else {
    join_long(ids);
  }
}

void BpeMerges::join_short(std::vector<std::int32_t>& ids) const {
  const Slot* joins[kShortMax] = {};  // of each id with the next one; null: none
  const auto find = [&](std::size_t i) {
    const Slot& found = slot(ids[i], ids[i + 1]);
    return found.pair == kNoPair ? nullptr : &found;
  };
  std::size_t size = ids.size();
  for (std::size_t i = 0; i + 1 < size; ++i) joins[i] = find(i);
  while (size > 1) {
    std::size_t best = 0;
    std::uint32_t rank = kNoRank;
    for (std::size_t i = 0; i + 1 < size; ++i) {
      if (joins[i] == nullptr || joins[i]->rank >= rank) continue;
      rank = joins[i]->rank;
      best = i;
    }
    if (rank == kNoRank) break;
    ids[best] = joins[best]->result;
    for (std::size_t i = best + 1; i + 1 < size; ++i) {
      ids[i] = ids[i + 1];
      joins[i] = joins[i + 1];
    }
    --size;
    if (best > 0) joins[best - 1] = find(best - 1);
    if (best + 1 < size) joins[best] = find(best);
  }
  ids.resize(size);
}

void BpeMerges::join_long(std::vector<std::int32_t>& ids) const {
  std::vector<Node> nodes(ids.size());
  const auto count = static_cast<std::int32_t>(ids.size());
  for (std::int32_t i = 0; i < count; ++i) {
    nodes[static_cast<std::size_t>(i)] = {ids[static_cast<std::size_t>(i)], i - 1,
                                          i + 1 < count ? i + 1 : -1};
  }
  const auto node = [&](std::int32_t i) -> Node& { return nodes[static_cast<std::size_t>(i)]; };
  std::priority_queue<Candidate, std::vector<Candidate>, IsWorse> queue;
  const auto consider = [&](std::int32_t left) {
    if (left < 0 || node(left).next < 0) return;
    const std::int32_t right_id = node(node(left).next).id;
    const Slot& found = slot(node(left).id, right_id);
    if (found.pair == kNoPair) return;
    queue.push({found.rank, left, node(left).id, right_id, found.result});
  };
  for (std::int32_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node& left = node(best.left);
    if (left.id != best.left_id || left.next < 0 || node(left.next).id != best.right_id) continue;
    Node& right = node(left.next);
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) node(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  ids.clear();
  for (const Node& left : nodes) {
    if (left.id >= 0) ids.push_back(left.id);
  }
}

bool WordMemo::append_known(std::string_view word, std::vector<std::int32_t>& ids) const {
  const auto known = places_.find(word);
  if (known == places_.end()) return false;
  for (std::size_t i = known->second.first; i < known->second.second; ++i) {
    ids.push_back(std::int32_t{ids[i]});
  }
  return true;
}

void WordMemo::remember(std::string_view word, const std::vector<std::int32_t>& ids,
                        std::size_t first) {
  if (word.size() > kMemoWordBytesMax || places_.size() >= kMemoWordsMax) return;
  places_.emplace(word, std::pair(first, ids.size()));
}

}  // namespace paring::text
