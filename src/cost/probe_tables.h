// SPDX-License-Identifier: Apache-2.0
// The inner loops of the probes, one table an instruction set, named as the kernel tables. Contract
// of every entry: allocates nothing, keeps no state, throws nothing. Everything in an ISA folder
// but its table has internal linkage. Loops over accumulators are unrolled by pragma: rolled up,
// GCC keeps the accumulators in memory and the probe measures that. What a table lacks (null) is
// that of the table it extends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace paring::cost {

struct ProbeTable {
  const char* isa = nullptr;
  // Loads every byte once, in order; the xor of its 64-bit words. REQUIRES: 64-byte alignment and a
  // multiple of 512 bytes.
  std::uint64_t (*read)(const std::byte* memory, std::size_t bytes) noexcept = nullptr;
  // `rounds` rounds of independent fused multiply-adds; a value that depends on all of them.
  float (*multiply_f32)(std::uint64_t rounds) noexcept = nullptr;
  double multiply_f32_operations = 0;  // of one round; 2 a multiply-add
  // The same for products of 8-bit integers, summed in the widest way that the kernels use.
  std::int32_t (*multiply_int8)(std::uint64_t rounds) noexcept = nullptr;
  double multiply_int8_operations = 0;
  // The same for products of bf16, summed in f32. Null: the level has none. REQUIRES:
  // kernels::IsaLevel::missing_for_bf16() gives null.
  float (*multiply_bf16)(std::uint64_t rounds) noexcept = nullptr;
  double multiply_bf16_operations = 0;
};

extern const ProbeTable kReferenceProbes;
extern const ProbeTable kAvx2Probes;
extern const ProbeTable kAvx512Probes;
extern const ProbeTable kAvx512bf16Probes;  // extends AVX-512
extern const ProbeTable kAmxProbes;         // extends AVX-512
extern const ProbeTable kNeonProbes;

// All of this architecture, complete, whether this CPU runs them or not; as kernels::isa_levels().
std::span<const ProbeTable> probe_tables() noexcept;
// Whether this CPU, which runs the table, runs its multiply_bf16.
bool runs_bf16(const ProbeTable& table) noexcept;

}  // namespace paring::cost
