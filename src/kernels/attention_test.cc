// SPDX-License-Identifier: Apache-2.0
// kv_write and attention: every level against the reference, against each other bit for bit, and a
// query alone against the same query among others.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops.h"
#include "kernels/test_levels.h"

namespace paring::kernels {
namespace {

// Pages of one KV head, filled by `table`; slots after the last token hold NaNs or worse.
struct Cache {
  KvType type;
  std::size_t width;
  AlignedBuffer memory;
  std::vector<const std::byte*> pages;
};

Cache fill_cache(const KernelTable& table, KvType type, std::size_t width, std::size_t tokens) {
  const std::size_t page_bytes = kv_page_bytes(type, width);
  const std::size_t page_count = (tokens + kPageTokens - 1) / kPageTokens;
  Cache cache{type, width, AlignedBuffer::create(page_count * page_bytes).value(), {}};
  std::memset(cache.memory.data(), 0xff, page_count * page_bytes);
  const std::vector<float> keys = random_floats(tokens * width, 21);
  const std::vector<float> values = random_floats(tokens * width, 22);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::byte* page = cache.memory.data() + t / kPageTokens * page_bytes;
    table.kv_write(
        {type, width, page, t % kPageTokens, keys.data() + t * width, values.data() + t * width});
  }
  for (std::size_t p = 0; p < page_count; ++p) {
    cache.pages.push_back(cache.memory.data() + p * page_bytes);
  }
  return cache;
}

// Values are below 5; scores of up to 30 carry an absolute error of about 4e-6. Of kQ8, queries of
// up to 10 have steps of 3e-4, which the products of 64 to 256 terms average.
double tolerance(KvType type) { return is_integer(type) ? 5e-4 : 2e-5; }

struct Shape {
  std::size_t window = 0;
  float soft_cap = 0;
};

// Queries begin..end-1 of q[][width]; the results lie one after the other. With a window, pages
// that none of these queries sees are not given. With `part`, of one query, only a span.
std::vector<float> attend(const KernelTable& table, const Cache& cache, const std::vector<float>& q,
                          const std::vector<std::size_t>& visible, std::size_t begin,
                          std::size_t end, const Shape& shape = {}, std::size_t span = 0,
                          float* part = nullptr) {
  const std::size_t count = end - begin;
  std::vector<float> out(count * cache.width, NAN);
  std::vector<const float*> q_rows;
  std::vector<float*> out_rows;
  for (std::size_t i = 0; i < count; ++i) {
    q_rows.push_back(q.data() + (begin + i) * cache.width);
    out_rows.push_back(out.data() + i * cache.width);
  }
  AlignedBuffer scratch =
      AlignedBuffer::create(attention_scratch_bytes(count, cache.width)).value();
  std::memset(scratch.data(), 0xff, scratch.bytes());
  std::size_t oldest = *std::min_element(visible.begin() + static_cast<std::ptrdiff_t>(begin),
                                         visible.begin() + static_cast<std::ptrdiff_t>(end));
  oldest = shape.window != 0 && oldest > shape.window ? oldest - shape.window : 0;
  const std::size_t first_page = oldest / kPageTokens;
  table.attention({.type = cache.type,
                   .head_width = cache.width,
                   .queries = count,
                   .q = q_rows.data(),
                   .out = out_rows.data(),
                   .visible = visible.data() + begin,
                   .window = shape.window,
                   .pages = cache.pages.data() + std::min(first_page, cache.pages.size()),
                   .first_page = first_page,
                   .scale = 1.0F / std::sqrt(static_cast<float>(cache.width)),
                   .soft_cap = shape.soft_cap,
                   .scratch = scratch.data(),
                   .parts = part == nullptr ? nullptr : &part,
                   .span = span});
  return out;
}

struct Case {
  std::size_t width;
  std::size_t tokens;
  std::size_t queries;
};
constexpr Case kCases[] = {{32, 1, 1},    {64, 31, 3},  {64, 32, 1},    {64, 33, 5},
                           {96, 70, 13},  {128, 97, 7}, {64, 200, 100}, {256, 64, 2},
                           {64, 1100, 8}, {32, 513, 40}};

// Tokens that each query sees: between 0 and all, the last query all.
std::vector<std::size_t> some_visible(const Case& c) {
  std::vector<std::size_t> visible;
  for (std::size_t i = 0; i < c.queries; ++i) visible.push_back((i * 37 + 5) % (c.tokens + 1));
  visible.back() = c.tokens;
  return visible;
}

TEST(Attention, PagesAreTheSameOnEveryLevel) {
  for (KvType type : kKvTypes) {
    const Cache truth = fill_cache(reference_kernels(), type, 96, 45);
    for (const KernelTable* table : fast_levels()) {
      const Cache ours = fill_cache(*table, type, 96, 45);
      EXPECT_EQ(0, std::memcmp(ours.memory.data(), truth.memory.data(), truth.memory.bytes()))
          << table->isa << " type " << static_cast<int>(type);
    }
  }
}

TEST(Attention, AgreesWithTheReferenceAndAcrossLevels) {
  for (KvType type : kKvTypes) {
    for (const Case& c : kCases) {
      SCOPED_TRACE(testing::Message() << "type " << static_cast<int>(type) << " width " << c.width
                                      << " tokens " << c.tokens << " queries " << c.queries);
      const Cache cache = fill_cache(reference_kernels(), type, c.width, c.tokens);
      const std::vector<float> q = random_floats(c.queries * c.width, 23, 2.0F);
      const std::vector<std::size_t> visible = some_visible(c);
      const auto truth = attend(reference_kernels(), cache, q, visible, 0, c.queries);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
        SCOPED_TRACE(table->isa);
        const auto out = attend(*table, cache, q, visible, 0, c.queries);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_NEAR(out[i], truth[i], tolerance(type)) << "query " << i / c.width;
        }
        if (first.empty()) first = out;
        EXPECT_TRUE(same_bits(first, out));
      }
    }
  }
}

