// SPDX-License-Identifier: Apache-2.0
// AMX: the instructions as the manual defines them, and the products of the table against AVX-512,
// bit for bit. On a CPU without AMX the instructions are emulated (test_amx.h).
#include <gtest/gtest.h>

#include "kernels/test_amx.h"

#if defined(__x86_64__) && defined(__linux__)

#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "kernels/self_check.h"
#include "kernels/test_matmul.h"

#define PARING_INLINE inline
#include "kernels/amx/tiles-inl.h"

namespace paring::kernels {
namespace {

class Amx : public ::testing::Test {
 protected:
  void SetUp() override {
    amx_ = amx_or_emulated();
    if (amx_ == nullptr)
      GTEST_SKIP() << "the AMX table computes with AVX-512, which this CPU lacks";
  }
  bool is_emulated() const { return find_kernels("amx") == nullptr; }
  const KernelTable* amx_ = nullptr;
};

TEST_F(Amx, ByteProductsAreSignedAndSumOverQuads) {
  constexpr std::size_t kTokens = 5;
  constexpr std::size_t kQuads = 3;
  constexpr std::size_t kColumns = 7;
  std::mt19937 random(1);
  std::vector<std::int8_t> left(kTokens * 4 * kQuads);
  std::vector<std::int8_t> right(kQuads * 4 * kColumns);
  for (std::int8_t& byte : left) byte = static_cast<std::int8_t>(random());
  for (std::int8_t& byte : right) byte = static_cast<std::int8_t>(random());
  left[0] = right[0] = -128;
  std::vector<std::int32_t> sums(kTokens * kColumns);
  for (std::int32_t& sum : sums) sum = static_cast<std::int32_t>(random());
  std::vector<std::int32_t> want = sums;
  for (std::size_t m = 0; m < kTokens; ++m) {
    for (std::size_t n = 0; n < kColumns; ++n) {
      auto total = static_cast<std::uint32_t>(want[m * kColumns + n]);
      for (std::size_t k = 0; k < 4 * kQuads; ++k) {
        total += static_cast<std::uint32_t>(left[m * 4 * kQuads + k] *
                                            right[(k / 4 * kColumns + n) * 4 + k % 4]);
      }
      want[m * kColumns + n] = static_cast<std::int32_t>(total);
    }
  }
  TileShapes shapes;
  shapes.set(0, kTokens, 4 * kColumns);
  shapes.set(4, kTokens, 4 * kQuads);
  shapes.set(7, kQuads, 4 * kColumns);
  tiles_configure(shapes);
  tile_load<0>(sums.data(), 4 * kColumns);
  tile_load<4>(left.data(), 4 * kQuads);
  tile_load<7>(right.data(), 4 * kColumns);
  tile_add_products_s8<0, 4, 7>();
  std::vector<std::int32_t> got(kTokens * kColumns);
  tile_store<0>(got.data(), 4 * kColumns);
  EXPECT_EQ(got, want);
  tile_zero<0>();
  tile_store<0>(got.data(), 4 * kColumns);
  EXPECT_EQ(got, std::vector<std::int32_t>(kTokens * kColumns));
  tiles_release();
}

// What the processor refuses, the emulation refuses.
TEST_F(Amx, WrongShapesAreUndefined) {
  emulated::TileMachine machine;
  EXPECT_FALSE(machine.zero(0));  // nothing is configured
  TileShapes shapes;
  shapes.set(0, 4, 64);
  shapes.set(1, 4, 32);
  shapes.set(2, 8, 64);
  shapes.set(3, 7, 64);
  const auto* memory = reinterpret_cast<const std::uint8_t*>(&shapes);
  ASSERT_TRUE(machine.configure(memory));
  const auto multiply = [&](int sum, int left, int right) {
    return machine.add_byte_products<std::int8_t, std::int8_t>(sum, left, right);
  };
  EXPECT_TRUE(multiply(0, 1, 2));
  EXPECT_FALSE(multiply(0, 1, 3));  // 8 quads by 7
  EXPECT_FALSE(multiply(0, 0, 2));
  EXPECT_FALSE(multiply(2, 1, 0));
  EXPECT_FALSE(machine.zero(4));
  machine.release();
  EXPECT_FALSE(machine.zero(0));
  shapes.rows[1] = 17;
  EXPECT_FALSE(machine.configure(memory));
  shapes.rows[1] = 0;
  EXPECT_FALSE(machine.configure(memory));
  shapes.rows[1] = 4;
  shapes.row_bytes[1] = 65;
  EXPECT_FALSE(machine.configure(memory));
  shapes.row_bytes[1] = 64;
  shapes.palette = 2;
  EXPECT_FALSE(machine.configure(memory));
}

// The tokens that a product of `tokens` is made of in tiles: whole ones and a rest, or two alike.
TEST_F(Amx, MatmulQuantizedIsThatOfAvx512BitForBit) {
  const KernelTable& vectors = *find_kernels("avx512");
  struct Case {
    std::size_t rows;
    std::size_t cols;
  };
  for (DType type : kBlockTypes) {
    for (const Case& each : {Case{1, 32}, Case{37, 96}, Case{64, 224}, Case{21, 2144}}) {
      const std::size_t cols = whole_blocks(type, each.cols);
      const PackedMatrix w = random_matrix(type, each.rows, cols, 21);
      const bool is_small = each.rows * cols < 5'000;
      for (std::size_t tokens = 1; tokens <= 70; tokens += is_small ? 1 : 23) {
        const std::vector<float> x = random_floats(tokens * cols, 22);
        EXPECT_TRUE(
            same_bits(run_matmul_q(*amx_, w, x, tokens), run_matmul_q(vectors, w, x, tokens)))
            << dtype_name(type) << " " << each.rows << "x" << cols << " tokens " << tokens;
      }
    }
  }
}

// Codes at both ends of their range against activations at both ends.
TEST_F(Amx, MatmulQuantizedHoldsTheLargestCodes) {
  constexpr std::size_t kTokens = 17;
  const KernelTable& vectors = *find_kernels("avx512");
  for (DType type : kBlockTypes) {
    for (int pattern : {0x00, 0x7f, 0x80, 0xff}) {
      std::mt19937 random(23);
      const std::size_t cols = whole_blocks(type, 64);
      std::vector<std::byte> bytes(16 * *dtype_row_bytes(type, cols),
                                   static_cast<std::byte>(pattern));
      randomize_halves(type, bytes, random);
      const PackedMatrix w = pack(type, bytes.data(), 16, cols).value();
      std::vector<float> x(kTokens * cols);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / cols % 2 == 0 ? 1.0F : -1.0F;
      EXPECT_TRUE(
          same_bits(run_matmul_q(*amx_, w, x, kTokens), run_matmul_q(vectors, w, x, kTokens)))
          << dtype_name(type) << " pattern " << pattern;
    }
  }
}

TEST_F(Amx, PanelsMayBeSplitAndOtherOutputsStay) {
  constexpr std::size_t kTokens = 19;
  constexpr std::size_t kStride = 60;
  const PackedMatrix w = random_matrix(DType::kQ4_0, 53, 96, 24);
  const std::vector<float> x = random_floats(kTokens * 96, 25);
  const Quantized quantized = quantize(*amx_, x, kTokens, 96);
  const std::vector<float> whole = run_matmul_q(*amx_, w, x, kTokens);
  std::vector<float> y(kTokens * kStride, 7.0F);
  amx_->matmul_q(w, quantized.rows, kTokens, y.data(), kStride, {3, 4});
  amx_->matmul_q(w, quantized.rows, kTokens, y.data(), kStride, {1, 2});
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t n = 0; n < kStride; ++n) {
      const bool is_written = (n >= 16 && n < 32) || (n >= 48 && n < 53);
      EXPECT_EQ(y[t * kStride + n], is_written ? whole[t * 53 + n] : 7.0F) << t << " " << n;
    }
  }
}

