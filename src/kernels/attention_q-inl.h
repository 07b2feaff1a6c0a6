// SPDX-License-Identifier: Apache-2.0
// Attention over pages of int8, or of int8 keys and int4 values, in integers: queries and
// probabilities become int16 with scales, pairs of products are added in int32, and the cache is
// never decoded to f32. Exact up to the rounding that ops.h tells. Blocks of pages share a softmax
// step. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

constexpr std::size_t kBlockPages = 2;
constexpr std::size_t kBlockTokens = kBlockPages * kPageTokens;
constexpr std::size_t kBlockVectors = kBlockTokens / kLanes;
static_assert(kSpanTokens % kBlockTokens == 0, "a block must not reach over two spans");

// Of queries, of probabilities and of ratios of scales; the product of the last two is divided by
// 2^15.
constexpr float kCodeMax = 32767;
constexpr float kProductUnit = 32768.0F / (kCodeMax * kCodeMax);
constexpr float kLeastScale = 1e-30F;
// int32 sums: 16 products of a query and a key, a block's products of probabilities and values.
static_assert(16 * 127.0 * kCodeMax < 2147483647.0);
static_assert(kBlockTokens * 127.0 * kCodeMax < 2147483647.0);

// Scales of a block's values relative to the largest of each group: [D/16][kBlockTokens] ratios,
// kCodeMax for the largest, and [D/16] what a product of codes is worth.
struct ValueScales {
  std::int16_t* ratios;
  float* units;
};

// Working memory of a tile of rows, in scratch.tile.
struct PairTile {
  float* scores;        // [kPairTileRows][kBlockTokens]
  float* units;         // [kPairTileRows][D/16] worth of a row's products
  ValueScales whole;    // of all slots of the block
  ValueScales partial;  // of the slots that a row sees
  std::int16_t* codes;  // [kPairTileRows][D/16][kBlockTokens] probabilities
};

PARING_INLINE PairTile place_tile(const AttentionArgs& args, const AttentionScratch& scratch) {
  const std::size_t groups = args.head_width / kLanes;
  PairTile tile{};
  float* next = scratch.tile;
  const auto take = [&](std::size_t floats) {
    float* piece = next;
    next += floats;
    return piece;
  };
  const auto take_codes = [&](std::size_t count) {
    return reinterpret_cast<std::int16_t*>(take(count / 2));
  };
  tile.scores = take(kPairTileRows * kBlockTokens);
  tile.units = take(kPairTileRows * groups);
  tile.whole.units = take(groups);
  tile.partial.units = take(groups);
  tile.whole.ratios = take_codes(groups * kBlockTokens);
  tile.partial.ratios = take_codes(groups * kBlockTokens);
  tile.codes = take_codes(kPairTileRows * groups * kBlockTokens);
  return tile;
}
// The memory that scratch.tile has (place_scratch) suffices at every width from 32 on: left the
// floats that grow with the groups, right those of a page.
static_assert(kPairTileRows * kBlockTokens +
                  2 * (kPairTileRows + 2 + (kPairTileRows + 2) * kBlockTokens / 2) <=
              2 * kPageTokens * 32);

// The pages of a block that hold what any row sees.
struct PageBlock {
  std::size_t first;  // position
  std::size_t pages_begin;
  std::size_t pages_end;
  PagePlanes<std::int8_t> pages[kBlockPages];
};

// The values as kQ8 lays them out, in memory of the call: once for all its queries.
PARING_INLINE PagePlanes<std::int8_t> unpack_values(const NibblePage& page, std::size_t width,
                                                    std::int8_t* codes) {
  constexpr int kZero = 8;
  const std::size_t half = width / 2;
  for (std::size_t t = 0; t < kPageTokens; t += 2) {
    const std::uint8_t* even = page.values + t * half;
    const std::uint8_t* odd = even + half;
    std::int8_t* low = codes + t * width;
    std::int8_t* high = low + width;
    for (std::size_t d = 0; d < half; ++d) {
      low[2 * d] = static_cast<std::int8_t>((even[d] & 15) - kZero);
      low[2 * d + 1] = static_cast<std::int8_t>((odd[d] & 15) - kZero);
      high[2 * d] = static_cast<std::int8_t>((even[d] >> 4) - kZero);
      high[2 * d + 1] = static_cast<std::int8_t>((odd[d] >> 4) - kZero);
    }
  }
  return {page.keys, codes, page.key_scales, page.value_scales};
}

