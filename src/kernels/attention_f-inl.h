// SPDX-License-Identifier: Apache-2.0
// Attention in f32, page by page: a page's keys and values are decoded once for all queries of the
// call. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Keys [D][32] and values [32][D] of a page.
struct FloatPage {
  const float* keys;
  const float* values;
};

// Decodes only the first `count` values, as later slots may hold anything and 0 * NaN would spread.
// Keys of such slots only reach scores that are masked.
PARING_INLINE FloatPage decode_page(const AttentionArgs& args, const std::byte* page,
                                    std::size_t count, const AttentionScratch& scratch) {
  const std::size_t width = args.head_width;
  if (args.type == KvType::kF32) {
    const auto planes = page_planes<float>(page, width);
    return {planes.keys, planes.values};
  }
  const auto planes = page_planes<std::uint16_t>(page, width);
  float* keys = scratch.tile;
  float* values = keys + kPageTokens * width;
  const bool is_half = args.type == KvType::kF16;
  for (std::size_t i = 0; i < kPageTokens * width; i += kLanes) {
    store(keys + i, is_half ? load_f16(planes.keys + i) : load_bf16(planes.keys + i));
  }
  for (std::size_t i = 0; i < count * width; i += kLanes) {
    store(values + i, is_half ? load_f16(planes.values + i) : load_bf16(planes.values + i));
  }
  return {keys, values};
}

// Vectors of 16 in a tile of kRows queries: as wide as the 32 tokens of a page allow.
constexpr int kAttentionColumns = tile_columns(kFloatTileRows);

// Turns a row of raw dot products into probabilities and updates the row's maximum and total.
PARING_INLINE void soften(const AttentionArgs& args, const AttentionScratch& scratch,
                          std::size_t row, Slots slots) {
  float* weights = scratch.weights + row * kPageTokens;
  const F32x16 a = masked_scores(args, weights, slots, 0);
  const F32x16 b = masked_scores(args, weights, slots, kLanes);
  const float before = scratch.span.largest[row];
  const float page_largest = reduce_max(max(a, b));
  const float largest = page_largest > before ? page_largest : before;
  const F32x16 p_a = exp(sub(a, broadcast(largest)));
  const F32x16 p_b = exp(sub(b, broadcast(largest)));
  store(weights, p_a);
  store(weights + kLanes, p_b);
  float shrink[kLanes];
  store(shrink, exp(broadcast(before - largest)));
  scratch.span.largest[row] = largest;
  scratch.shrink[row] = shrink[0];
  scratch.span.total[row] = scratch.span.total[row] * shrink[0] + reduce_add(add(p_a, p_b));
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
    float* target = scratch.span.sums + row * width + column;
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
                               const FloatPage& page, std::size_t first, std::size_t count) {
  for (std::size_t row = 0; row < args.queries;) {
    const std::size_t rows = next_tile(args.queries - row, kFloatTileRows);
    std::size_t seen = 0;  // end of what any of these rows sees
    for (std::size_t r = row; r < row + rows; ++r) {
      const Slots slots = slots_of(args, r, first, kPageTokens);
      if (!slots.empty() && slots.end > seen) seen = slots.end;
    }
    if (seen > 0) {
      with_count<kFloatTileRows>(rows, [&]<int kRows>() {
        score_rows<kRows>(args, scratch, page.keys, row);
        for (std::size_t r = row; r < row + kRows; ++r) {
          soften(args, scratch, r, slots_of(args, r, first, kPageTokens));
        }
        mix_rows<kRows>(args, scratch, page.values, row, seen < count ? seen : count);
      });
    }
    row += rows;
  }
}

PARING_INLINE void attend_pages_f(const AttentionArgs& args, const AttentionScratch& scratch,
                                  std::size_t begin, std::size_t end) {
  for (std::size_t first = begin / kPageTokens * kPageTokens; first < end; first += kPageTokens) {
    const std::size_t count = slots_before(end, first, kPageTokens);
    const std::byte* page = args.pages[first / kPageTokens - args.first_page];
    attend_page(args, scratch, decode_page(args, page, count, scratch), first, count);
  }
}

PARING_INLINE void prepare_queries_f(const AttentionArgs& args, const AttentionScratch& scratch) {
  const std::size_t width = args.head_width;
  for (std::size_t row = 0; row < args.queries; ++row) {
    for (std::size_t d = 0; d < width; d += kLanes) {
      store(scratch.q + row * width + d, load(args.q[row] + d));
    }
  }
}

}  // namespace
}  // namespace paring::kernels
