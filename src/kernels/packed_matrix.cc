// SPDX-License-Identifier: Apache-2.0
// Packing into panels and back: pure permutations of bytes and nibbles, tiled so that each source
// line is read once (16 rows at equal power-of-two strides would otherwise evict each other).
#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "quant/format.h"

namespace paring::kernels {
namespace {

// How a block type splits into planes. Offsets are within the file's block.
struct BlockLayout {
  DType type;
  std::size_t bytes;  // of a block of 32 values in the file
  int min_offset;     // f16 minimum, -1 when the type has none
  int high_offset;    // u32 of fifth bits, -1 when the type has none
  std::size_t code_offset;
  std::size_t code_bytes;  // 32 or 16
  std::uint8_t zero;       // code that stands for 0
};

constexpr BlockLayout kBlockLayouts[] = {
    {DType::kQ8_0, 34, -1, -1, 2, 32, 0}, {DType::kQ4_0, 18, -1, -1, 2, 16, 8},
    {DType::kQ4_1, 20, 2, -1, 4, 16, 0},  {DType::kQ5_0, 22, -1, 2, 6, 16, 16},
    {DType::kQ5_1, 24, 2, 4, 8, 16, 0},
};

const BlockLayout* find_layout(DType type) {
  for (const BlockLayout& layout : kBlockLayouts) {
    if (layout.type == type) return &layout;
  }
  return nullptr;
}

std::size_t float_bytes(DType type) {
  if (type == DType::kF32) return 4;
  if (type == DType::kF16 || type == DType::kBF16) return 2;
  return 0;
}

template <typename T>
T load(const std::byte* source) {
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}

template <typename T>
void store(std::byte* target, T value) {
  std::memcpy(target, &value, sizeof(T));
}

// Columns of a float tile: 64 bytes of each row at 2 bytes a value.
constexpr std::size_t kTileColumns = 32;

template <typename T>
void pack_float_panel(const std::byte* source, std::size_t rows, std::size_t cols, T* target) {
  for (std::size_t k0 = 0; k0 < cols; k0 += kTileColumns) {
    const std::size_t count = std::min(kTileColumns, cols - k0);
    for (std::size_t r = 0; r < rows; ++r) {
      const std::byte* row = source + (r * cols + k0) * sizeof(T);
      for (std::size_t k = 0; k < count; ++k) {
        target[(k0 + k) * kPanelRows + r] = load<T>(row + k * sizeof(T));
      }
    }
    for (std::size_t r = rows; r < kPanelRows; ++r) {
      for (std::size_t k = 0; k < count; ++k) target[(k0 + k) * kPanelRows + r] = 0;
    }
  }
}

template <typename T>
void unpack_float_panel(const T* source, std::size_t rows, std::size_t cols, std::byte* target) {
  for (std::size_t k0 = 0; k0 < cols; k0 += kTileColumns) {
    const std::size_t count = std::min(kTileColumns, cols - k0);
    for (std::size_t r = 0; r < rows; ++r) {
      std::byte* row = target + (r * cols + k0) * sizeof(T);
      for (std::size_t k = 0; k < count; ++k) {
        store<T>(row + k * sizeof(T), source[(k0 + k) * kPanelRows + r]);
      }
    }
  }
}

constexpr std::uint64_t kLowNibbles = 0x0f0f0f0f0f0f0f0fULL;

// The planes of one panel.
struct Planes {
  std::byte* codes;
  std::uint64_t* high;
  std::uint16_t* scales;
  std::uint16_t* mins;
};

// Entry `offset` of a plane that a type may lack.
template <typename T>
T* plane_at(AlignedBuffer& plane, std::size_t offset) {
  return plane.bytes() == 0 ? nullptr : plane.as<T>() + offset;
}

Planes panel_planes(PackedMatrix& matrix, std::size_t panel) {
  const std::size_t groups = matrix.groups();
  return {matrix.codes.data() + panel * matrix.codes_panel_bytes(),
          plane_at<std::uint64_t>(matrix.high, panel * groups * 8),
          plane_at<std::uint16_t>(matrix.scales, panel * groups * kPanelRows),
          plane_at<std::uint16_t>(matrix.mins, panel * groups * kPanelRows)};
}

// Group `g` of panel row `r` from the file's block.
void pack_block(const BlockLayout& layout, const std::byte* block, const Planes& planes,
                std::size_t g, std::size_t r) {
  planes.scales[g * kPanelRows + r] = load<std::uint16_t>(block);
  if (layout.min_offset >= 0) {
    planes.mins[g * kPanelRows + r] = load<std::uint16_t>(block + layout.min_offset);
  }
  const std::byte* codes = block + layout.code_offset;
  if (layout.code_bytes == kGroupValues) {
    for (std::size_t j = 0; j < 8; ++j) {
      std::memcpy(planes.codes + ((g * 8 + j) * kPanelRows + r) * 4, codes + 4 * j, 4);
    }
    return;
  }
  // In the file, byte i holds value i in its low and value i + 16 in its high nibble.
  const std::uint64_t first = load<std::uint64_t>(codes);
  const std::uint64_t second = load<std::uint64_t>(codes + 8);
  const std::uint64_t values[4] = {first & kLowNibbles, second & kLowNibbles,
                                   (first >> 4) & kLowNibbles, (second >> 4) & kLowNibbles};
  for (std::size_t j = 0; j < 4; ++j) {
    const auto pair = static_cast<std::uint32_t>(values[j] | (values[j] >> 28));
    store<std::uint32_t>(planes.codes + ((g * 4 + j) * kPanelRows + r) * 4, pair);
  }
  if (layout.high_offset >= 0) {
    const std::uint64_t bits = load<std::uint32_t>(block + layout.high_offset);
    for (std::size_t j = 0; j < 8; ++j) {
      const std::uint64_t mask = 0xfULL << (4 * r);
      std::uint64_t& word = planes.high[g * 8 + j];
      word = (word & ~mask) | (((bits >> (4 * j)) & 0xf) << (4 * r));
    }
  }
}

// The block that stands for 32 zeros, for the rows that pad the last panel.
void zero_block(const BlockLayout& layout, std::byte* block) {
  std::memset(block, 0, layout.bytes);
  if (layout.zero == 8) std::memset(block + layout.code_offset, 0x88, layout.code_bytes);
  if (layout.zero == 16) std::memset(block + layout.high_offset, 0xff, 4);
}

void unpack_block(const BlockLayout& layout, const Planes& planes, std::size_t g, std::size_t r,
                  std::byte* block) {
  store<std::uint16_t>(block, planes.scales[g * kPanelRows + r]);
  if (layout.min_offset >= 0) {
    store<std::uint16_t>(block + layout.min_offset, planes.mins[g * kPanelRows + r]);
  }
  std::byte* codes = block + layout.code_offset;
  if (layout.code_bytes == kGroupValues) {
    for (std::size_t j = 0; j < 8; ++j) {
      std::memcpy(codes + 4 * j, planes.codes + ((g * 8 + j) * kPanelRows + r) * 4, 4);
    }
    return;
  }
  std::uint64_t values[4];
  for (std::size_t j = 0; j < 4; ++j) {
    const std::uint64_t pair =
        load<std::uint32_t>(planes.codes + ((g * 4 + j) * kPanelRows + r) * 4);
    values[j] = (pair | (pair << 28)) & kLowNibbles;
  }
  store<std::uint64_t>(codes, values[0] | (values[2] << 4));
  store<std::uint64_t>(codes + 8, values[1] | (values[3] << 4));
  if (layout.high_offset >= 0) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 8; ++j) {
      const auto nibble = static_cast<std::uint32_t>((planes.high[g * 8 + j] >> (4 * r)) & 0xf);
      bits |= nibble << (4 * j);
    }
    store<std::uint32_t>(block + layout.high_offset, bits);
  }
}

