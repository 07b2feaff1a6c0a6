// SPDX-License-Identifier: Apache-2.0
// Sequences that go on from one prefix of several spans, whose pages attention reads once for all.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::model {
namespace {

using testing::CollectSink;
using testing::make_executor;
using testing::random_model;
using testing::RandomModel;
using testing::test_tokens;

void expect_same_bits(const BlockSpec& spec, DType type, Numerics numerics, kernels::KvType kv) {
  constexpr std::size_t kPrefix = 1060;
  constexpr std::size_t kSequences = 20;  // more than a tile of attention has
  const RandomModel random = random_model(spec, type, 16);
  const Model& model = *random.model;
  const auto prefix = test_tokens(kPrefix, model.spec().vocabulary, 7);
  for (const std::size_t threads : {1, 3}) {
    const auto executor = make_executor(threads);
    const ModelView view(model);
    auto forward =
        Forward::create(model.spec(), {.tokens_max = 128, .context_tokens = 2048}, *executor)
            .value();
    KvPool pool = KvPool::create(model.spec(), kv, {.tokens = 4 * 2048}).value();
    CollectSink sink;
    ForwardOptions options;
    options.numerics = numerics;
    options.sink = &sink;
    KvSequence root(pool);
    for (std::size_t i = 0; i < kPrefix; i += 100) {
      const auto part = std::span(prefix).subspan(i, std::min<std::size_t>(100, kPrefix - i));
      ASSERT_TRUE(root.grow(part.size()));
      const Segment segment{&root, part, 0};
      forward->run(view, {&segment, 1}, options);
    }
    std::vector<std::unique_ptr<KvSequence>> sequences;
    std::vector<std::vector<std::int32_t>> tails;
    std::vector<std::vector<float>> want;
    for (std::size_t i = 0; i < kSequences; ++i) {
      // Two tokens at a time, as when guesses are checked, or one.
      tails.push_back(test_tokens(1 + i % 2, model.spec().vocabulary, 30 + i));
      for (const bool is_alone : {true, false}) {
        auto sequence = std::make_unique<KvSequence>(pool);
        sequence->fork(root);
        ASSERT_TRUE(sequence->grow(tails[i].size()));
        if (is_alone) {
          const Segment segment{sequence.get(), tails[i], tails[i].size()};
          sink.rows.clear();
          forward->run(view, {&segment, 1}, options);
          want.push_back(sink.rows);
        } else {
          sequences.push_back(std::move(sequence));
        }
      }
    }
    std::vector<Segment> segments;
    std::vector<float> expected;
    for (std::size_t i = 0; i < kSequences; ++i) {
      segments.push_back({sequences[i].get(), tails[i], tails[i].size()});
      expected.insert(expected.end(), want[i].begin(), want[i].end());
    }
    sink.rows.clear();
    forward->run(view, segments, options);
    EXPECT_EQ(sink.rows, expected) << threads << " threads";
  }
}

TEST(SharedPrefix, GivesTheSameBits) {
  const BlockSpec tiny = testing::tiny_spec();
  expect_same_bits(tiny, DType::kF32, Numerics::kExact, kernels::KvType::kF32);
  expect_same_bits(tiny, DType::kQ8_0, Numerics::kServed, kernels::KvType::kQ8);
  expect_same_bits(tiny, DType::kQ8_0, Numerics::kServed, kernels::KvType::kQ4);
}

// Some layers have windows, which no longer see the prefix as the others do.
TEST(SharedPrefix, GivesTheSameBitsWithWindows) {
  const BlockSpec rich = testing::rich_spec();
  expect_same_bits(rich, DType::kF16, Numerics::kServed, kernels::KvType::kF16);
  expect_same_bits(rich, DType::kQ5_0, Numerics::kServed, kernels::KvType::kQ8);
}

}  // namespace
}  // namespace paring::model
