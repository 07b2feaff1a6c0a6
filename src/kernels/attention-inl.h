// SPDX-License-Identifier: Apache-2.0
// Attention over pages of 32 cached tokens (layout: ops.h), with the online softmax of
// FlashAttention (arXiv:2205.14135, algorithm 1) page by page: a page's keys and values are decoded
// to f32 once for all queries of the call. A query's result depends on its own pages and on nothing
// else, because every sum has a fixed order and masked tokens add exact zeros. Included by the ISA
// tables alone.
#pragma once

namespace paring::kernels {
namespace {

static_assert(kCacheGroupValues == kLanes);

// The planes of a page, by type.
template <class Value>
struct PagePlanes {
  const Value* keys;                  // [D][32]
  const Value* values;                // [32][D]
  const std::uint16_t* key_scales;    // kQ8: bf16 [D/16][32]
  const std::uint16_t* value_scales;  // kQ8: bf16 [32][D/16]
};

template <class Value>
PARING_INLINE PagePlanes<Value> page_planes(const std::byte* page, std::size_t width) {
  const std::size_t count = kPageTokens * width;
  const Value* keys = reinterpret_cast<const Value*>(page);
  const auto* scales = reinterpret_cast<const std::uint16_t*>(keys + 2 * count);
  return {keys, keys + count, scales, scales + count / kCacheGroupValues};
}

PARING_INLINE float bf16_value(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// The least bf16 that is not below `value`, which is not negative.
PARING_INLINE std::uint16_t bf16_above(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return static_cast<std::uint16_t>((bits + 0xffffU) >> 16);
}

// One group of the cache: codes and scale, rounded up so that no code leaves [-127, 127].
PARING_INLINE void quantize_cache_group(const float* x, std::int8_t* codes, std::uint16_t* scale) {
  const F32x16 a = load(x);
  *scale = bf16_above(reduce_max(abs(a)) / 127.0F);
  const float divisor = *scale == 0 ? 1.0F : bf16_value(*scale);
  const F32x16 limit = broadcast(*scale == 0 ? 0.0F : 127.0F);
  store_s8(codes, round_i32(max(sub(zero(), limit), min(limit, div(a, broadcast(divisor))))));
}

PARING_INLINE void write_q8(const KvWriteArgs& args) {
  const std::size_t width = args.head_width;
  const PagePlanes<std::int8_t> page = page_planes<std::int8_t>(args.page, width);
  auto* keys = const_cast<std::int8_t*>(page.keys) + args.slot;
  auto* values = const_cast<std::int8_t*>(page.values) + args.slot * width;
  auto* key_scales = const_cast<std::uint16_t*>(page.key_scales) + args.slot;
  auto* value_scales =
      const_cast<std::uint16_t*>(page.value_scales) + args.slot * (width / kCacheGroupValues);
  for (std::size_t g = 0; g < width / kCacheGroupValues; ++g) {
    const std::size_t first = g * kCacheGroupValues;
    std::int8_t codes[kCacheGroupValues];
    quantize_cache_group(args.key + first, codes, &key_scales[g * kPageTokens]);
    for (std::size_t d = 0; d < kCacheGroupValues; ++d) {
      keys[(first + d) * kPageTokens] = codes[d];
    }
    quantize_cache_group(args.value + first, values + first, &value_scales[g]);
  }
}

PARING_INLINE void write_f16(const KvWriteArgs& args) {
  const std::size_t width = args.head_width;
  const PagePlanes<std::uint16_t> page = page_planes<std::uint16_t>(args.page, width);
  auto* keys = const_cast<std::uint16_t*>(page.keys) + args.slot;
  auto* values = const_cast<std::uint16_t*>(page.values) + args.slot * width;
  for (std::size_t d = 0; d < width; d += kLanes) {
    std::uint16_t halves[kLanes];
    store_f16(halves, load(args.key + d));
    for (std::size_t i = 0; i < kLanes; ++i) keys[(d + i) * kPageTokens] = halves[i];
    store_f16(values + d, load(args.value + d));
  }
}

inline void kv_write(const KvWriteArgs& args) noexcept {
  if (args.type == KvType::kQ8) return write_q8(args);
  if (args.type == KvType::kF16) return write_f16(args);
  const PagePlanes<float> page = page_planes<float>(args.page, args.head_width);
  auto* keys = const_cast<float*>(page.keys) + args.slot;
  auto* values = const_cast<float*>(page.values) + args.slot * args.head_width;
  for (std::size_t d = 0; d < args.head_width; ++d) {
    keys[d * kPageTokens] = args.key[d];
    values[d] = args.value[d];
  }
}

// A call's working memory, in args.scratch (attention_scratch_bytes).
struct AttentionScratch {
  float* keys;     // [D][32] decoded
  float* values;   // [32][D] decoded
  float* q;        // [queries][D]
  float* sums;     // [queries][D], not yet divided by total
  float* weights;  // [queries][32]: scores, then probabilities relative to the maximum
  float* largest;  // [queries] maximum so far
  float* total;    // [queries] sum of probabilities so far
  float* shrink;   // [queries] factor that the page put on the earlier sums
};

PARING_INLINE AttentionScratch place_scratch(const AttentionArgs& args) {
  AttentionScratch scratch{};
  const std::size_t page = kPageTokens * args.head_width;
  const std::size_t rows = args.queries * args.head_width;
  scratch.keys = reinterpret_cast<float*>(args.scratch);
  scratch.values = scratch.keys + page;
  scratch.q = scratch.values + page;
  scratch.sums = scratch.q + rows;
  scratch.weights = scratch.sums + rows;
  scratch.largest = scratch.weights + args.queries * kPageTokens;
  scratch.total = scratch.largest + args.queries + 16;
  scratch.shrink = scratch.total + args.queries + 16;
  return scratch;
}

// Decodes the page into scratch; only the first `count` values, as later slots may hold anything
// and 0 * NaN would spread. Keys of such slots only reach scores that are masked.
PARING_INLINE void decode_page(const AttentionArgs& args, const std::byte* page, std::size_t count,
                               const AttentionScratch& scratch) {
  const std::size_t width = args.head_width;
  if (args.type == KvType::kF16) {
    const auto planes = page_planes<std::uint16_t>(page, width);
    for (std::size_t i = 0; i < kPageTokens * width; i += kLanes) {
      store(scratch.keys + i, load_f16(planes.keys + i));
    }
    for (std::size_t i = 0; i < count * width; i += kLanes) {
      store(scratch.values + i, load_f16(planes.values + i));
    }
    return;
  }
  const auto planes = page_planes<std::int8_t>(page, width);
  constexpr std::size_t kGroupBytes = kCacheGroupValues * kPageTokens;
  for (std::size_t g = 0; g < width / kCacheGroupValues; ++g) {
    const F32x16 scale_a = load_bf16(planes.key_scales + g * kPageTokens);
    const F32x16 scale_b = load_bf16(planes.key_scales + g * kPageTokens + kLanes);
    for (std::size_t i = g * kGroupBytes; i < (g + 1) * kGroupBytes; i += kPageTokens) {
      store(scratch.keys + i, mul(load_s8(planes.keys + i), scale_a));
      store(scratch.keys + i + kLanes, mul(load_s8(planes.keys + i + kLanes), scale_b));
    }
  }
  for (std::size_t g = 0; g < count * width / kCacheGroupValues; ++g) {
    const F32x16 scale = broadcast(bf16_value(planes.value_scales[g]));
    store(scratch.values + g * kLanes, mul(load_s8(planes.values + g * kLanes), scale));
  }
}

// Vectors of 16 in a tile of kRows queries: as wide as the 32 tokens of a page allow.
constexpr int kAttentionColumns = tile_columns(kFloatTileRows);

// Slots before `position` of the page whose first position is `first`.
PARING_INLINE std::size_t slots_before(std::size_t position, std::size_t first) {
  if (position <= first) return 0;
  return position - first < kPageTokens ? position - first : kPageTokens;
}

// First position that a query sees whose last one is visible - 1.
PARING_INLINE std::size_t window_begin(const AttentionArgs& args, std::size_t visible) {
  return args.window != 0 && visible > args.window ? visible - args.window : 0;
}

// Slots [begin, end) of a page that a query sees.
struct Slots {
  std::size_t begin;
  std::size_t end;
};

PARING_INLINE Slots slots_of(const AttentionArgs& args, std::size_t row, std::size_t first) {
  const std::size_t visible = args.visible[row];
  return {slots_before(window_begin(args, visible), first), slots_before(visible, first)};
}

// The scores of 16 slots from `offset` on: scaled, capped, and -inf where the query sees nothing.
PARING_INLINE F32x16 masked_scores(const AttentionArgs& args, const float* products, Slots slots,
                                   std::size_t offset) {
  const F32x16 lowest = broadcast(-__builtin_inff());
  F32x16 scores = mul(load(products + offset), broadcast(args.scale));
  if (args.soft_cap > 0) scores = capped(scores, broadcast(args.soft_cap));
  const std::size_t end = slots.end < offset ? 0 : slots.end - offset;
  scores = select_first(end < kLanes ? end : kLanes, scores, lowest);
  if (slots.begin <= offset) return scores;
  const std::size_t begin = slots.begin - offset;
  return select_first(begin < kLanes ? begin : kLanes, lowest, scores);
}

// Turns a row of raw dot products into probabilities and updates the row's maximum and total.
PARING_INLINE void soften(const AttentionArgs& args, const AttentionScratch& scratch,
                          std::size_t row, Slots slots) {
  float* weights = scratch.weights + row * kPageTokens;
  const F32x16 a = masked_scores(args, weights, slots, 0);
  const F32x16 b = masked_scores(args, weights, slots, kLanes);
  const float before = scratch.largest[row];
  const float page_largest = reduce_max(max(a, b));
  const float largest = page_largest > before ? page_largest : before;
  const F32x16 p_a = exp(sub(a, broadcast(largest)));
  const F32x16 p_b = exp(sub(b, broadcast(largest)));
  store(weights, p_a);
  store(weights + kLanes, p_b);
  float shrink[kLanes];
  store(shrink, exp(broadcast(before - largest)));
  scratch.largest[row] = largest;
  scratch.shrink[row] = shrink[0];
  scratch.total[row] = scratch.total[row] * shrink[0] + reduce_add(add(p_a, p_b));
}

// Scores of kRows queries from `row` on against the 32 keys of a page.
template <int kRows>
PARING_NOINLINE void score_rows(const AttentionArgs& args, const AttentionScratch& scratch,
                                const float* keys, std::size_t row) {
  const std::size_t width = args.head_width;
  for (std::size_t column = 0; column < kPageTokens; column += kAttentionColumns * kLanes) {
    F32x16 sums[kRows][kAttentionColumns];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kAttentionColumns; ++c) sums[r][c] = zero();
    }
    add_products<F32, kRows, kAttentionColumns>(scratch.q + row * width, width, keys + column,
                                                kPageTokens, kLanes, width, sums);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kAttentionColumns; ++c) {
        store(scratch.weights + (row + r) * kPageTokens + column + c * kLanes, sums[r][c]);
      }
    }
  }
}

