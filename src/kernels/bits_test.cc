// SPDX-License-Identifier: Apache-2.0
// The bits of every operation, as hashes that are the same for all levels of all architectures:
// levels of one machine are compared with each other elsewhere, but x86-64 and AArch64 never meet
// in one program. Inputs are made from integers alone, since distributions of the standard library
// go through a C library's logarithm. Not here: log_sum_exp and kl_divergence, which end in that,
// too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "kernels/test_amx.h"
#include "kernels/test_levels.h"

namespace paring::kernels {
namespace {

// FNV-1a (64 bits).
class Hash {
 public:
  void add(const void* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      value_ = (value_ ^ static_cast<const std::uint8_t*>(data)[i]) * 0x100000001b3ULL;
    }
  }
  void add(const std::vector<float>& values) { add(values.data(), values.size() * sizeof(float)); }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

// Multiples of 1/512 in -4..4.
std::vector<float> exact_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = (static_cast<float>(random() % 4097) - 2048) / 512;
  return values;
}

PackedMatrix exact_matrix(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  const DTypeInfo& info = dtype_info(type);
  std::vector<std::byte> bytes(rows * *dtype_row_bytes(type, cols));
  if (info.block_values == 1) {
    const std::vector<float> values = exact_floats(rows * cols, seed);
    quant::find_format(type)->encode(values.data(), nullptr, bytes.data(), values.size());
  } else {
    std::mt19937 random(seed);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
    const auto [scale, min] = half_offsets(type);
    for (std::size_t at = 0; at < bytes.size(); at += info.block_bytes) {
      for (std::size_t offset : {min, scale}) {
        const auto value = static_cast<float>(random() % 127 + 1) / 8192;
        const std::uint16_t half = quant::f32_to_f16(random() % 2 == 0 ? value : -value);
        std::memcpy(bytes.data() + at + offset, &half, 2);
      }
    }
  }
  return pack(type, bytes.data(), rows, cols).value();
}

std::uint64_t bits_of_matmul(const KernelTable& table, DType type) {
  Hash hash;
  const std::size_t cols = whole_blocks(type, 544);
  const PackedMatrix w = exact_matrix(type, 37, cols, 1);
  const bool is_block = dtype_info(type).block_values > 1;
  for (std::size_t tokens : {1, 4, 11}) {
    const std::vector<float> x = exact_floats(tokens * cols, 2);
    std::vector<float> y(tokens * w.rows);
    table.matmul_f(w, x.data(), cols, tokens, y.data(), w.rows, {0, w.panels()});
    hash.add(y);
    if (!is_block) continue;
    AlignedBuffer memory = AlignedBuffer::create(QuantizedRows::bytes(tokens, cols)).value();
    const QuantizedRows rows = QuantizedRows::place(memory.data(), tokens, cols);
    table.quantize_rows(x.data(), tokens, cols, cols, rows);
    hash.add(rows.codes, tokens * cols);
    table.matmul_q(w, rows, tokens, y.data(), w.rows, {0, w.panels()});
    hash.add(y);
  }
  return hash.value();
}

std::uint64_t bits_of_rows(const KernelTable& table) {
  Hash hash;
  constexpr std::size_t kWidth = 1003;
  const std::vector<float> x = exact_floats(kWidth, 3);
  const std::vector<float> weight = exact_floats(kWidth, 4);
  const std::vector<float> bias = exact_floats(kWidth, 5);
  std::vector<float> y(kWidth);
  table.rms_norm(x.data(), weight.data(), y.data(), kWidth, 1e-5F);
  hash.add(y);
  table.layer_norm(x.data(), weight.data(), bias.data(), y.data(), kWidth, 1e-5F);
  hash.add(y);
  table.add(y.data(), x.data(), kWidth);
  hash.add(y);
  table.silu_mul(x.data(), weight.data(), y.data(), kWidth);
  hash.add(y);
  table.gelu_mul(x.data(), weight.data(), y.data(), kWidth);
  hash.add(y);
  for (auto op : {table.gelu_erf, table.gelu_tanh}) {
    y = x;
    op(y.data(), kWidth);
    hash.add(y);
  }
  y = x;
  table.soft_cap(y.data(), kWidth, 2.5F);
  hash.add(y);
  return hash.value();
}

// Queries that see all of 600 tokens, some of them, and a window; two spans.
std::uint64_t bits_of_attention(const KernelTable& table, KvType type) {
  Hash hash;
  constexpr std::size_t kHeadWidth = 64;
  constexpr std::size_t kTokens = 600;
  constexpr std::size_t kPages = (kTokens + kPageTokens - 1) / kPageTokens;
  const std::size_t page_bytes = kv_page_bytes(type, kHeadWidth);
  AlignedBuffer memory = AlignedBuffer::create(kPages * page_bytes).value();
  std::memset(memory.data(), 0, memory.bytes());
  const std::vector<float> keys = exact_floats(kTokens * kHeadWidth, 6);
  const std::vector<float> values = exact_floats(kTokens * kHeadWidth, 7);
  for (std::size_t t = 0; t < kTokens; ++t) {
    table.kv_write({type, kHeadWidth, memory.data() + t / kPageTokens * page_bytes, t % kPageTokens,
                    keys.data() + t * kHeadWidth, values.data() + t * kHeadWidth});
  }
  hash.add(memory.data(), kPages * page_bytes);
  std::vector<const std::byte*> pages;
  for (std::size_t p = 0; p < kPages; ++p) pages.push_back(memory.data() + p * page_bytes);
  constexpr std::size_t kVisible[] = {kTokens, 1, 33, 511, 513, kTokens - 1, kTokens};
  constexpr std::size_t kQueries = std::size(kVisible);
  const std::vector<float> q = exact_floats(kQueries * kHeadWidth, 8);
  AlignedBuffer scratch =
      AlignedBuffer::create(attention_scratch_bytes(kQueries, kHeadWidth)).value();
  for (std::size_t window : {0, 100}) {
    std::vector<float> out(kQueries * kHeadWidth);
    std::vector<const float*> q_rows;
    std::vector<float*> out_rows;
    for (std::size_t i = 0; i < kQueries; ++i) {
      q_rows.push_back(q.data() + i * kHeadWidth);
      out_rows.push_back(out.data() + i * kHeadWidth);
    }
    table.attention({.type = type,
                     .head_width = kHeadWidth,
                     .queries = kQueries,
                     .q = q_rows.data(),
                     .out = out_rows.data(),
                     .visible = kVisible,
                     .window = window,
                     .pages = pages.data(),
                     .first_page = 0,
                     .scale = 0.125F,
                     .soft_cap = window == 0 ? 0.0F : 20.0F,
                     .scratch = scratch.data()});
    hash.add(out);
  }
  return hash.value();
}

struct TypeBits {
  DType type;
  std::uint64_t bits;
};
constexpr TypeBits kMatmulBits[] = {
    {DType::kF32, 0xb33aa697ec9872ae},   {DType::kF16, 0xb33aa697ec9872ae},
    {DType::kBF16, 0x4bb7f07dedd47c3d},  {DType::kQ8_0, 0xf4386faf5d389fc3},
    {DType::kQ4_0, 0x4e2b331b61197606},  {DType::kQ4_1, 0x8e9df8bab69fbb8a},
    {DType::kQ5_0, 0xfadf3115ec505559},  {DType::kQ5_1, 0x92d201d84ebf8983},
    {DType::kQ2_K, 0x34c64d7d5367b086},  {DType::kQ3_K, 0xfb0dbaadb2ef7535},
    {DType::kQ4_K, 0xeca06dcce59afd56},  {DType::kQ5_K, 0x0ee51d1d46782f93},
    {DType::kQ6_K, 0x5ff6f6b515123b83},  {DType::kIQ4_NL, 0x83c97c237710135b},
    {DType::kIQ4_XS, 0x7205161b0811aafe}};

struct CacheBits {
  KvType type;
  std::uint64_t bits;
};
constexpr CacheBits kAttentionBits[] = {{KvType::kF32, 0x47a8739c4cd384a7},
                                        {KvType::kF16, 0x62b8a85462cc3825},
                                        {KvType::kBF16, 0xd2032da77af98518},
                                        {KvType::kQ8, 0x96fb469faa6b8156},
                                        {KvType::kQ4, 0x42b09cac23700e27}};

constexpr std::uint64_t kRowBits = 0x1c3dfcb509047ec4;

// As it is written in this file.
std::string hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%016llx", static_cast<unsigned long long>(value));
  return text;
}

