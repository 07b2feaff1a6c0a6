// SPDX-License-Identifier: Apache-2.0
// Pages of sequences: taken, given back, and let go of when they leave a window.
#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <set>

#include "model/testing/random_model.h"

namespace paring::model {
namespace {

using testing::tiny_spec;

constexpr kernels::KvType kType = kernels::KvType::kQ8;

// Three layers with a window of 64, one that sees all.
BlockSpec windowed_spec() {
  BlockSpec spec = tiny_spec();
  spec.layers = 4;
  spec.scopes.assign(4, LayerScope{.window = 64});
  spec.scopes[2].window = 0;
  return spec;
}

TEST(KvSequence, GrowsInPagesAndGivesThemBack) {
  KvPool pool = KvPool::create(tiny_spec(), kernels::KvType::kQ8, {.tokens = 96}).value();
  EXPECT_EQ(pool.pages_free(), 3U);
  {
    KvSequence sequence(pool);
    ASSERT_TRUE(sequence.grow(33));
    EXPECT_EQ(pool.pages_free(), 1U);
    const auto refused = sequence.grow(64);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
    EXPECT_EQ(sequence.length(), 33U);
    sequence.truncate(32);
    EXPECT_EQ(pool.pages_free(), 2U);
  }
  EXPECT_EQ(pool.pages_free(), 3U);
}

TEST(KvSequence, KeepsNoMoreThanTheWindow) {
  const BlockSpec spec = windowed_spec();
  const KvCapacity capacity{.tokens = 4096, .step_tokens = 32};
  KvPool pool = KvPool::create(spec, kType, capacity).value();
  ASSERT_EQ(pool.class_count(), 2U);
  const std::size_t layer_page = kernels::kv_page_bytes(kType, spec.head_width) * spec.kv_heads;
  // Window and step are 3 pages, one more for a window that begins within a page.
  EXPECT_EQ(pool.bytes(), (128 * 1 + 4 * 3) * layer_page);
  EXPECT_EQ(pool.bytes(), KvPool::bytes_for(spec, kType, capacity));
  KvSequence sequence(pool);
  while (sequence.length() < 4096) {
    ASSERT_TRUE(sequence.grow(std::min<std::size_t>(31, 4096 - sequence.length())));
    // Everything that the new tokens see is there, each page once.
    std::set<std::byte*> windowed;
    const std::size_t grown_from = sequence.length() - std::min<std::size_t>(31, sequence.length());
    const std::size_t oldest = grown_from > 63 ? grown_from - 63 : 0;
    for (std::size_t page = oldest / 32; page * 32 < sequence.length(); ++page) {
      windowed.insert(sequence.page(page, 0, 1));
    }
    EXPECT_EQ(windowed.size(), (sequence.length() + 31) / 32 - oldest / 32);
    std::set<std::byte*> all;
    for (std::size_t page = 0; page * 32 < sequence.length(); ++page) {
      all.insert(sequence.page(page, 2, 0));
    }
    EXPECT_EQ(all.size(), (sequence.length() + 31) / 32);
  }
  EXPECT_FALSE(sequence.grow(1));
  EXPECT_FALSE(sequence.can_truncate(2000));
  sequence.truncate(0);
  EXPECT_EQ(pool.pages_free(0), 4U);
  EXPECT_EQ(pool.pages_free(1), 128U);
  EXPECT_TRUE(sequence.grow(32));
}

TEST(KvSequence, IsCutBackAsFarAsAgreed) {
  KvPool pool = KvPool::create(windowed_spec(), kType,
                               {.tokens = 1024, .step_tokens = 16, .rewind_tokens = 40})
                    .value();
  KvSequence sequence(pool);
  for (std::size_t i = 0; i < 60; ++i) ASSERT_TRUE(sequence.grow(16));
  EXPECT_TRUE(sequence.can_truncate(960 - 40));
  EXPECT_FALSE(sequence.can_truncate(961));
  EXPECT_FALSE(sequence.can_truncate(500));
  for (std::size_t i = 0; i < 5; ++i) {
    sequence.truncate(920);
    ASSERT_TRUE(sequence.grow(16));
    ASSERT_TRUE(sequence.grow(16));
  }
  EXPECT_EQ(sequence.length(), 952U);
}

TEST(KvSequence, WithoutAgreedStepsEverythingIsKept) {
  KvPool pool = KvPool::create(windowed_spec(), kType, {.tokens = 1024}).value();
  KvSequence sequence(pool);
  ASSERT_TRUE(sequence.grow(1000));
  EXPECT_TRUE(sequence.can_truncate(1));
  sequence.truncate(1);
  EXPECT_TRUE(sequence.grow(1023));
}

TEST(KvSequence, SeveralSequencesShareAPool) {
  KvPool pool =
      KvPool::create(windowed_spec(), kType, {.tokens = 960, .step_tokens = 32, .sequences = 3})
          .value();
  KvSequence a(pool);
  KvSequence b(pool);
  KvSequence c(pool);
  for (std::size_t i = 0; i < 10; ++i) {
    for (KvSequence* sequence : {&a, &b, &c}) ASSERT_TRUE(sequence->grow(32));
  }
  std::set<std::byte*> pages;
  for (KvSequence* sequence : {&a, &b, &c}) {
    for (std::size_t page = 8; page < 10; ++page) pages.insert(sequence->page(page, 0, 0));
  }
  EXPECT_EQ(pages.size(), 6U);
}

TEST(PositionRange, MeanVisibleCountsEachToken) {
  for (const std::size_t window : {0U, 1U, 5U, 20U}) {
    for (std::size_t first = 1; first < 12; ++first) {
      for (std::size_t last = first; last < 24; ++last) {
        double sum = 0;
        for (std::size_t v = first; v <= last; ++v) {
          sum += static_cast<double>(window == 0 ? v : std::min(v, std::size_t{window}));
        }
        const PositionRange range{static_cast<double>(first), static_cast<double>(last)};
        EXPECT_NEAR(range.mean_visible(window), sum / static_cast<double>(last - first + 1), 1e-12);
      }
    }
  }
}

TEST(KvPool, BytesReadFollowTheWindows) {
  const BlockSpec spec = windowed_spec();
  const double token = static_cast<double>(KvPool::bytes_per_token(spec, kType)) / 4;  // a layer's
  EXPECT_DOUBLE_EQ(KvPool::bytes_read(spec, kType, {10, 10}), 4 * 10 * token);
  EXPECT_DOUBLE_EQ(KvPool::bytes_read(spec, kType, {1000, 1000}), (1000 + 3 * 64) * token);
}

TEST(KvSequence, AForkSharesPagesUntilItGrows) {
  KvPool pool = KvPool::create(tiny_spec(), kType, {.tokens = 32 * 4}).value();
  KvSequence first(pool);
  ASSERT_TRUE(first.grow(40));
  std::fill_n(first.page(1, 0, 0), 64, std::byte{7});
  KvSequence second(pool);
  second.fork(first);
  EXPECT_EQ(second.length(), 40U);
  EXPECT_EQ(pool.pages_free(), 2U);
  EXPECT_EQ(pool.owners(0, first.page_id(0, 1)), 2U);
  ASSERT_TRUE(second.grow(1));  // into the shared page: a copy
  EXPECT_EQ(pool.pages_free(), 1U);
  EXPECT_EQ(second.page_id(0, 0), first.page_id(0, 0));
  EXPECT_NE(second.page_id(0, 1), first.page_id(0, 1));
  EXPECT_EQ(*second.page(1, 0, 0), std::byte{7});
  ASSERT_TRUE(first.grow(1));  // now its own
  EXPECT_EQ(pool.pages_free(), 1U);
  first.truncate(0);
  EXPECT_EQ(pool.pages_free(), 2U);
  second.truncate(0);
  EXPECT_EQ(pool.pages_free(), 4U);
}

TEST(KvSequence, ACopyNeedsAFreePage) {
  KvPool pool = KvPool::create(tiny_spec(), kType, {.tokens = 64}).value();
  KvSequence first(pool);
  ASSERT_TRUE(first.grow(40));
  KvSequence second(pool);
  second.fork(first);
  const auto refused = second.grow(1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExhausted);
  EXPECT_EQ(second.length(), 40U);
  first.truncate(0);
  EXPECT_TRUE(second.grow(1));  // the only owner now
}

TEST(KvSequence, AdoptsTheWholePagesOfAPrefix) {
  const BlockSpec spec = windowed_spec();
  KvPool pool =
      KvPool::create(spec, kType, {.tokens = 1024, .step_tokens = 32, .sequences = 4}).value();
  KvSequence first(pool);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(first.grow(32));
  const std::size_t windowed = pool.class_window(0) == 0 ? 1 : 0;
  const std::size_t held = 256 - 63;  // what position 256 sees begins here
  std::vector<std::size_t> begins(2, 0);
  std::vector<std::vector<std::size_t>> pages(2);
  begins[windowed] = held / 32;
  for (std::size_t c = 0; c < 2; ++c) {
    for (std::size_t i = begins[c]; i < 8; ++i) {
      ASSERT_NE(first.page_id(c, i), KvSequence::kNoPage);
      pages[c].push_back(first.page_id(c, i));
    }
  }
  EXPECT_EQ(first.page_id(windowed, 0), KvSequence::kNoPage);
  KvSequence second(pool);
  second.adopt(256, begins, pages);
  EXPECT_EQ(second.length(), 256U);
  const std::size_t before = pool.pages_free(0) + pool.pages_free(1);
  first.truncate(0);
  EXPECT_EQ(pool.owners(0, second.page_id(0, 7)), 1U);
  ASSERT_TRUE(second.grow(32));
  for (std::size_t i = 256 - 63; i < 256; i += 32) {
    EXPECT_NE(second.page_id(windowed, i / 32), KvSequence::kNoPage);
  }
  second.truncate(0);
  EXPECT_GT(pool.pages_free(0) + pool.pages_free(1), before);
  EXPECT_EQ(pool.pages_free(0), pool.page_count(0));
  EXPECT_EQ(pool.pages_free(1), pool.page_count(1));
}

}  // namespace
}  // namespace paring::model