// sums = shrink * sums + weights x values over the first `count` tokens of the page.
template <int kRows>
PARING_NOINLINE void mix_rows(const AttentionArgs& args, const AttentionScratch& scratch,
                              const float* values, std::size_t row, std::size_t count) {
  const std::size_t width = args.head_width;
  for (std::size_t column = 0; column < width; column += kAttentionColumns * kLanes) {
    F32x16 sums[kRows][kAttentionColumns];
    float* target = scratch.sums + row * width + column;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kAttentionColumns; ++c) {
        sums[r][c] = mul(load(target + static_cast<std::size_t>(r) * width + c * kLanes),
                         broadcast(scratch.shrink[row + r]));
      }
    }
    add_products<F32, kRows, kAttentionColumns>(scratch.weights + row * kPageTokens, kPageTokens,
                                                values + column, width, kLanes, count, sums);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < kAttentionColumns; ++c) {
        store(target + static_cast<std::size_t>(r) * width + c * kLanes, sums[r][c]);
      }
    }
  }
}

// One page for all queries; `first` is its first position, `count` the tokens that any query sees.
PARING_INLINE void attend_page(const AttentionArgs& args, const AttentionScratch& scratch,
                               const float* keys, const float* values, std::size_t first,
                               std::size_t count) {
  for (std::size_t row = 0; row < args.queries;) {
    const std::size_t rows = next_tile(args.queries - row, kFloatTileRows);
    std::size_t seen = 0;  // end of what any of these rows sees
    for (std::size_t r = row; r < row + rows; ++r) {
      const Slots slots = slots_of(args, r, first);
      if (slots.begin < slots.end && slots.end > seen) seen = slots.end;
    }
    if (seen > 0) {
      with_count<kFloatTileRows>(rows, [&]<int kRows>() {
        score_rows<kRows>(args, scratch, keys, row);
        for (std::size_t r = row; r < row + kRows; ++r) {
          soften(args, scratch, r, slots_of(args, r, first));
        }
        mix_rows<kRows>(args, scratch, values, row, seen < count ? seen : count);
      });
    }
    row += rows;
  }
}

