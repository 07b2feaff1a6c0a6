// SPDX-License-Identifier: Apache-2.0
// PackedMatrix: a weight matrix [rows, cols] rearranged into panels of 16 output rows so that the
// inner loops of every ISA read it in order. A permutation of the file's blocks: pack and unpack
// are bit-exact. Immutable once packed; owns its memory.
//
// Layouts, for panel p (rows 16p..16p+15), row r in the panel, column k:
//   F32           codes: f32  [cols][16]
//   F16, BF16     codes: u16  [cols][16]
//   Q8_0          codes: s8   [cols/4][16][4]                          512 bytes a group of 32
//   Q4_0, Q4_1    codes: u8   [cols/8][16][4]; byte b of quad pair j holds q[8j+b] in its low
//                 nibble and q[8j+4+b] in its high nibble               256 bytes a group
//   Q5_0, Q5_1    codes: as Q4 with the low 4 bits; high: u64 [cols/4], bit 4r+b of word k/4 is the
//                 fifth bit of row r, column 4(k/4)+b                    + 64 bytes a group
//   scales        f16 [cols/32][16]          (block formats)
//   mins          f16 [cols/32][16]          (Q4_1, Q5_1): value = scale * code + min
// Codes of Q4_0 and Q5_0 are stored unsigned with zero points 8 and 16: value = scale*(code -
// zero). Rows beyond `rows` in the last panel are zero (codes equal to the zero point, scale 0).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/aligned.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace paring::kernels {

inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kGroupValues = 32;  // values that share a scale

struct PackedMatrix {
  DType type = DType::kF32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t padded_rows = 0;
  AlignedBuffer codes;
  AlignedBuffer high;  // fifth bits of Q5_0 and Q5_1
  AlignedBuffer scales;
  AlignedBuffer mins;

  std::size_t panels() const noexcept { return padded_rows / kPanelRows; }
  std::size_t groups() const noexcept { return cols / kGroupValues; }
  std::size_t bytes() const noexcept {
    return codes.bytes() + high.bytes() + scales.bytes() + mins.bytes();
  }
  // Start of panel `panel` in each plane.
  std::size_t codes_panel_bytes() const noexcept { return codes.bytes() / panels(); }
};

// Panels begin..end-1 of a matrix.
struct PanelRange {
  std::size_t begin;
  std::size_t end;
};

// From `rows` rows in the file's row-major block layout. `source` may be unaligned.
// Unsupported for a type without a panel layout, InvalidArgument when cols is not whole blocks or
// the matrix is empty.
Result<PackedMatrix> pack(DType type, const std::byte* source, std::size_t rows, std::size_t cols);
// The same in two steps, so that several threads fill one matrix: allocate_packed() gives untouched
// memory, pack_panels() fills the panels of its range from `source`, the start of the whole matrix.
// Disjoint ranges may be packed at the same time.
Result<PackedMatrix> allocate_packed(DType type, std::size_t rows, std::size_t cols);
void pack_panels(PackedMatrix& matrix, const std::byte* source, PanelRange panels) noexcept;
// Back to row-major blocks; `target` holds rows * dtype_row_bytes(type, cols) bytes. Bit-exact.
void unpack(const PackedMatrix& matrix, std::byte* target);
// Row `row` as cols f32 values, exact.
void unpack_row_f32(const PackedMatrix& matrix, std::size_t row, float* target) noexcept;

}  // namespace paring::kernels
