// SPDX-License-Identifier: Apache-2.0
// Which instruction-set level runs: detection, PARING_ISA, and the sizes that all levels share.
#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/op_list.h"
#include "kernels/ops.h"
#include "kernels/self_check.h"
#include "kernels/tables.h"

#if defined(__x86_64__)
#include <asm/prctl.h>
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace paring::kernels {
namespace {

const char* nothing() noexcept { return nullptr; }

[[maybe_unused]] const char* no_bf16_kernels() noexcept {
  return "this level has no products in BF16";
}

#if defined(__x86_64__)
// Bits of CPUID leaf 1 ECX and 0x80000001 ECX that __builtin_cpu_supports does not name in every
// compiler we build with, but that -march=x86-64-v3 lets the compiler use.
bool has_v3_extras() noexcept {
  constexpr unsigned kMovbe = 1U << 22;
  constexpr unsigned kF16c = 1U << 29;
  constexpr unsigned kLzcnt = 1U << 5;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return false;
  if ((ecx & (kMovbe | kF16c)) != (kMovbe | kF16c)) return false;
  if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (ecx & kLzcnt) != 0;
}

// __builtin_cpu_supports reports AVX levels only when the system saves their registers (XCR0).
bool has_avx2() noexcept {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && has_v3_extras();
}

bool has_avx512() noexcept {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

// XCR0: which registers the system saves. REQUIRES: OSXSAVE, which has_avx2() implies.
std::uint64_t saved_registers() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return std::uint64_t{high} << 32 | low;
}

// Linux gives a process the tile registers when it asks for them (since 5.16), for all of its
// threads and for good. Refused where a thread's signal stack is too small for them.
bool get_tile_registers() noexcept {
  constexpr unsigned long kTileData = 18;
  return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, kTileData) == 0;
}

bool has_avx512_bf16() noexcept {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16");
}

const KernelTable* avx512_table() noexcept {
  static const KernelTable table = [] {
    KernelTable all = extended(kAvx512Kernels, kAvx512bf16Kernels);
    all.isa = kAvx512Kernels.isa;
    return all;
  }();
  return &table;
}

const KernelTable* amx_table() noexcept {
  static const KernelTable table = extended(*avx512_table(), kAmxKernels);
  return &table;
}

const char* missing_for_amx() noexcept {
  constexpr unsigned kAmxBf16 = 1U << 22;
  constexpr unsigned kAmxTile = 1U << 24;
  constexpr unsigned kAmxInt8 = 1U << 25;
  constexpr unsigned kAmx = kAmxBf16 | kAmxTile | kAmxInt8;
  constexpr std::uint64_t kTileState = 3U << 17;  // TILECFG, TILEDATA
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (!has_avx512() || !has_avx512_bf16() || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 ||
      (edx & kAmx) != kAmx) {
    return "the CPU has no AMX-INT8 and AMX-BF16 beside AVX-512 with VNNI and BF16";
  }
  if ((saved_registers() & kTileState) != kTileState || !get_tile_registers()) {
    return "the CPU has AMX, but the system does not give this process its tile registers";
  }
  if (!gives_same_products(*amx_table(), *avx512_table())) {
    return "the CPU has AMX, but its products are not the bits that AVX-512 gives";
  }
  return nullptr;
}

const char* without_amx() noexcept {
  static const char* const missing = missing_for_amx();
  return missing;
}
const char* without_avx512() noexcept {
  return has_avx512() ? nullptr : "the CPU has no AVX-512 F, BW, CD, DQ, VL with VNNI";
}
const char* without_avx512_bf16() noexcept {
  return has_avx512_bf16() ? nullptr : "the CPU has no AVX512_BF16";
}
const char* without_avx2() noexcept {
  return has_avx2() ? nullptr : "the CPU has no AVX2 with FMA and F16C";
}
#elif defined(__aarch64__)
// The dot product is an extension of ARMv8.2, so a CPU that has it runs -march=armv8.2-a.
const char* without_neon() noexcept {
  const bool has = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  return has ? nullptr : "the CPU has no dot product instructions (asimddp)";
}
#endif

// A function's, not the file's: it may be asked for before the file's would be made.
std::span<const IsaLevel> levels() noexcept {
  static const IsaLevel all[] = {
#if defined(__x86_64__)
      {"amx", without_amx, amx_table(), nothing},
      {"avx512", without_avx512, avx512_table(), without_avx512_bf16},
      {"avx2", without_avx2, &kAvx2Kernels, no_bf16_kernels},
#elif defined(__aarch64__)
      {"neon", without_neon, &kNeonKernels, no_bf16_kernels},
#endif
      {"reference", nothing, &kReferenceKernels, nothing},
  };
  return all;
}

const IsaLevel* find_level(const std::string& name) {
  for (const IsaLevel& level : levels()) {
    if (name == level.name) return &level;
  }
  return nullptr;
}

// The level that PARING_ISA asks for, or the fastest; null when PARING_ISA cannot be met.
const KernelTable* default_table() noexcept {
  const char* forced = std::getenv("PARING_ISA");
  if (forced != nullptr && *forced != '\0') return find_kernels(forced);
  for (const IsaLevel& level : levels()) {
    if (level.supported()) return level.table;
  }
  return &kReferenceKernels;
}

std::atomic<const KernelTable*> active_table{nullptr};

std::string level_names(bool only_supported) {
  std::string names;
  for (const IsaLevel& level : levels()) {
    if (only_supported && !level.supported()) continue;
    names += (names.empty() ? "" : ", ") + std::string(level.name);
  }
  return names;
}

constexpr std::size_t align_64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// A plane of one f32 or i32 a group; code_sums take two.
constexpr std::size_t group_plane_bytes(std::size_t tokens, std::size_t cols) {
  return align_64(tokens * (cols / kGroupValues) * 4);
}

}  // namespace