PARING_INLINE PageBlock block_at(const AttentionArgs& args, const AttentionScratch& scratch,
                                 std::size_t first, std::size_t begin, std::size_t end) {
  PageBlock block{};
  block.first = first;
  block.pages_begin = slots_before(begin, first, kBlockTokens) / kPageTokens;
  block.pages_end = (slots_before(end, first, kBlockTokens) + kPageTokens - 1) / kPageTokens;
  for (std::size_t p = block.pages_begin; p < block.pages_end; ++p) {
    const std::byte* page = args.pages[first / kPageTokens + p - args.first_page];
    auto* codes =
        reinterpret_cast<std::int8_t*>(scratch.unpacked) + p * kPageTokens * args.head_width;
    block.pages[p] = args.type == KvType::kQ8 ? page_planes<std::int8_t>(page, args.head_width)
                                              : unpack_values(nibble_page(page, args.head_width),
                                                              args.head_width, codes);
  }
  return block;
}

// The queries as codes [queries][D] in scratch.q, with a scale for 16.
PARING_INLINE void prepare_queries_q(const AttentionArgs& args, const AttentionScratch& scratch) {
  const std::size_t width = args.head_width;
  auto* codes = reinterpret_cast<std::int16_t*>(scratch.q);
  for (std::size_t i = 0; i < args.queries * width; i += kLanes) {
    const F32x16 q = load(args.q[i / width] + i % width);
    const float largest = reduce_max(abs(q));
    const F32x16 ratio = div(q, broadcast(largest > 0 ? largest : 1.0F));
    store_s16(codes + i, round_i32(mul(ratio, broadcast(kCodeMax))));
    // 0, or NaN when a query is not finite: codes alone would hide it.
    const float poison = reduce_add(sub(q, q));
    scratch.q_scales[i / kLanes] = largest * (1.0F / kCodeMax) + poison;
  }
}

// Slots that no row may see count as 0, whatever they hold.
PARING_INLINE void relate_values(const AttentionArgs& args, const PageBlock& block, Slots slots,
                                 const ValueScales& out) {
  for (std::size_t g = 0; g < args.head_width / kLanes; ++g) {
    F32x16 scales[kBlockVectors];
    F32x16 largest = zero();
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kBlockVectors; ++i) {
      const std::size_t page = i * kLanes / kPageTokens;
      scales[i] = zero();
      if (page < block.pages_begin || page >= block.pages_end) continue;
      const std::size_t offset = g * kPageTokens + i * kLanes % kPageTokens;
      scales[i] = select_seen(slots, i * kLanes, load_bf16(block.pages[page].value_scales + offset),
                              zero());
      largest = max(largest, scales[i]);
    }
    const float limit = reduce_max(largest);
    // Values below kLeastScale count as 0: what they are divided by must stay a number.
    const F32x16 inverse = broadcast(limit > kLeastScale ? kCodeMax / limit : 0.0F);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kBlockVectors; i += 2) {
      store_pairs(
          out.ratios + g * kBlockTokens + i * kLanes,
          low_halves(round_i32(mul(scales[i], inverse)), round_i32(mul(scales[i + 1], inverse))));
    }
    out.units[g] = limit * kProductUnit;
  }
}

// tile.scores of kRows queries from `row` on against the keys of one page of the block.
template <int kRows>
PARING_INLINE void score_page(const AttentionArgs& args, const AttentionScratch& scratch,
                              const PagePlanes<std::int8_t>& page, std::size_t row, float* scores) {
  const std::size_t width = args.head_width;
  const auto* q = reinterpret_cast<const std::int16_t*>(scratch.q) + row * width;
  const float* q_scales = scratch.q_scales + row * (width / kLanes);
  for (std::size_t column = 0; column < kPageTokens; column += kPairTileColumns * kLanes) {
    F32x16 sums[kRows][kPairTileColumns];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPairTileColumns; ++c) sums[r][c] = zero();
    }
    for (std::size_t g = 0; g < width / kLanes; ++g) {
      I32x16 products[kRows][kPairTileColumns];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < kPairTileColumns; ++c) products[r][c] = zero_i32();
      }
