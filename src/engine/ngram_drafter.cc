// SPDX-License-Identifier: Apache-2.0
#include "engine/ngram_drafter.h"

#include <algorithm>

namespace paring::engine {

namespace {

std::uint64_t pair_ending_at(std::span<const std::int32_t> tokens, std::size_t end) {
  return (std::uint64_t{static_cast<std::uint32_t>(tokens[end - 1])} << 32U) |
         static_cast<std::uint32_t>(tokens[end]);
}

// Tokens that agree backwards from positions a < b.
std::size_t agreement(std::span<const std::int32_t> tokens, std::size_t a, std::size_t b) {
  const std::size_t most = std::min(a + 1, NgramIndex::kMatchTokensMax);
  std::size_t length = 0;
  while (length < most && tokens[a - length] == tokens[b - length]) ++length;
  return length;
}

// Classes of a match of `length` tokens: each step further along a right guess is a longer match.
std::uint8_t certainty_of(std::size_t length, bool is_near) {
  constexpr std::size_t kBounds[] = {2, 3, 4, 6, 9, 14, 24};  // 8 classes
  std::uint8_t step = 0;
  while (step < std::size(kBounds) && length >= kBounds[step]) ++step;
  return static_cast<std::uint8_t>(2 * step + (is_near ? 1 : 0));
}

}  // namespace

void NgramIndex::extend(std::span<const std::int32_t> tokens) {
  // A pair that ends with the sequence would match itself, so the last one waits.
  for (std::size_t end = previous_.size(); end + 1 < tokens.size(); ++end) {
    if (end == 0) {
      previous_.push_back(kNone);
      continue;
    }
    const auto [place, is_new] =
        last_.try_emplace(pair_ending_at(tokens, end), static_cast<std::uint32_t>(end));
    previous_.push_back(is_new ? kNone : place->second);
    place->second = static_cast<std::uint32_t>(end);
  }
}

// The last token alone, right behind the last copy: after an insertion, a deletion or a change of
// some tokens the text goes on there.
std::optional<NgramIndex::Match> NgramIndex::find_near(std::span<const std::int32_t> tokens) const {
  if (aligned_ == 0) return std::nullopt;
  const std::size_t end = std::min(aligned_ + kNearTokens, tokens.size() - 1);
  for (std::size_t at = aligned_; at < end; ++at) {
    if (tokens[at] == tokens.back()) return Match{at + 1, 1, true};
  }
  return std::nullopt;
}

std::optional<NgramIndex::Match> NgramIndex::find(std::span<const std::int32_t> tokens) const {
  if (tokens.size() < 2) return std::nullopt;
  const std::size_t last = tokens.size() - 1;
  std::optional<Match> best;
  const auto found = last_.find(pair_ending_at(tokens, last));
  std::uint32_t at = found == last_.end() ? kNone : found->second;
  for (std::size_t n = 0; at != kNone && n < kPlacesMax; ++n, at = previous_[at]) {
    const std::size_t length = agreement(tokens, at, last);
    const std::size_t next = at + 1;
    const bool is_near = aligned_ != 0 && next >= aligned_ && next <= aligned_ + kNearTokens;
    const bool is_better =
        !best || length > best->length ||
        (length == best->length && is_near && (!best->is_near || next < best->next));
    if (is_better) best = Match{next, length, is_near};
  }
  return best ? best : find_near(tokens);
}

void NgramDrafter::propose(std::span<Draft* const> drafts) {
  for (Draft* draft : drafts) propose(*draft);
}

void NgramDrafter::propose(Draft& draft) {
  NgramIndex& index = indexes_[draft.sequence];
  index.extend(draft.tokens);
  const std::optional<NgramIndex::Match> match = index.find(draft.tokens);
  if (!match) return;
  index.align(match->next);
  // Beyond the end of the sequence the copy would repeat itself: a loop of next..end.
  const std::size_t period = draft.tokens.size() - match->next;
  for (std::size_t i = 0; i < draft.wanted; ++i) {
    draft.proposed.push_back(
        {draft.tokens[match->next + i % period], certainty_of(match->length + i, match->is_near)});
  }
}

}  // namespace paring::engine
