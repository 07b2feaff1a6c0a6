// SPDX-License-Identifier: Apache-2.0
// The merging of byte-pair encoding: neighbouring tokens are joined while a merge joins them, the
// best merge first, leftmost first among equals. Immutable, any thread; for the .cc files of this
// module only.
//
// Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), section
// 3.2, as GPT-2 applies it to words.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/seeded_hash.h"
#include "text/token_ids.h"

namespace paring::text {

// The tokens that text may become.
struct TextTokens {
  const TokenIds* ids = nullptr;  // outlives this
  std::vector<bool> is_text;      // by id; empty: all

  std::int32_t find(std::string_view token) const;  // -1: there is none
};

using TextMerge = std::pair<std::string_view, std::string_view>;  // two tokens that become one

// An error of the merge `rank`, e.g. what = "is no pair".
Error bad_merge(std::size_t rank, const std::string& what);

class BpeMerges {
 public:
  struct Merge {
    std::int32_t left = 0;
    std::int32_t right = 0;
    std::int32_t result = 0;
  };

  BpeMerges() = default;
  // Best first; of equal pairs the first counts.
  explicit BpeMerges(std::span<const Merge> merges);
  // Of tokens as the vocabulary spells them. Corrupt when a merge takes or makes what is none.
  static Result<BpeMerges> create(const TextTokens& tokens, std::span<const TextMerge> merges);

  // Joins what can be joined; `ids` keeps what is left, in order. Not quadratic. REQUIRES: no id is
  // negative, fewer than 2^31 of them.
  void join(std::vector<std::int32_t>& ids) const;

 private:
  struct Slot {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    std::int32_t result = 0;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};
  static constexpr std::uint32_t kNoRank = ~std::uint32_t{0};
  static std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U |
           static_cast<std::uint32_t>(right);
  }

  std::size_t home(std::uint64_t pair) const {
    return static_cast<std::size_t>(seeded_hash(seed_, pair)) & (slots_.size() - 1);
  }
  // The slot of a pair, or an empty one.
  const Slot& slot(std::int32_t left, std::int32_t right) const;
  void join_short(std::vector<std::int32_t>& ids) const;
  void join_long(std::vector<std::int32_t>& ids) const;

  std::vector<Slot> slots_ = std::vector<Slot>(2);  // a power of two, at most half of them full
  std::uint64_t seed_ = hash_seed();
};

// The ids of words that were merged before, within one call: text repeats its words. Keys are views
// into the text.
class WordMemo {
 public:
  // Appends the ids that `word` got before; false when it is new.
  bool append_known(std::string_view word, std::vector<std::int32_t>& ids) const;
  // `ids` from `first` on are those of `word`, and stay where they are.
  void remember(std::string_view word, const std::vector<std::int32_t>& ids, std::size_t first);

 private:
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> places_;
};

}  // namespace paring::text