#pragma GCC unroll 8
      for (std::size_t d = g * kLanes; d < (g + 1) * kLanes; d += 2) {
        Pairs keys[kPairTileColumns];
#pragma GCC unroll 4
        for (int c = 0; c < kPairTileColumns; ++c) {
          keys[c] = load_pairs(page.keys + d * kPageTokens + 2 * (column + c * kLanes));
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const Pairs pair = broadcast_pair(q + static_cast<std::size_t>(r) * width + d);
#pragma GCC unroll 4
          for (int c = 0; c < kPairTileColumns; ++c) {
            products[r][c] = add_pair_products(keys[c], pair, products[r][c]);
          }
        }
      }
#pragma GCC unroll 4
      for (int c = 0; c < kPairTileColumns; ++c) {
        const F32x16 scale = load_bf16(page.key_scales + g * kPageTokens + column + c * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const F32x16 unit =
              mul(scale, broadcast(q_scales[static_cast<std::size_t>(r) * (width / kLanes) + g]));
          sums[r][c] = fma(unit, to_f32(products[r][c]), sums[r][c]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPairTileColumns; ++c) {
        store(scores + static_cast<std::size_t>(r) * kBlockTokens + column + c * kLanes,
              sums[r][c]);
      }
    }
  }
}

// Row r of the tile, row `row` of the call: scores to codes of probabilities, and the row's maximum
// and total.
PARING_INLINE void soften_block(const AttentionArgs& args, const AttentionScratch& scratch,
                                const PairTile& tile, const PageBlock& block, std::size_t row,
                                std::size_t r) {
  const std::size_t groups = args.head_width / kLanes;
  const Slots slots = slots_of(args, row, block.first, kBlockTokens);
  const float* raw = tile.scores + r * kBlockTokens;
  const bool is_whole = slots.begin == 0 && slots.end == kBlockTokens;
  F32x16 p[kBlockVectors];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlockVectors; ++i) {
    p[i] = masked_scores(args, raw, slots, i * kLanes, is_whole);
  }
  F32x16 top = p[0];
#pragma GCC unroll 8
  for (std::size_t i = 1; i < kBlockVectors; ++i) top = max(top, p[i]);
  const float largest = reduce_max(top);
  const F32x16 base = broadcast(largest > kNoScore ? largest : 0.0F);
  F32x16 total = zero();
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlockVectors; ++i) {
    p[i] = exp_of_negative(sub(p[i], base));
    total = add(total, p[i]);
  }
  // Probabilities are relative to the block's own maximum, so that all 15 bits count. One of the
  // factors is 1; the other is exp of what the maxima differ by.
  const float before = scratch.span.largest[row];
  const bool is_larger = largest > before;
  float lower[kLanes];
  store(lower, exp_of_negative(broadcast(is_larger ? before - largest : largest - before)));
  const float shrink = is_larger ? lower[0] : 1.0F;
  const float grow = is_larger ? 1.0F : lower[0];
  scratch.shrink[row] = shrink;
  scratch.span.total[row] = reduce_add(total) * grow + scratch.span.total[row] * shrink;
  if (is_larger) scratch.span.largest[row] = largest;

  Pairs whole_codes[kBlockVectors / 2];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlockVectors; i += 2) {
    whole_codes[i / 2] = low_halves(round_i32(mul(p[i], broadcast(kCodeMax))),
                                    round_i32(mul(p[i + 1], broadcast(kCodeMax))));
  }
  const ValueScales& values = is_whole ? tile.whole : tile.partial;
  if (!is_whole) relate_values(args, block, slots, tile.partial);
  for (std::size_t g = 0; g < groups; ++g) {
    const std::int16_t* ratios = values.ratios + g * kBlockTokens;
    std::int16_t* codes = tile.codes + (r * groups + g) * kBlockTokens;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kBlockVectors / 2; ++i) {
      const std::size_t at = 2 * i * kLanes;
      store_pairs(codes + at, mul_fraction(whole_codes[i], load_pairs(ratios + at)));
    }
    tile.units[r * groups + g] = values.units[g] * grow;
  }
}