std::span<const IsaLevel> isa_levels() noexcept { return levels(); }

const KernelTable& kernels() noexcept {
  const KernelTable* table = active_table.load(std::memory_order_acquire);
  if (table == nullptr) {
    table = default_table();
    if (table == nullptr) table = &kReferenceKernels;
    const KernelTable* expected = nullptr;
    // A select_isa() that came first wins.
    if (!active_table.compare_exchange_strong(expected, table)) table = expected;
  }
  return *table;
}

const KernelTable* find_kernels(const char* isa) noexcept {
  for (const IsaLevel& level : levels()) {
    if (std::string_view(isa) == level.name) return level.supported() ? level.table : nullptr;
  }
  return nullptr;
}

Result<void> select_isa(const char* name) {
  std::string wanted = name == nullptr ? "" : name;
  if (wanted.empty()) {
    const char* forced = std::getenv("PARING_ISA");
    wanted = forced == nullptr ? "" : forced;
  }
  if (wanted.empty()) {
    active_table.store(default_table(), std::memory_order_release);
    return {};
  }
  const IsaLevel* level = find_level(wanted);
  if (level == nullptr) {
    return not_found("no instruction-set level is called \"" + wanted + "\"",
                     "known levels: " + level_names(false));
  }
  if (!level->supported()) {
    return unsupported(
        "this machine cannot run the instruction-set level \"" + wanted + "\": " + level->missing(),
        "levels that it can run: " + level_names(true));
  }
  active_table.store(level->table, std::memory_order_release);
  return {};
}

Result<void> check_fast() {
  const KernelTable& table = kernels();
  std::string able;
  const char* missing = nullptr;
  for (const IsaLevel& level : levels()) {
    if (level.table == &table) missing = level.missing_for_bf16();
    if (level.missing_for_bf16() == nullptr && level.supported()) {
      able += (able.empty() ? "" : ", ") + std::string(level.name);
    }
  }
  if (missing == nullptr) return {};
  return unsupported("fast numerics need products in BF16, which instruction-set level \"" +
                         std::string(table.isa) + "\" does not have here: " + missing,
                     "levels of this machine that have them: " + able);
}

std::size_t QuantizedRows::bytes(std::size_t tokens, std::size_t cols) noexcept {
  return align_64(tokens * cols) + 4 * group_plane_bytes(tokens, cols);
}

QuantizedRows QuantizedRows::place(std::byte* memory, std::size_t tokens,
                                   std::size_t cols) noexcept {
  const std::size_t plane = group_plane_bytes(tokens, cols);
  std::byte* scales = memory + align_64(tokens * cols);
  return {reinterpret_cast<std::int8_t*>(memory), reinterpret_cast<float*>(scales),
          reinterpret_cast<std::int32_t*>(scales + plane),
          reinterpret_cast<float*>(scales + 3 * plane), cols};
}

QuantizedRows QuantizedRows::from_row(std::size_t row) const noexcept {
  const std::size_t groups = cols / kGroupValues;
  return {codes + row * cols, scales + row * groups, code_sums + row * 2 * groups,
          value_sums + row * groups, cols};
}

std::size_t kv_page_bytes(KvType type, std::size_t head_width) noexcept {
  const std::size_t values = kPageTokens * head_width;
  if (type == KvType::kF32) return 2 * values * 4;
  if (type == KvType::kF16 || type == KvType::kBF16) return 2 * values * 2;
  const std::size_t value_codes = type == KvType::kQ8 ? values : values / 2;
  return values + value_codes + 2 * (values / kCacheGroupValues * 2);
}

const char* kv_type_name(KvType type) noexcept {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kF16:
      return "f16";
    case KvType::kBF16:
      return "bf16";
    case KvType::kQ8:
      return "q8";
    case KvType::kQ4:
      break;
  }
  return "q4";
}

std::optional<KvType> find_kv_type(std::string_view name) noexcept {
  for (const KvType type : kKvTypes) {
    if (name == kv_type_name(type)) return type;
  }
  return std::nullopt;
}

// As place_scratch of kernels/attention_state-inl.h divides it: a page as f32 or the tile of
// integer attention; the value codes of two pages; per query q, its scales, 32 probabilities, a
// factor and two states of a softmax. Pieces are whole vectors of 16 floats.
std::size_t attention_scratch_bytes(std::size_t queries, std::size_t head_width) noexcept {
  constexpr std::size_t kPieces = 11;
  const std::size_t floats =
      kPageTokens * head_width * 5 / 2 +
      queries * (3 * head_width + head_width / kCacheGroupValues + kPageTokens + 5) + kPieces * 16;
  return align_64(floats * 4);
}

}  // namespace paring::kernels
