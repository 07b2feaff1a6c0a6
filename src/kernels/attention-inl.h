// SPDX-License-Identifier: Apache-2.0
// kv_write and attention over pages of 32 cached tokens (layout and contract: ops.h). A query's
// result depends on its own pages and on nothing else, because every sum has a fixed order, spans
// and blocks lie at fixed positions, and masked tokens add exact zeros. Included by the ISA tables
// alone.
#pragma once

namespace paring::kernels {
namespace {

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

// Keys of kQ8 and kQ4.
PARING_INLINE void write_key_codes(const KvWriteArgs& args, std::int8_t* keys,
                                   std::uint16_t* scales) {
  for (std::size_t first = 0; first < args.head_width; first += kCacheGroupValues) {
    std::int8_t codes[kCacheGroupValues];
    quantize_cache_group(args.key + first, codes,
                         &scales[first / kCacheGroupValues * kPageTokens + args.slot]);
    for (std::size_t d = 0; d < kCacheGroupValues; d += 2) {
      __builtin_memcpy(keys + (first + d) * kPageTokens + 2 * args.slot, codes + d, 2);
    }
  }
}

PARING_INLINE void write_q8(const KvWriteArgs& args) {
  const std::size_t width = args.head_width;
  const PagePlanes<std::int8_t> page = page_planes<std::int8_t>(args.page, width);
  write_key_codes(args, const_cast<std::int8_t*>(page.keys),
                  const_cast<std::uint16_t*>(page.key_scales));
  auto* values = const_cast<std::int8_t*>(page.values) + args.slot / 2 * 2 * width + args.slot % 2;
  auto* scales = const_cast<std::uint16_t*>(page.value_scales) + args.slot;
  for (std::size_t first = 0; first < width; first += kCacheGroupValues) {
    std::int8_t codes[kCacheGroupValues];
    quantize_cache_group(args.value + first, codes,
                         &scales[first / kCacheGroupValues * kPageTokens]);
    for (std::size_t d = 0; d < kCacheGroupValues; ++d) values[2 * (first + d)] = codes[d];
  }
}

// The same with 16 steps: the side that reaches furthest decides.
PARING_INLINE void quantize_cache_group_q4(const float* x, std::int8_t* codes,
                                           std::uint16_t* scale) {
  const F32x16 a = load(x);
  const float above = reduce_max(a) / 7.0F;
  const float below = reduce_max(sub(zero(), a)) / 8.0F;
  *scale = bf16_above(above > below ? above : below);
  const float divisor = *scale == 0 ? 1.0F : bf16_value(*scale);
  const F32x16 least = broadcast(*scale == 0 ? 0.0F : -8.0F);
  const F32x16 most = broadcast(*scale == 0 ? 0.0F : 7.0F);
  store_s8(codes, round_i32(max(least, min(most, div(a, broadcast(divisor))))));
}

PARING_INLINE std::uint8_t nibbles(std::int8_t low, std::int8_t high) {
  return static_cast<std::uint8_t>((low + 8) | (high + 8) << 4);
}

PARING_INLINE void write_q4(const KvWriteArgs& args) {
  const std::size_t half = args.head_width / 2;
  const NibblePage page = nibble_page(args.page, args.head_width);
  write_key_codes(args, const_cast<std::int8_t*>(page.keys),
                  const_cast<std::uint16_t*>(page.key_scales));
  auto* values = const_cast<std::uint8_t*>(page.values) + args.slot * half;
  auto* scales = const_cast<std::uint16_t*>(page.value_scales) + args.slot;
  for (std::size_t first = 0; first < half; first += kCacheGroupValues) {
    std::int8_t low[kCacheGroupValues];
    std::int8_t high[kCacheGroupValues];
    const std::size_t group = first / kCacheGroupValues;
    quantize_cache_group_q4(args.value + first, low, &scales[group * kPageTokens]);
    quantize_cache_group_q4(args.value + half + first, high,
                            &scales[(group + half / kCacheGroupValues) * kPageTokens]);
    for (std::size_t d = 0; d < kCacheGroupValues; ++d) {
      values[first + d] = nibbles(low[d], high[d]);
    }
  }
}

// The nearest bf16, ties to even; NaN stays one.
PARING_INLINE std::uint16_t nearest_bf16(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

PARING_INLINE void write_bf16(const KvWriteArgs& args) {
  const std::size_t width = args.head_width;
  const PagePlanes<std::uint16_t> page = page_planes<std::uint16_t>(args.page, width);
  auto* keys = const_cast<std::uint16_t*>(page.keys) + args.slot;
  auto* values = const_cast<std::uint16_t*>(page.values) + args.slot * width;
  for (std::size_t d = 0; d < width; ++d) {
    keys[d * kPageTokens] = nearest_bf16(args.key[d]);
    values[d] = nearest_bf16(args.value[d]);
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
  if (args.type == KvType::kQ4) return write_q4(args);
  if (args.type == KvType::kF16) return write_f16(args);
  if (args.type == KvType::kBF16) return write_bf16(args);
  const PagePlanes<float> page = page_planes<float>(args.page, args.head_width);
  auto* keys = const_cast<float*>(page.keys) + args.slot;
  auto* values = const_cast<float*>(page.values) + args.slot * args.head_width;
  for (std::size_t d = 0; d < args.head_width; ++d) {
    keys[d * kPageTokens] = args.key[d];
    values[d] = args.value[d];
  }
}

// Positions that any row sees.
struct Positions {
  std::size_t begin;
  std::size_t end;
};

PARING_INLINE Positions seen_positions(const AttentionArgs& args) {
  Positions seen{static_cast<std::size_t>(-1), 0};
  for (std::size_t row = 0; row < args.queries; ++row) {
    const std::size_t begin = window_begin(args, args.visible[row]);
    seen.begin = begin < seen.begin ? begin : seen.begin;
    seen.end = args.visible[row] > seen.end ? args.visible[row] : seen.end;
  }
  return seen;
}

// The part of a span that any row sees, into scratch.span.
PARING_INLINE void attend_span(const AttentionArgs& args, const AttentionScratch& scratch,
                               Positions seen, std::size_t span) {
  const std::size_t first = span * kSpanTokens;
  const std::size_t begin = seen.begin > first ? seen.begin : first;
  const std::size_t end = seen.end < first + kSpanTokens ? seen.end : first + kSpanTokens;
  for (std::size_t row = 0; row < args.queries; ++row) clear(scratch.span, row, args.head_width);
  if (begin >= end) return;
  if (is_integer(args.type)) return attend_pages_q(args, scratch, begin, end);
  attend_pages_f(args, scratch, begin, end);
}

inline void attention(const AttentionArgs& args) noexcept {
  const AttentionScratch scratch = place_scratch(args);
  const std::size_t width = args.head_width;
  const Positions seen = seen_positions(args);
  if (is_integer(args.type)) {
    prepare_queries_q(args, scratch);
  } else {
    prepare_queries_f(args, scratch);
  }
  if (args.parts != nullptr) {
    attend_span(args, scratch, seen, args.span);
    for (std::size_t row = 0; row < args.queries; ++row) {
      for (std::size_t d = 0; d < width; d += kLanes) {
        store(args.parts[row] + d, load(scratch.span.sums + row * width + d));
      }
      args.parts[row][width] = scratch.span.largest[row];
      args.parts[row][width + 1] = scratch.span.total[row];
    }
    return;
  }
  for (std::size_t row = 0; row < args.queries; ++row) clear(scratch.joined, row, width);
  for (std::size_t span = seen.begin / kSpanTokens; span * kSpanTokens < seen.end; ++span) {
    attend_span(args, scratch, seen, span);
    for (std::size_t row = 0; row < args.queries; ++row) {
      join(scratch.span.sums + row * width, scratch.span.largest[row], scratch.span.total[row],
           width, scratch.joined.sums + row * width, &scratch.joined.largest[row],
           &scratch.joined.total[row]);
    }
  }
  for (std::size_t row = 0; row < args.queries; ++row) {
    finish(scratch.joined.sums + row * width, scratch.joined.total[row], width, args.out[row]);
  }
}

inline void attention_join(const AttentionJoinArgs& args) noexcept {
  const std::size_t width = args.head_width;
  float largest = kNoScore;
  float total = 0;
  for (std::size_t i = 0; i < args.count; ++i) {
    const float* part = args.parts + i * args.stride;
    join(part, part[width], part[width + 1], width, args.out, &largest, &total);
  }
  if (total == 0) {
    for (std::size_t d = 0; d < width; d += kLanes) store(args.out + d, zero());
    return;
  }
  finish(args.out, total, width, args.out);
}

}  // namespace
}  // namespace paring::kernels