// sums = shrink * sums + probabilities x values over the pages of the block.
template <int kRows>
PARING_INLINE void mix_block(const AttentionArgs& args, const AttentionScratch& scratch,
                             const PairTile& tile, const PageBlock& block, std::size_t row) {
  const std::size_t width = args.head_width;
  const std::size_t groups = width / kLanes;
  for (std::size_t g = 0; g < groups; g += kPairTileColumns) {
    I32x16 products[kRows][kPairTileColumns];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kPairTileColumns; ++c) products[r][c] = zero_i32();
    }
    for (std::size_t p = block.pages_begin; p < block.pages_end; ++p) {
      const std::int8_t* page = block.pages[p].values + 2 * g * kLanes;
      const std::int16_t* codes = tile.codes + g * kBlockTokens + p * kPageTokens;
#pragma GCC unroll 4
      for (std::size_t t = 0; t < kPageTokens; t += 2) {
        Pairs values[kPairTileColumns];
#pragma GCC unroll 4
        for (int c = 0; c < kPairTileColumns; ++c) {
          values[c] = load_pairs(page + t * width + 2 * c * kLanes);
        }
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
          for (int c = 0; c < kPairTileColumns; ++c) {
            const std::size_t at = (static_cast<std::size_t>(r) * groups + c) * kBlockTokens + t;
            products[r][c] =
                add_pair_products(values[c], broadcast_pair(codes + at), products[r][c]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      float* sums = scratch.span.sums + (row + r) * width + g * kLanes;
      const F32x16 shrink = broadcast(scratch.shrink[row + r]);
#pragma GCC unroll 4
      for (int c = 0; c < kPairTileColumns; ++c) {
        const float unit = tile.units[static_cast<std::size_t>(r) * groups + g + c];
        store(sums + c * kLanes,
              fma(to_f32(products[r][c]), broadcast(unit), mul(load(sums + c * kLanes), shrink)));
      }
    }
  }
}

template <int kRows>
PARING_NOINLINE void attend_tile(const AttentionArgs& args, const AttentionScratch& scratch,
                                 const PairTile& tile, const PageBlock& block, std::size_t row) {
  for (std::size_t p = block.pages_begin; p < block.pages_end; ++p) {
    score_page<kRows>(args, scratch, block.pages[p], row, tile.scores + p * kPageTokens);
  }
  for (std::size_t r = 0; r < kRows; ++r) soften_block(args, scratch, tile, block, row + r, r);
  mix_block<kRows>(args, scratch, tile, block, row);
}

// Asks for the pages of the block after `first`: they lie anywhere in memory, where no hardware
// prefetcher finds them.
PARING_INLINE void prefetch_block(const AttentionArgs& args, std::size_t first, std::size_t end) {
  const std::size_t keys = kPageTokens * args.head_width;
  const std::size_t values = args.type == KvType::kQ8 ? keys : keys / 2;
  const std::size_t bytes = keys + values + keys / 4;
  for (std::size_t p = 0; p < kBlockPages; ++p) {
    const std::size_t position = first + p * kPageTokens;
    if (position >= end) return;
    const std::byte* page = args.pages[position / kPageTokens - args.first_page];
    for (std::size_t i = 0; i < bytes; i += 64) prefetch(page + i);
  }
}

PARING_INLINE void attend_pages_q(const AttentionArgs& args, const AttentionScratch& scratch,
                                  std::size_t begin, std::size_t end) {
  const PairTile tile = place_tile(args, scratch);
  for (std::size_t first = begin / kBlockTokens * kBlockTokens; first < end;
       first += kBlockTokens) {
    const PageBlock block = block_at(args, scratch, first, begin, end);
    prefetch_block(args, first + kBlockTokens, end);
    bool has_whole = false;
    for (std::size_t row = 0; row < args.queries; ++row) {
      const Slots slots = slots_of(args, row, first, kBlockTokens);
      has_whole = has_whole || (slots.begin == 0 && slots.end == kBlockTokens);
    }
    if (has_whole) relate_values(args, block, {0, kBlockTokens}, tile.whole);
    for (std::size_t row = 0; row < args.queries;) {
      const std::size_t rows = next_tile(args.queries - row, kPairTileRows);
      bool sees = false;
      for (std::size_t r = row; r < row + rows; ++r) {
        sees = sees || !slots_of(args, r, first, kBlockTokens).empty();
      }
      if (sees) {
        with_count<kPairTileRows>(
            rows, [&]<int kRows>() { attend_tile<kRows>(args, scratch, tile, block, row); });
      }
      row += rows;
    }
  }
}

}  // namespace
}  // namespace paring::kernels
