// SPDX-License-Identifier: Apache-2.0
// PackedMatrix: a weight matrix [rows, cols] rearranged into panels of 16 output rows so that the
// inner loops of every ISA read it in order. A permutation of the file's bits: pack and unpack
// are bit-exact and take no more room. Immutable once packed.
//
// Layouts, for panel p (rows 16p..16p+15), row r in the panel, column k, quad k/4 (4 columns x 16
// rows, 64 codes). Float types have one plane:
//   F32           codes: f32  [cols][16]
//   F16, BF16     codes: u16  [cols][16]
// Block types have their codes in one or two planes,
//   8 bits        codes: s8   [cols/4][16][4]                          512 bytes a group of 32
//   4 bits        codes: u8   [cols/8][16][4]; byte b of quad pair j holds q[8j+b] in its low
//                 nibble and q[8j+4+b] in its high nibble               256 bytes a group
//   2 bits        codes: u8   [cols/16][16][4]; byte b holds q[16j+4i+b] at bit 2i, i = 0..3
//                                                                       128 bytes a group
//   1 bit more    high: u64 [cols/4]; bit 4r+b of word k/4 is the top bit of row r, column
//                 4(k/4)+b                                              + 64 bytes a group
//   2 bits more   high: u8 [cols/16][16][4], as 2 bits above            + 128 bytes a group
// then scales and minima, B columns apart (B = 32, or 256 in super-blocks):
//   scales        f16 [cols/B][16]
//   mins          f16 [cols/B][16]
//   subs          u8  [cols/256][S][16], the S bytes of sub-scales of each row's super-block as the
//                 file holds them
//
//   type    codes high  B    S   zero  value
//   Q8_0    8     -     32   -   0     scale * code
//   Q4_0    4     -     32   -   8     scale * (code - zero)
//   Q5_0    4     1     32   -   16    scale * (code - zero)
//   Q4_1    4     -     32   -   -     scale * code + min
//   Q5_1    4     1     32   -   -     scale * code + min
//   IQ4_NL  4     -     32   -   -     scale * codebook[code]
//   IQ4_XS  4     -     256  6   -     scale * sub[k/32] * codebook[code]
//   Q4_K    4     -     256  12  -     scale * sub[k/32] * code - min * sub_min[k/32]
//   Q5_K    4     1     256  12  -     scale * sub[k/32] * code - min * sub_min[k/32]
//   Q2_K    2     -     256  16  -     scale * sub[k/16] * code - min * sub_min[k/16]
//   Q3_K    2     1     256  12  4     scale * sub[k/16] * (code - zero)
//   Q6_K    4     2     256  16  32    scale * sub[k/16] * (code - zero)
// Rows beyond `rows` in the last panel are zero (codes equal to the zero point, scales 0).
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/aligned.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace paring::kernels {

inline constexpr std::size_t kPanelRows = 16;
inline constexpr std::size_t kGroupValues = 32;   // activations that share a scale
inline constexpr std::size_t kSuperValues = 256;  // weights of a super-block

// One plane of a matrix: 64-byte aligned memory, owned by its PackedMatrix or by the one who placed
// it, or empty.
class Plane {
 public:
  Plane() = default;
  Plane(std::byte* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }
  template <typename T>
  T* as() noexcept {
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const noexcept {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

struct PackedMatrix {
  DType type = DType::kF32;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t padded_rows = 0;
  std::size_t block_values = 1;  // columns that share an entry of `scales`
  Plane codes;
  Plane high;
  Plane scales;
  Plane mins;
  Plane subs;
  AlignedBuffer memory;  // of all planes; empty when they lie in memory of the caller

  std::size_t panels() const noexcept { return padded_rows / kPanelRows; }
  std::size_t groups() const noexcept { return cols / kGroupValues; }
  std::size_t bytes() const noexcept {
    return codes.bytes() + high.bytes() + scales.bytes() + mins.bytes() + subs.bytes();
  }
  // Start of panel `panel` in each plane.
  std::size_t codes_panel_bytes() const noexcept { return codes.bytes() / panels(); }
};

// Panels begin..end-1 of a matrix.
struct PanelRange {
  std::size_t begin;
  std::size_t end;
};

// Whether pack() knows the type.
bool has_panel_layout(DType type) noexcept;

// From `rows` rows in the file's row-major block layout. `source` may be unaligned.
// Unsupported for a type without a panel layout, InvalidArgument when cols is not whole blocks or
// the matrix is empty.
Result<PackedMatrix> pack(DType type, const std::byte* source, std::size_t rows, std::size_t cols);
// The same in two steps, so that several threads fill one matrix: allocate_packed() gives untouched
// memory, pack_panels() fills the panels of its range from `source`, the rows of the first of them
// and on. Disjoint ranges may be packed at the same time.
Result<PackedMatrix> allocate_packed(DType type, std::size_t rows, std::size_t cols);
// The same in memory of the caller, so that the matrices of a model share huge pages: 64-byte
// aligned, packed_bytes() long, alive as long as the matrix. Both give the errors of pack().
Result<std::size_t> packed_bytes(DType type, std::size_t rows, std::size_t cols);
Result<PackedMatrix> place_packed(DType type, std::size_t rows, std::size_t cols,
                                  std::byte* memory);
void pack_panels(PackedMatrix& matrix, const std::byte* source, PanelRange panels) noexcept;
// Panels of a matrix as a matrix of their own, in its memory, which must outlive it. REQUIRES: the
// panels exist.
PackedMatrix view_panels(const PackedMatrix& matrix, PanelRange panels) noexcept;
// Back to row-major blocks; `target` holds rows * dtype_row_bytes(type, cols) bytes. Bit-exact.
void unpack(const PackedMatrix& matrix, std::byte* target);
// Row `row` as cols f32 values, exact.
void unpack_row_f32(const PackedMatrix& matrix, std::size_t row, float* target) noexcept;

}  // namespace paring::kernels