TEST(Attention, AQueryDoesNotDependOnItsCompany) {
  for (KvType type : kKvTypes) {
    const Case c{64, 150, 40};
    const std::vector<float> q = random_floats(c.queries * c.width, 24, 2.0F);
    const std::vector<std::size_t> visible = some_visible(c);
    for (const KernelTable* table : fast_levels()) {
      SCOPED_TRACE(testing::Message() << table->isa << " type " << static_cast<int>(type));
      const Cache cache = fill_cache(*table, type, c.width, c.tokens);
      std::vector<float> alone;
      for (std::size_t i = 0; i < c.queries; ++i) {
        const auto row = attend(*table, cache, q, visible, i, i + 1);
        alone.insert(alone.end(), row.begin(), row.end());
      }
      for (std::size_t step : {2, 3, 7, 12, 13, 25, 40}) {
        std::vector<float> together;
        for (std::size_t i = 0; i < c.queries; i += step) {
          const auto rows = attend(*table, cache, q, visible, i, std::min(i + step, c.queries));
          together.insert(together.end(), rows.begin(), rows.end());
        }
        EXPECT_TRUE(same_bits(alone, together)) << "calls of " << step;
      }
    }
  }
}

constexpr Shape kShapes[] = {{1, 0}, {7, 0}, {32, 0}, {33, 5}, {64, 0}, {500, 2}, {0, 3}};

TEST(Attention, WindowsAndCapsAgreeWithTheReferenceAndAcrossLevels) {
  for (KvType type : kKvTypes) {
    for (const Shape& shape : kShapes) {
      const Case c{64, 200, 50};
      const Cache cache = fill_cache(reference_kernels(), type, c.width, c.tokens);
      const std::vector<float> q = random_floats(c.queries * c.width, 28, 2.0F);
      const std::vector<std::size_t> visible = some_visible(c);
      const auto truth = attend(reference_kernels(), cache, q, visible, 0, c.queries, shape);
      const auto open = attend(reference_kernels(), cache, q, visible, 0, c.queries);
      EXPECT_EQ(truth == open, shape.window >= c.tokens && shape.soft_cap == 0);
      std::vector<float> first;
      for (const KernelTable* table : fast_levels()) {
        SCOPED_TRACE(testing::Message() << table->isa << " type " << static_cast<int>(type)
                                        << " window " << shape.window << " cap " << shape.soft_cap);
        const auto out = attend(*table, cache, q, visible, 0, c.queries, shape);
        for (std::size_t i = 0; i < out.size(); ++i) {
          ASSERT_NEAR(out[i], truth[i], tolerance(type)) << "query " << i / c.width;
        }
        if (first.empty()) first = out;
        EXPECT_TRUE(same_bits(first, out));
      }
    }
  }
}

TEST(Attention, WithAWindowTooAQueryDoesNotDependOnItsCompany) {
  for (const Shape& shape : kShapes) {
    const Case c{64, 150, 40};
    const std::vector<float> q = random_floats(c.queries * c.width, 29, 2.0F);
    const std::vector<std::size_t> visible = some_visible(c);
    for (const KernelTable* table : fast_levels()) {
      SCOPED_TRACE(testing::Message() << table->isa << " window " << shape.window);
      const Cache cache = fill_cache(*table, KvType::kQ8, c.width, c.tokens);
      std::vector<float> alone;
      for (std::size_t i = 0; i < c.queries; ++i) {
        const auto row = attend(*table, cache, q, visible, i, i + 1, shape);
        alone.insert(alone.end(), row.begin(), row.end());
      }
      EXPECT_TRUE(same_bits(alone, attend(*table, cache, q, visible, 0, c.queries, shape)));
    }
  }
}

