// SPDX-License-Identifier: Apache-2.0
// For tests on CPUs without AMX: the tile registers and their instructions in software, put under
// the compiled kernels. Every AMX instruction is undefined on such a CPU and raises SIGILL; the
// handler takes the instruction apart, does what the manual says and goes on behind it. So the very
// objects that ship run, with all of their tile shapes, strides and register numbers; only what the
// hardware makes of an instruction is taken on trust. Definitions: Intel SDM vol. 2, LDTILECFG to
// TILEZERO and TDP*. Not emulated: start_row, exceptions in the middle of a load.
#pragma once

#include <vector>

#include "kernels/ops.h"
#include "kernels/test_levels.h"

#if defined(__x86_64__) && defined(__linux__)

#include <signal.h>
#include <ucontext.h>

#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace paring::kernels::emulated {

// Fused multiply-add, to nearest even, with denormal inputs taken for zero and results that are
// tiny after rounding made zero, as the BF16 products compute whatever MXCSR says.
inline float flush(float x) { return std::fabs(x) < FLT_MIN ? std::copysign(0.0F, x) : x; }
inline float fma_flushed(float a, float b, float c) {
  const float x = flush(a);
  const float y = flush(b);
  const float z = flush(c);
  const float sum = std::fma(x, y, z);
  if (std::fabs(sum) > FLT_MIN) return sum;  // or NaN, below
  if (std::isnan(sum)) return sum;
  // What rounding gives when the exponent has no limit.
  constexpr float kScale = 0x1p64F;
  return std::fabs(std::fma(x * kScale, y, z * kScale)) < FLT_MIN * kScale
             ? std::copysign(0.0F, sum)
             : sum;
}
inline float bf16(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

// The tile state of one thread. A false result is an exception of the CPU.
class TileMachine {
 public:
  static constexpr int kTiles = 8;
  static constexpr std::size_t kRows = 16;
  static constexpr std::size_t kRowBytes = 64;

  bool configure(const std::uint8_t* memory) {
    for (int i = 1; i < 16; ++i) {
      if (memory[i] != 0) return false;
    }
    if (memory[0] > 1) return false;
    *this = {};
    if (memory[0] == 0) return true;
    for (int t = 0; t < 16; ++t) {
      std::uint16_t bytes;
      std::memcpy(&bytes, memory + 16 + 2 * t, 2);
      const std::uint8_t rows = memory[48 + t];
      if (bytes > (t < kTiles ? kRowBytes : 0) || rows > (t < kTiles ? kRows : 0)) return false;
      if ((bytes == 0) != (rows == 0)) return false;
      if (t < kTiles) tiles_[t] = {.rows = rows, .row_bytes = bytes, .data = {}};
    }
    is_configured_ = true;
    return true;
  }
  void release() { *this = {}; }
  bool zero(int t) {
    if (!is_valid(t)) return false;
    tiles_[t].data = {};
    return true;
  }
  bool load(int t, const std::uint8_t* memory, std::int64_t stride) {
    if (!is_valid(t)) return false;
    tiles_[t].data = {};
    for (std::size_t r = 0; r < tiles_[t].rows; ++r) {
      std::memcpy(tiles_[t].row(r), memory + static_cast<std::int64_t>(r) * stride,
                  tiles_[t].row_bytes);
    }
    return true;
  }
  bool store(int t, std::uint8_t* memory, std::int64_t stride) const {
    if (!is_valid(t)) return false;
    for (std::size_t r = 0; r < tiles_[t].rows; ++r) {
      std::memcpy(memory + static_cast<std::int64_t>(r) * stride, tiles_[t].row(r),
                  tiles_[t].row_bytes);
    }
    return true;
  }
  // Bytes of the left operand of type Left, of the right one of type Right.
  template <class Left, class Right>
  bool add_byte_products(int sum, int left, int right) {
    return add_products<std::int32_t>(sum, left, right, [](auto& a, auto& b, auto& row) {
      for (std::size_t k = 0; k < b.rows; ++k) {
        Left x[4];
        std::memcpy(x, a + 4 * k, 4);
        for (std::size_t n = 0; n < b.row_bytes / 4U; ++n) {
          Right y[4];
          std::memcpy(y, b.row(k) + 4 * n, 4);
          std::uint32_t total = 0;  // wraps, as the instruction's sums do
          for (int i = 0; i < 4; ++i) total += static_cast<std::uint32_t>(int{x[i]} * int{y[i]});
          row[n] = static_cast<std::int32_t>(static_cast<std::uint32_t>(row[n]) + total);
        }
      }
    });
  }
  // Even and odd columns have sums of their own that begin at zero; they are added to each other,
  // then to what the tile holds.
  bool add_bf16_products(int sum, int left, int right) {
    return add_products<float>(sum, left, right, [](auto& a, auto& b, auto& row) {
      std::array<float, 32> sums{};
      for (std::size_t k = 0; k < b.rows; ++k) {
        std::uint16_t x[2];
        std::memcpy(x, a + 4 * k, 4);
        for (std::size_t n = 0; n < b.row_bytes / 4U; ++n) {
          std::uint16_t y[2];
          std::memcpy(y, b.row(k) + 4 * n, 4);
          for (int i = 0; i < 2; ++i) {
            sums[2 * n + i] = fma_flushed(bf16(x[i]), bf16(y[i]), sums[2 * n + i]);
          }
        }
      }
      for (std::size_t n = 0; n < b.row_bytes / 4U; ++n) {
        const float pair = fma_flushed(1, sums[2 * n], sums[2 * n + 1]);
        row[n] = fma_flushed(1, row[n], pair);
      }
    });
  }

 private:
  struct Tile {
    std::uint8_t rows = 0;
    std::uint16_t row_bytes = 0;
    std::array<std::uint8_t, kRows * kRowBytes> data{};
    std::uint8_t* row(std::size_t r) { return data.data() + r * kRowBytes; }
    const std::uint8_t* row(std::size_t r) const { return data.data() + r * kRowBytes; }
  };

  bool is_valid(int t) const { return is_configured_ && t < kTiles && tiles_[t].rows != 0; }

  // add(row of the left tile, right tile, row of sums) for every row, after the checks.
  template <class Sum, class Add>
  bool add_products(int sum, int left, int right, const Add& add) {
    if (sum == left || sum == right || left == right) return false;
    if (!is_valid(sum) || !is_valid(left) || !is_valid(right)) return false;
    Tile& c = tiles_[sum];
    const Tile& a = tiles_[left];
    const Tile& b = tiles_[right];
    if (c.row_bytes % 4 != 0 || a.row_bytes % 4 != 0) return false;
    if (c.rows != a.rows || c.row_bytes != b.row_bytes || a.row_bytes / 4 != b.rows) return false;
    for (std::size_t m = 0; m < c.rows; ++m) {
      std::array<Sum, 16> row;
      std::memcpy(row.data(), c.row(m), kRowBytes);
      const std::uint8_t* const left_row = a.row(m);
      add(left_row, b, row);
      std::memcpy(c.row(m), row.data(), c.row_bytes);
    }
    return true;
  }

  bool is_configured_ = false;
  std::array<Tile, kTiles> tiles_{};
};

inline TileMachine& machine_of_thread() {
  thread_local TileMachine machine;
  return machine;
}

// One AMX instruction: VEX in three bytes, opcode, ModRM, and a memory operand.
struct Instruction {
  std::size_t bytes = 0;
  int prefix = 0;  // 0: none, 1: 66, 2: F3, 3: F2
  std::uint8_t opcode = 0;
  bool has_memory = false;
  int reg = 0;
  int rm = 0;
  int vvvv = 0;
  std::uint64_t base = 0;  // with the displacement
  std::uint64_t index = 0;
};

inline std::uint64_t general_register(const ucontext_t& context, int number) {
  constexpr int kPlaces[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                             REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uint64_t>(context.uc_mcontext.gregs[kPlaces[number]]);
}

// False: not an instruction of this kind.
inline bool decode(const std::uint8_t* code, const ucontext_t& context, Instruction& found) {
  if (code[0] != 0xc4 || (code[1] & 0x1f) != 2) return false;  // VEX, map 0F38
  if ((code[2] & 0x84) != 0) return false;                     // W0, 128 bits
  const int x_bit = (code[1] & 0x40) == 0 ? 8 : 0;
  const int b_bit = (code[1] & 0x20) == 0 ? 8 : 0;
  found.prefix = code[2] & 3;
  found.vvvv = ~(code[2] >> 3) & 15;
  found.opcode = code[3];
  const int mod = code[4] >> 6;
  found.reg = (code[4] >> 3) & 7;
  found.rm = code[4] & 7;
  found.bytes = 5;
  found.has_memory = mod != 3;
  if (!found.has_memory) return true;
  const auto displacement = [&](std::size_t size) {
    std::int32_t value = 0;
    if (size == 1) value = static_cast<std::int8_t>(code[found.bytes]);
    if (size == 4) std::memcpy(&value, code + found.bytes, 4);
    found.bytes += size;
    return static_cast<std::uint64_t>(std::int64_t{value});
  };
  if (found.rm != 4) {
    if (mod == 0 && found.rm == 5) {
      found.base = displacement(4);
      found.base += reinterpret_cast<std::uint64_t>(code) + found.bytes;
      return true;
    }
    found.base = general_register(context, found.rm + b_bit);
    found.base += displacement(mod == 1 ? 1 : mod == 2 ? 4 : 0);
    return true;
  }
  const std::uint8_t sib = code[found.bytes++];
  const int index = ((sib >> 3) & 7) + x_bit;
  const int base = (sib & 7) + b_bit;
  if (index != 4) found.index = general_register(context, index) << (sib >> 6);
  if (mod == 0 && (base & 7) == 5) {
    found.base = displacement(4);
  } else {
    found.base = general_register(context, base);
    found.base += displacement(mod == 1 ? 1 : mod == 2 ? 4 : 0);
  }
  return true;
}

inline bool execute(const Instruction& instruction, TileMachine& machine) {
  const auto stride = static_cast<std::int64_t>(instruction.index);
  auto* const memory = reinterpret_cast<std::uint8_t*>(instruction.base);
  const int sum = instruction.reg;
  const int left = instruction.rm;
  const int right = instruction.vvvv;
  const int prefix = instruction.prefix;
  switch (instruction.opcode) {
    case 0x49:
      if (instruction.has_memory) return prefix == 0 && machine.configure(memory + stride);
      if (prefix == 3) return machine.zero(instruction.reg);
      if (prefix != 0 || instruction.reg != 0) return false;
      machine.release();
      return true;
    case 0x4b:
      if (!instruction.has_memory || instruction.rm != 4) return false;
      if (prefix == 3 || prefix == 1) return machine.load(instruction.reg, memory, stride);
      return prefix == 2 && machine.store(instruction.reg, memory, stride);
    case 0x5c:
      return prefix == 2 && machine.add_bf16_products(sum, left, right);
    case 0x5e:
      if (prefix == 3) return machine.add_byte_products<std::int8_t, std::int8_t>(sum, left, right);
      if (prefix == 2)
        return machine.add_byte_products<std::int8_t, std::uint8_t>(sum, left, right);
      if (prefix == 1)
        return machine.add_byte_products<std::uint8_t, std::int8_t>(sum, left, right);
      return machine.add_byte_products<std::uint8_t, std::uint8_t>(sum, left, right);
    default:
      return false;
  }
}

// Goes on behind the instruction; for any other the program ends as it would have.
inline void on_undefined_instruction(int, siginfo_t*, void* frame) {
  auto& context = *static_cast<ucontext_t*>(frame);
  auto& next = context.uc_mcontext.gregs[REG_RIP];
  Instruction instruction;
  if (decode(reinterpret_cast<const std::uint8_t*>(next), context, instruction) &&
      execute(instruction, machine_of_thread())) {
    next += static_cast<greg_t>(instruction.bytes);
    return;
  }
  signal(SIGILL, SIG_DFL);
}

inline void install() {
  struct sigaction action = {};
  action.sa_sigaction = on_undefined_instruction;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGILL, &action, nullptr);
}

}  // namespace paring::kernels::emulated

#endif

namespace paring::kernels {

// The AMX table where it can be exercised: natively, or over AVX-512 with the tiles emulated. Null
// elsewhere.
inline const KernelTable* amx_or_emulated() {
#if defined(__x86_64__) && defined(__linux__)
  if (const KernelTable* table = find_kernels("amx")) return table;
  if (find_kernels("avx512") == nullptr) return nullptr;
  emulated::install();
  for (const IsaLevel& level : isa_levels()) {
    if (std::strcmp(level.name, "amx") == 0) return level.table;
  }
#endif
  return nullptr;
}

// fast_levels(), and AMX by emulation where the CPU lacks it.
inline std::vector<const KernelTable*> levels_to_test() {
  std::vector<const KernelTable*> tables = fast_levels();
  const KernelTable* amx = amx_or_emulated();
  if (amx != nullptr && amx != find_kernels("amx")) tables.push_back(amx);
  return tables;
}

}  // namespace paring::kernels