TEST(Bits, MatmulIsTheSameOnEveryArchitecture) {
  for (const TypeBits& want : kMatmulBits) {
    for (const KernelTable* table : levels_to_test()) {
      EXPECT_EQ(hex(bits_of_matmul(*table, want.type)), hex(want.bits))
          << table->isa << " " << dtype_name(want.type);
    }
  }
}

TEST(Bits, EveryTypeHasAHash) {
  for (DType type : kBlockTypes) {
    EXPECT_TRUE(std::any_of(std::begin(kMatmulBits), std::end(kMatmulBits),
                            [&](const TypeBits& each) { return each.type == type; }))
        << dtype_name(type);
  }
  EXPECT_EQ(std::size(kAttentionBits), std::size(kKvTypes));
}

TEST(Bits, RowsAreTheSameOnEveryArchitecture) {
  for (const KernelTable* table : levels_to_test()) {
    EXPECT_EQ(hex(bits_of_rows(*table)), hex(kRowBits)) << table->isa;
  }
}

TEST(Bits, AttentionIsTheSameOnEveryArchitecture) {
  for (const CacheBits& want : kAttentionBits) {
    for (const KernelTable* table : levels_to_test()) {
      EXPECT_EQ(hex(bits_of_attention(*table, want.type)), hex(want.bits))
          << table->isa << " cache type " << kv_type_name(want.type);
    }
  }
}

}  // namespace
}  // namespace paring::kernels