std::size_t rows_in_panel(const PackedMatrix& matrix, std::size_t panel) {
  return std::min(kPanelRows, matrix.rows - panel * kPanelRows);
}

}  // namespace

Result<PackedMatrix> allocate_packed(DType type, std::size_t rows, std::size_t cols) {
  const BlockLayout* layout = find_layout(type);
  const std::size_t value_bytes = float_bytes(type);
  if (layout == nullptr && value_bytes == 0) {
    return unsupported("type " + std::string(dtype_name(type)) + " has no panel layout",
                       "use F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 or Q5_1");
  }
  if (rows == 0 || cols == 0) return invalid_argument("a matrix needs at least one row and column");
  if (layout != nullptr && cols % kGroupValues != 0) {
    return invalid_argument("a row of " + std::to_string(cols) + " values is not whole blocks of " +
                            std::to_string(kGroupValues));
  }
  PackedMatrix matrix;
  matrix.type = type;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.padded_rows = (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  if (layout == nullptr) {
    PARING_TRY(matrix.codes, AlignedBuffer::create(matrix.padded_rows * cols * value_bytes));
    return matrix;
  }
  const std::size_t blocks = matrix.padded_rows * matrix.groups();
  PARING_TRY(matrix.codes, AlignedBuffer::create(blocks * layout->code_bytes));
  PARING_TRY(matrix.scales, AlignedBuffer::create(blocks * 2));
  if (layout->high_offset >= 0) {
    PARING_TRY(matrix.high, AlignedBuffer::create(blocks * 4));
  }
  if (layout->min_offset >= 0) {
    PARING_TRY(matrix.mins, AlignedBuffer::create(blocks * 2));
  }
  return matrix;
}

void pack_panels(PackedMatrix& matrix, const std::byte* source, PanelRange panels) noexcept {
  const BlockLayout* layout = find_layout(matrix.type);
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::size_t rows = rows_in_panel(matrix, panel);
    const std::size_t first_row = panel * kPanelRows;
    if (layout == nullptr) {
      const std::size_t value_bytes = float_bytes(matrix.type);
      const std::byte* panel_source = source + first_row * matrix.cols * value_bytes;
      if (value_bytes == 4) {
        pack_float_panel(panel_source, rows, matrix.cols,
                         matrix.codes.as<std::uint32_t>() + first_row * matrix.cols);
      } else {
        pack_float_panel(panel_source, rows, matrix.cols,
                         matrix.codes.as<std::uint16_t>() + first_row * matrix.cols);
      }
      continue;
    }
    const std::size_t groups = matrix.groups();
    const std::size_t row_bytes = groups * layout->bytes;
    std::byte zeros[34];
    zero_block(*layout, zeros);
    const Planes planes = panel_planes(matrix, panel);
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t r = 0; r < kPanelRows; ++r) {
        const std::byte* block =
            r < rows ? source + (first_row + r) * row_bytes + g * layout->bytes : zeros;
        pack_block(*layout, block, planes, g, r);
      }
    }
  }
}