inline void attention(const AttentionArgs& args) noexcept {
  const AttentionScratch scratch = place_scratch(args);
  const std::size_t width = args.head_width;
  std::size_t visible_max = 0;
  std::size_t begin_min = static_cast<std::size_t>(-1);
  for (std::size_t row = 0; row < args.queries; ++row) {
    visible_max = args.visible[row] > visible_max ? args.visible[row] : visible_max;
    const std::size_t begin = window_begin(args, args.visible[row]);
    begin_min = begin < begin_min ? begin : begin_min;
    for (std::size_t d = 0; d < width; d += kLanes) {
      store(scratch.q + row * width + d, load(args.q[row] + d));
      store(scratch.sums + row * width + d, zero());
    }
    // Not -inf: before the first page, largest - largest must be 0.
    scratch.largest[row] = -3e38F;
    scratch.total[row] = 0;
  }
  for (std::size_t first = begin_min / kPageTokens * kPageTokens; first < visible_max;
       first += kPageTokens) {
    const std::byte* page = args.pages[first / kPageTokens - args.first_page];
    const std::size_t count = slots_before(visible_max, first);
    const float* keys = scratch.keys;
    const float* values = scratch.values;
    if (args.type == KvType::kF32) {
      const auto planes = page_planes<float>(page, width);
      keys = planes.keys;
      values = planes.values;
    } else {
      decode_page(args, page, count, scratch);
    }
    attend_page(args, scratch, keys, values, first, count);
  }
  for (std::size_t row = 0; row < args.queries; ++row) {
    const float total = scratch.total[row];
    const F32x16 divisor = broadcast(total > 0 ? total : 1.0F);
    for (std::size_t d = 0; d < width; d += kLanes) {
      store(args.out[row] + d, div(load(scratch.sums + row * width + d), divisor));
    }
  }
}

}  // namespace
}  // namespace paring::kernels
