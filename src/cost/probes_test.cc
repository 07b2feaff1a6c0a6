// SPDX-License-Identifier: Apache-2.0
#include "cost/probes.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned.h"
#include "base/process.h"
#include "base/random.h"
#include "cost/probe_tables.h"
#include "kernels/ops.h"
#include "kernels/test_amx.h"

namespace paring::cost {
namespace {

std::vector<const ProbeTable*> tables_of_this_cpu() {
  std::vector<const ProbeTable*> tables;
  for (const ProbeTable& table : probe_tables()) {
    if (kernels::find_kernels(table.isa) != nullptr) tables.push_back(&table);
  }
  return tables;
}

// With AMX by emulation.
std::vector<const ProbeTable*> tables_to_test() {
  std::vector<const ProbeTable*> tables = tables_of_this_cpu();
  for (const ProbeTable& table : probe_tables()) {
    if (std::string_view(table.isa) == "amx" && kernels::find_kernels("amx") == nullptr &&
        kernels::amx_or_emulated() != nullptr) {
      tables.push_back(&table);
    }
  }
  return tables;
}

TEST(ProbeTables, ReadSeesEveryWord) {
  auto buffer = AlignedBuffer::create(8192).value();
  RandomStream random({.seed = 5});
  for (std::uint32_t& word : buffer.span<std::uint32_t>()) word = random.next_u32();
  for (const std::size_t bytes : {std::size_t{512}, std::size_t{1024}, std::size_t{8192}}) {
    std::uint64_t expected = 0;
    for (std::size_t i = 0; i < bytes / 8; ++i) expected ^= buffer.as<std::uint64_t>()[i];
    for (const ProbeTable* table : tables_of_this_cpu()) {
      EXPECT_EQ(table->read(buffer.data(), bytes), expected) << table->isa << " " << bytes;
    }
  }
}

// Of one instruction: sums that it adds to, and in int8 the products that go to each.
struct Widths {
  double f32_sums;
  double int8_sums;
  int int8_products;
};

// Chain i starts at i. f32: acc = acc / 2 + 1, which goes to 2, with NEON, whose instruction adds
// to its target, acc = acc + 1; int8: a sum adds 3 * -5 for each of its products. The value is a
// lane of the sum of all chains.
TEST(ProbeTables, ArithmeticIsReallyDone) {
  for (const ProbeTable* table : tables_to_test()) {
    const std::string isa = table->isa;
    const std::map<std::string, Widths> all = {{"amx", {16, 256, 64}},
                                               {"avx512", {16, 16, 4}},
                                               {"avx2", {8, 16, 2}},
                                               {"neon", {4, 4, 4}},
                                               {"reference", {1, 1, 1}}};
    const Widths& widths = all.at(isa);
    const double chains = table->multiply_f32_operations / 2 / widths.f32_sums;
    const double starts = chains * (chains - 1) / 2;
    if (isa == "neon") {
      EXPECT_EQ(table->multiply_f32(100), 100 * chains + starts);
    } else {
      EXPECT_NEAR(table->multiply_f32(100), 2 * chains, 1e-4) << isa;
      EXPECT_NEAR(table->multiply_f32(1), chains + starts / 2, 1e-4) << isa;
    }
    if (table->multiply_bf16 != nullptr && (isa == "amx" || runs_bf16(*table))) {
      // A sum adds 1 * 0.5 for each of its products, which are pairs where bytes are quads.
      const double sums = widths.int8_sums;
      const double products = widths.int8_products / 2.0;
      const double chains_bf16 = table->multiply_bf16_operations / 2 / (sums * products);
      EXPECT_EQ(table->multiply_bf16(10),
                chains_bf16 * (chains_bf16 - 1) / 2 + 10 * chains_bf16 * products / 2)
          << isa;
    }
    if (isa == "reference") continue;
    const int sum_chains = static_cast<int>(table->multiply_int8_operations / 2 /
                                            (widths.int8_sums * widths.int8_products));
    EXPECT_EQ(table->multiply_int8(10),
              -15 * widths.int8_products * 10 * sum_chains + sum_chains * (sum_chains - 1) / 2)
        << isa;
  }
}

// Per CPU second, so that other load on the machine does not matter.
TEST(ProbeTables, VectorsBeatScalarsAndShortIntegersBeatFloats) {
#ifndef NDEBUG
  GTEST_SKIP() << "speeds mean nothing without optimisation";
#endif
  const auto rate = [](auto work, double operations) {
    constexpr std::uint64_t kRounds = 2'000'000;
    const double start = cpu_seconds();
    work(kRounds);
    return operations * static_cast<double>(kRounds) / (cpu_seconds() - start);
  };
  const double scalar =
      rate(kReferenceProbes.multiply_f32, kReferenceProbes.multiply_f32_operations);
  for (const ProbeTable* table : tables_of_this_cpu()) {
    const double f32 = rate(table->multiply_f32, table->multiply_f32_operations);
    const double int8 = rate(table->multiply_int8, table->multiply_int8_operations);
    if (std::string_view(table->isa) == "reference") continue;
    EXPECT_GT(f32, 2 * scalar) << table->isa;
    // A register holds four times as many 8-bit values; AVX2 needs a second instruction to add. A
    // ratio beyond that means that the compiler left products out.
    EXPECT_GT(int8, 1.2 * f32) << table->isa;
    // AMX: 1,024 multiply-adds a cycle beside 32.
    EXPECT_LT(int8, (std::string_view(table->isa) == "amx" ? 48 : 6) * f32) << table->isa;
  }
}

TEST(Probes, FiguresAreSaneOnEveryLevel) {
  auto executor = Executor::create({.threads = 0}).value();
  for (const ProbeTable* table : tables_of_this_cpu()) {
    const auto probes = measure_probes(
        *executor, {.isa = table->isa, .buffer_bytes = std::size_t{64} << 20, .seconds = 0.05});
    ASSERT_TRUE(probes.has_value()) << probes.error().text();
    EXPECT_EQ(probes->isa, table->isa);
    EXPECT_EQ(probes->threads, executor->threads());
    // From a slow emulated machine to the fastest socket of today.
    EXPECT_GT(probes->read_bytes_per_second, 0.3e9);
    EXPECT_LT(probes->read_bytes_per_second, 5e12);
    EXPECT_GT(probes->f32_operations_per_second, 0.1e9);
    EXPECT_LT(probes->f32_operations_per_second, 1e15);
    EXPECT_GT(probes->int8_operations_per_second, 0.1e9);
    EXPECT_EQ(probes->bf16_operations_per_second > 0, runs_bf16(*table));
    std::printf("%-10s read %.1f GB/s, f32 %.0f, bf16 %.0f, int8 %.0f G operations/s\n", table->isa,
                probes->read_bytes_per_second / 1e9, probes->f32_operations_per_second / 1e9,
                probes->bf16_operations_per_second / 1e9, probes->int8_operations_per_second / 1e9);
  }
}

TEST(Probes, TakesTheKernelsLevelByDefault) {
  auto executor = Executor::create({.threads = 1}).value();
  const auto probes =
      measure_probes(*executor, {.buffer_bytes = std::size_t{1} << 20, .seconds = 0.01});
  ASSERT_TRUE(probes.has_value());
  EXPECT_EQ(probes->isa, kernels::kernels().isa);
}

TEST(Probes, RefusesUnknownLevelsAndImpossibleBuffers) {
  auto executor = Executor::create({.threads = 1}).value();
  const auto level = measure_probes(*executor, {.isa = "abacus"});
  ASSERT_FALSE(level.has_value());
  EXPECT_EQ(level.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(level.error().message.find("'abacus'"), std::string::npos);
  const auto buffer = measure_probes(*executor, {.buffer_bytes = std::size_t{1} << 62});
  ASSERT_FALSE(buffer.has_value());
  EXPECT_EQ(buffer.error().code, ErrorCode::kExhausted);
}

}  // namespace
}  // namespace paring::cost