Result<PackedMatrix> pack(DType type, const std::byte* source, std::size_t rows, std::size_t cols) {
  PARING_TRY(PackedMatrix matrix, allocate_packed(type, rows, cols));
  pack_panels(matrix, source, {0, matrix.panels()});
  return matrix;
}

void unpack(const PackedMatrix& matrix, std::byte* target) {
  const BlockLayout* layout = find_layout(matrix.type);
  // panel_planes() serves both directions; nothing is written through it here.
  auto& planes_of = const_cast<PackedMatrix&>(matrix);
  for (std::size_t panel = 0; panel < matrix.panels(); ++panel) {
    const std::size_t rows = rows_in_panel(matrix, panel);
    const std::size_t first_row = panel * kPanelRows;
    if (layout == nullptr) {
      const std::size_t value_bytes = float_bytes(matrix.type);
      std::byte* panel_target = target + first_row * matrix.cols * value_bytes;
      if (value_bytes == 4) {
        unpack_float_panel(matrix.codes.as<std::uint32_t>() + first_row * matrix.cols, rows,
                           matrix.cols, panel_target);
      } else {
        unpack_float_panel(matrix.codes.as<std::uint16_t>() + first_row * matrix.cols, rows,
                           matrix.cols, panel_target);
      }
      continue;
    }
    const Planes planes = panel_planes(planes_of, panel);
    const std::size_t row_bytes = matrix.groups() * layout->bytes;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t g = 0; g < matrix.groups(); ++g) {
        unpack_block(*layout, planes, g, r,
                     target + (first_row + r) * row_bytes + g * layout->bytes);
      }
    }
  }
}

void unpack_row_f32(const PackedMatrix& matrix, std::size_t row, float* target) noexcept {
  const std::size_t panel = row / kPanelRows;
  const std::size_t r = row % kPanelRows;
  const std::size_t first = panel * kPanelRows * matrix.cols + r;
  if (matrix.type == DType::kF32) {
    const float* codes = matrix.codes.as<float>() + first;
    for (std::size_t k = 0; k < matrix.cols; ++k) target[k] = codes[k * kPanelRows];
    return;
  }
  if (matrix.type == DType::kF16 || matrix.type == DType::kBF16) {
    const auto to_f32 = matrix.type == DType::kF16 ? quant::f16_to_f32 : quant::bf16_to_f32;
    const std::uint16_t* codes = matrix.codes.as<std::uint16_t>() + first;
    for (std::size_t k = 0; k < matrix.cols; ++k) target[k] = to_f32(codes[k * kPanelRows]);
    return;
  }
  const BlockLayout& layout = *find_layout(matrix.type);
  const quant::Format& format = *quant::find_format(matrix.type);
  const Planes planes = panel_planes(const_cast<PackedMatrix&>(matrix), panel);
  alignas(8) std::byte block[34];
  for (std::size_t g = 0; g < matrix.groups(); ++g) {
    unpack_block(layout, planes, g, r, block);
    format.decode(block, target + g * kGroupValues, kGroupValues);
  }
}

}  // namespace paring::kernels