// What left the window must not show, whatever it holds now.
TEST(Attention, TokensBeforeTheWindowDoNotShow) {
  const std::vector<float> q = random_floats(64, 30);
  for (const KernelTable* table : fast_levels()) {
    Cache cache = fill_cache(*table, KvType::kF32, 64, 100);
    const auto want = attend(*table, cache, q, {100}, 0, 1, {40, 0});
    // Positions before 60, in keys [D][32] and values [32][D] of pages 0 and 1.
    const std::size_t page_bytes = kv_page_bytes(KvType::kF32, 64);
    std::memset(cache.memory.data(), 0x55, page_bytes);
    auto* values = reinterpret_cast<float*>(cache.memory.data() + page_bytes);
    for (std::size_t slot = 0; slot < 28; ++slot) {
      for (std::size_t d = 0; d < 64; ++d) values[d * kPageTokens + slot] = 1e3F;
      for (std::size_t d = 0; d < 64; ++d) values[(kPageTokens + slot) * 64 + d] = -1e3F;
    }
    EXPECT_TRUE(same_bits(want, attend(*table, cache, q, {100}, 0, 1, {40, 0}))) << table->isa;
  }
}

// Later tokens, of the same page or not, must not show.
TEST(Attention, TokensThatAreNotVisibleDoNotShow) {
  const std::vector<float> q = random_floats(64, 25);
  for (KvType type : kKvTypes) {
    for (std::size_t visible : {1, 5, 31, 32, 33, 64, 65}) {
      for (const KernelTable* table : fast_levels()) {
        const Cache cut = fill_cache(*table, type, 64, visible);
        const Cache full = fill_cache(*table, type, 64, 100);
        EXPECT_TRUE(same_bits(attend(*table, cut, q, {visible}, 0, 1),
                              attend(*table, full, q, {visible}, 0, 1)))
            << table->isa << " visible " << visible;
      }
    }
  }
}

// Spans computed one by one and joined: what one call gives, bit for bit.
TEST(Attention, SpansByThemselvesGiveTheSame) {
  constexpr std::size_t kWidth = 64;
  constexpr std::size_t kStride = attention_part_floats(kWidth) + 16;
  constexpr std::size_t kSpans = 3;
  const std::vector<float> q = random_floats(5 * kWidth, 31, 2.0F);
  const std::vector<std::size_t> visible = {1, 512, 513, 1000, 1200};
  for (KvType type : kKvTypes) {
    for (std::size_t window : {0, 100, 600}) {
      for (const IsaLevel& level : isa_levels()) {
        const KernelTable* table = level.table;
        if (!level.supported()) continue;
        SCOPED_TRACE(testing::Message()
                     << table->isa << " type " << static_cast<int>(type) << " window " << window);
        const Cache cache = fill_cache(*table, type, kWidth, 1200);
        for (std::size_t i = 0; i < visible.size(); ++i) {
          const Shape shape{window, 0};
          const auto want = attend(*table, cache, q, visible, i, i + 1, shape);
          std::vector<float> parts(kSpans * kStride, -7.0F);
          const SpanRange spans = spans_seen(visible[i], window);
          for (std::size_t s = spans.begin; s < spans.end; ++s) {
            attend(*table, cache, q, visible, i, i + 1, shape, s, parts.data() + s * kStride);
          }
          std::vector<float> out(kWidth, -7.0F);
          table->attention_join({kWidth, parts.data() + spans.begin * kStride, kStride,
                                 spans.end - spans.begin, out.data()});
          if (table == &reference_kernels()) {
            for (std::size_t d = 0; d < kWidth; ++d) EXPECT_NEAR(want[d], out[d], 1e-5);
          } else {
            EXPECT_TRUE(same_bits(want, out)) << "visible " << visible[i];
          }
        }
      }
    }
  }
}

TEST(Attention, NothingVisibleGivesZeros) {
  for (const KernelTable* table : fast_levels()) {
    const Cache cache = fill_cache(*table, KvType::kQ8, 64, 40);
    const std::vector<float> q = random_floats(64, 26);
    for (float value : attend(*table, cache, q, {0}, 0, 1)) EXPECT_EQ(value, 0.0F) << table->isa;
  }
}

TEST(Attention, QueriesThatAreNotFiniteShow) {
  for (KvType type : kKvTypes) {
    for (const KernelTable* table : fast_levels()) {
      const Cache cache = fill_cache(*table, type, 64, 600);
      for (float value : {NAN, INFINITY, -INFINITY}) {
        std::vector<float> q = random_floats(64, 32);
        q[37] = value;
        const auto out = attend(*table, cache, q, {600}, 0, 1);
        EXPECT_TRUE(std::isnan(out[0])) << table->isa << " type " << static_cast<int>(type);
      }
    }
  }
}

// Scores of hundreds: only the largest counts, nothing overflows.
TEST(Attention, LargeScoresDoNotOverflow) {
  for (const KernelTable* table : fast_levels()) {
    const Cache cache = fill_cache(*table, KvType::kF32, 64, 90);
    const std::vector<float> q = random_floats(64, 27, 1000.0F);
    const auto truth = attend(reference_kernels(), cache, q, {90}, 0, 1);
    const auto out = attend(*table, cache, q, {90}, 0, 1);
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(out[i], truth[i], 5e-3) << table->isa;
  }
}

}  // namespace
}  // namespace paring::kernels
