// SPDX-License-Identifier: Apache-2.0
// What the ways of attention share: pages, which slots a row sees, and the state of a row's softmax
// with the rule that joins two. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

static_assert(kCacheGroupValues == kLanes);

// The planes of a page, by type (layout: ops.h).
template <class Value>
struct PagePlanes {
  const Value* keys;
  const Value* values;
  const std::uint16_t* key_scales;    // of codes
  const std::uint16_t* value_scales;  // of codes
};

template <class Value>
PARING_INLINE PagePlanes<Value> page_planes(const std::byte* page, std::size_t width) {
  const std::size_t count = kPageTokens * width;
  const Value* keys = reinterpret_cast<const Value*>(page);
  const auto* scales = reinterpret_cast<const std::uint16_t*>(keys + 2 * count);
  return {keys, keys + count, scales, scales + count / kCacheGroupValues};
}

// A page of kQ4: values are two codes a byte.
struct NibblePage {
  const std::int8_t* keys;
  const std::uint8_t* values;
  const std::uint16_t* key_scales;
  const std::uint16_t* value_scales;
};

PARING_INLINE NibblePage nibble_page(const std::byte* page, std::size_t width) {
  const std::size_t count = kPageTokens * width;
  const auto* keys = reinterpret_cast<const std::int8_t*>(page);
  const auto* values = reinterpret_cast<const std::uint8_t*>(keys + count);
  const auto* scales = reinterpret_cast<const std::uint16_t*>(values + count / 2);
  return {keys, values, scales, scales + count / kCacheGroupValues};
}

PARING_INLINE float bf16_value(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// Softmaxes under way, of all rows of a call. largest is far below every score, and not -inf,
// before the first one: largest - largest must be 0.
struct RowStates {
  float* sums;     // [queries][D], not yet divided by total
  float* largest;  // [queries] maximum so far
  float* total;    // [queries] sum of probabilities relative to it; 0: nothing seen
};
constexpr float kNoScore = -3e38F;

// A call's working memory, in args.scratch (attention_scratch_bytes).
struct AttentionScratch {
  float* tile;       // 2 * kPageTokens * D floats for the way of computing
  float* unpacked;   // kPageTokens * D / 2 floats: values of two pages of kQ4 as int8
  float* q;          // [queries][D], as the way of computing wants them
  float* q_scales;   // [queries][D/16]
  float* weights;    // [queries][32]
  float* shrink;     // [queries] factor that a page or block puts on the earlier sums
  RowStates span;    // of the span being computed
  RowStates joined;  // of the spans before
};

PARING_INLINE AttentionScratch place_scratch(const AttentionArgs& args) {
  float* next = reinterpret_cast<float*>(args.scratch);
  const auto take = [&](std::size_t floats) {
    float* piece = next;
    next += (floats + 15) / 16 * 16;
    return piece;
  };
  const std::size_t rows = args.queries * args.head_width;
  AttentionScratch scratch{};
  scratch.tile = take(2 * kPageTokens * args.head_width);
  scratch.unpacked = take(kPageTokens * args.head_width / 2);
  scratch.q = take(rows);
  scratch.q_scales = take(rows / kCacheGroupValues);
  scratch.weights = take(args.queries * kPageTokens);
  scratch.shrink = take(args.queries);
  scratch.span = {take(rows), take(args.queries), take(args.queries)};
  scratch.joined = {take(rows), take(args.queries), take(args.queries)};
  return scratch;
}

// Slots before `position` of the `count` slots whose first position is `first`.
PARING_INLINE std::size_t slots_before(std::size_t position, std::size_t first, std::size_t count) {
  if (position <= first) return 0;
  return position - first < count ? position - first : count;
}

// First position that a query sees whose last one is visible - 1.
PARING_INLINE std::size_t window_begin(const AttentionArgs& args, std::size_t visible) {
  return args.window != 0 && visible > args.window ? visible - args.window : 0;
}

// Slots [begin, end) of consecutive pages that a row sees.
struct Slots {
  std::size_t begin;
  std::size_t end;
  bool empty() const { return begin >= end; }
};

// Of the `count` slots from position `first` on.
PARING_INLINE Slots slots_of(const AttentionArgs& args, std::size_t row, std::size_t first,
                             std::size_t count) {
  const std::size_t visible = args.visible[row];
  return {slots_before(window_begin(args, visible), first, count),
          slots_before(visible, first, count)};
}

// a in the lanes that stand for the slots seen, of the 16 from `offset` on; b elsewhere.
PARING_INLINE F32x16 select_seen(Slots slots, std::size_t offset, F32x16 a, F32x16 b) {
  const std::size_t end = slots.end < offset ? 0 : slots.end - offset;
  a = select_first(end < kLanes ? end : kLanes, a, b);
  if (slots.begin <= offset) return a;
  const std::size_t begin = slots.begin - offset;
  return select_first(begin < kLanes ? begin : kLanes, b, a);
}

// The scores of 16 slots from `offset` on: scaled, capped, and -inf where the query sees nothing,
// unless it sees them all.
PARING_INLINE F32x16 masked_scores(const AttentionArgs& args, const float* products, Slots slots,
                                   std::size_t offset, bool sees_all = false) {
  F32x16 scores = mul(load(products + offset), broadcast(args.scale));
  if (args.soft_cap > 0) scores = capped(scores, broadcast(args.soft_cap));
  return sees_all ? scores : select_seen(slots, offset, scores, broadcast(-__builtin_inff()));
}

PARING_INLINE void clear(const RowStates& states, std::size_t row, std::size_t width) {
  for (std::size_t d = 0; d < width; d += kLanes) store(states.sums + row * width + d, zero());
  states.largest[row] = kNoScore;
  states.total[row] = 0;
}

// Adds a span's state (sums [D], largest, total) to that of the spans before it.
PARING_INLINE void join(const float* sums, float largest, float total, std::size_t width,
                        float* joined_sums, float* joined_largest, float* joined_total) {
  if (total == 0) return;
  const bool is_first = *joined_total == 0;
  const bool is_larger = largest > *joined_largest;
  // One of the two factors is 1; the other is exp of what the maxima differ by.
  float lower[kLanes];
  const float apart = is_larger ? *joined_largest - largest : largest - *joined_largest;
  store(lower, exp_of_negative(broadcast(apart)));
  const float shrink = is_larger ? lower[0] : 1.0F;
  const float grow = is_larger ? 1.0F : lower[0];
  for (std::size_t d = 0; d < width; d += kLanes) {
    const F32x16 added = load(sums + d);
    store(joined_sums + d,
          is_first ? added
                   : fma(added, broadcast(grow), mul(load(joined_sums + d), broadcast(shrink))));
  }
  *joined_total = is_first ? total : total * grow + *joined_total * shrink;
  if (is_larger) *joined_largest = largest;
}

PARING_INLINE void finish(const float* sums, float total, std::size_t width, float* out) {
  const F32x16 divisor = broadcast(total == 0 ? 1.0F : total);  // NaN stays
  for (std::size_t d = 0; d < width; d += kLanes) store(out + d, div(load(sums + d), divisor));
}

}  // namespace
}  // namespace paring::kernels