// Registers are a thread's own, whatever shapes another thread has set.
TEST_F(Amx, ThreadsDoNotDisturbEachOther) {
  const PackedMatrix wide = random_matrix(DType::kQ6_K, 64, 512, 26);
  const PackedMatrix narrow = random_matrix(DType::kQ4_1, 64, 64, 27);
  const std::vector<float> x = random_floats(31 * 512, 28);
  const std::vector<float> want_wide = run_matmul_q(*amx_, wide, x, 31);
  const std::vector<float> want_narrow = run_matmul_q(*amx_, narrow, x, 13);
  std::vector<int> wrong(2, 0);
  const auto work = [&](int index) {
    for (int i = 0; i < 10; ++i) {
      const bool is_same = index == 0 ? same_bits(run_matmul_q(*amx_, wide, x, 31), want_wide)
                                      : same_bits(run_matmul_q(*amx_, narrow, x, 13), want_narrow);
      wrong[static_cast<std::size_t>(index)] += is_same ? 0 : 1;
    }
  };
  std::thread other(work, 0);
  work(1);
  other.join();
  EXPECT_EQ(wrong, std::vector<int>({0, 0}));
}

// What a process asks before it takes the level.
TEST_F(Amx, TheCheckAtTheStartTellsRightFromWrong) {
  const KernelTable& vectors = *find_kernels("avx512");
  EXPECT_TRUE(gives_same_products(*amx_, vectors));
  KernelTable wrong = *amx_;
  wrong.matmul_q = [](const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                      std::size_t stride, PanelRange panels) noexcept {
    find_kernels("avx512")->matmul_q(w, x, tokens, y, stride, panels);
    if (w.type == DType::kQ2_K) y[(tokens - 1) * stride + w.rows - 1] *= 1.0000001F;
  };
  EXPECT_FALSE(gives_same_products(wrong, vectors));
}

// A kernel that left its tiles behind would cost every later change of threads 8 KB.
TEST_F(Amx, TilesAreReleased) {
  const PackedMatrix w = random_matrix(DType::kQ8_0, 16, 32, 29);
  run_matmul_q(*amx_, w, random_floats(16 * 32, 30), 16);
  if (!is_emulated()) {
    // XINUSE: which parts of its state the CPU would save with this thread.
    constexpr std::uint64_t kTileData = std::uint64_t{1} << 18;
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    EXPECT_EQ(low & kTileData, 0U);
    return;
  }
  for (int tile = 0; tile < emulated::TileMachine::kTiles; ++tile) {
    EXPECT_FALSE(emulated::machine_of_thread().zero(tile));
  }
}

}  // namespace
}  // namespace paring::kernels

#endif
