// SPDX-License-Identifier: Apache-2.0
// Packing into panels and back: pure permutations of bits, ordered so that each source line is read
// once (16 rows at equal power-of-two strides would otherwise evict each other).
#include "kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/block_layout.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

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

// The planes of one panel.
struct Planes {
  std::byte* codes;
  std::byte* high;
  std::byte* scales;
  std::byte* mins;
  std::byte* subs;
};

Planes panel_planes(PackedMatrix& matrix, std::size_t panel) {
  const auto start = [&](Plane& plane) {
    return plane.data() + panel * (plane.bytes() / matrix.panels());
  };
  return {start(matrix.codes), start(matrix.high), start(matrix.scales), start(matrix.mins),
          start(matrix.subs)};
}

// Bits [shift, shift + kBits) of `count` codes to row r of a plane of 8, 4 or 2 bits a code, and
// back, or-ed to what `codes` hold.
template <int kBits>
void put_codes(const std::uint8_t* codes, std::size_t count, int shift, std::size_t r,
               std::byte* plane) {
  constexpr std::uint32_t kMask = 0x01010101U * ((1U << kBits) - 1);
  constexpr std::size_t kQuads = 8 / kBits;  // that share 16 rows x 4 bytes
  for (std::size_t k = 0; k < count; k += 4 * kQuads) {
    std::uint32_t shared = 0;
    for (std::size_t i = 0; i < kQuads; ++i) {
      std::uint32_t quad;
      std::memcpy(&quad, codes + k + 4 * i, 4);
      shared |= (quad >> shift & kMask) << (kBits * i);
    }
    store<std::uint32_t>(plane + (k / (4 * kQuads) * kPanelRows + r) * 4, shared);
  }
}

template <int kBits>
void get_codes(const std::byte* plane, std::size_t count, int shift, std::size_t r,
               std::uint8_t* codes) {
  constexpr std::uint32_t kMask = 0x01010101U * ((1U << kBits) - 1);
  constexpr std::size_t kQuads = 8 / kBits;
  for (std::size_t k = 0; k < count; k += 4 * kQuads) {
    const auto shared = load<std::uint32_t>(plane + (k / (4 * kQuads) * kPanelRows + r) * 4);
    for (std::size_t i = 0; i < kQuads; ++i) {
      std::uint32_t quad;
      std::memcpy(&quad, codes + k + 4 * i, 4);
      quad |= (shared >> (kBits * i) & kMask) << shift;
      std::memcpy(codes + k + 4 * i, &quad, 4);
    }
  }
}

// The same for the plane of one bit a code: four bits of row r in each word of 16 rows.
void put_bits(const std::uint8_t* codes, std::size_t count, int shift, std::size_t r,
              std::byte* plane) {
  for (std::size_t k = 0; k < count; k += 4) {
    std::uint32_t quad;
    std::memcpy(&quad, codes + k, 4);
    // Bits 0, 8, 16, 24 move to 24, 25, 26, 27; no two of the products meet.
    const std::uint64_t bits = ((quad >> shift & 0x01010101U) * 0x01020408U) >> 24 & 0xf;
    const auto word = load<std::uint64_t>(plane + 2 * k);
    store<std::uint64_t>(plane + 2 * k, (word & ~(0xfULL << (4 * r))) | bits << (4 * r));
  }
}

void get_bits(const std::byte* plane, std::size_t count, int shift, std::size_t r,
              std::uint8_t* codes) {
  for (std::size_t k = 0; k < count; ++k) {
    const auto word = load<std::uint64_t>(plane + k / 4 * 8);
    codes[k] |= static_cast<std::uint8_t>((word >> (4 * r + k % 4) & 1) << shift);
  }
}

// Bytes that `columns` columns of a panel take in a plane of `bits` a code.
std::size_t plane_bytes(std::size_t columns, int bits) {
  return columns * kPanelRows * static_cast<std::size_t>(bits) / 8;
}

// Block `b` of panel row `r` from the file's block.
void pack_block(const BlockLayout& layout, const std::byte* block, const Planes& planes,
                std::size_t b, std::size_t r) {
  std::uint8_t codes[kBlockValuesMax];
  read_codes(layout, block, codes);
  std::byte* low = planes.codes + plane_bytes(b * layout.values, layout.low_bits);
  if (layout.low_bits == 8) put_codes<8>(codes, layout.values, 0, r, low);
  if (layout.low_bits == 4) put_codes<4>(codes, layout.values, 0, r, low);
  if (layout.low_bits == 2) put_codes<2>(codes, layout.values, 0, r, low);
  std::byte* high = planes.high + plane_bytes(b * layout.values, layout.high_bits);
  if (layout.high_bits == 1) put_bits(codes, layout.values, layout.low_bits, r, high);
  if (layout.high_bits == 2) put_codes<2>(codes, layout.values, layout.low_bits, r, high);
  const std::size_t entry = (b * kPanelRows + r) * 2;
  store(planes.scales + entry, load<std::uint16_t>(block + layout.scale));
  if (layout.min >= 0) store(planes.mins + entry, load<std::uint16_t>(block + layout.min));
  for (std::size_t i = 0; i < layout.sub_bytes; ++i) {
    planes.subs[(b * layout.sub_bytes + i) * kPanelRows + r] = block[layout.subs + i];
  }
}

void unpack_block(const BlockLayout& layout, const Planes& planes, std::size_t b, std::size_t r,
                  std::byte* block) {
  std::uint8_t codes[kBlockValuesMax] = {};
  const std::byte* low = planes.codes + plane_bytes(b * layout.values, layout.low_bits);
  if (layout.low_bits == 8) get_codes<8>(low, layout.values, 0, r, codes);
  if (layout.low_bits == 4) get_codes<4>(low, layout.values, 0, r, codes);
  if (layout.low_bits == 2) get_codes<2>(low, layout.values, 0, r, codes);
  const std::byte* high = planes.high + plane_bytes(b * layout.values, layout.high_bits);
  if (layout.high_bits == 1) get_bits(high, layout.values, layout.low_bits, r, codes);
  if (layout.high_bits == 2) get_codes<2>(high, layout.values, layout.low_bits, r, codes);
  std::memset(block, 0, layout.bytes);
  write_codes(layout, codes, block);
  const std::size_t entry = (b * kPanelRows + r) * 2;
  store(block + layout.scale, load<std::uint16_t>(planes.scales + entry));
  if (layout.min >= 0) store(block + layout.min, load<std::uint16_t>(planes.mins + entry));
  for (std::size_t i = 0; i < layout.sub_bytes; ++i) {
    block[layout.subs + i] = planes.subs[(b * layout.sub_bytes + i) * kPanelRows + r];
  }
}

// The block that stands for zeros, for the rows that pad the last panel.
void zero_block(const BlockLayout& layout, std::byte* block) {
  std::uint8_t codes[kBlockValuesMax];
  std::memset(codes, layout.zero, sizeof(codes));
  std::memset(block, 0, layout.bytes);
  write_codes(layout, codes, block);
}

std::size_t rows_in_panel(const PackedMatrix& matrix, std::size_t panel) {
  return std::min(kPanelRows, matrix.rows - panel * kPanelRows);
}

std::string known_types() {
  std::string names = "F32, F16, BF16";
  for (const BlockLayout& layout : block_layouts()) {
    names += ", " + std::string(dtype_name(layout.type));
  }
  return names;
}

std::size_t align_64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// A matrix whose planes know their sizes and not yet their place.
Result<PackedMatrix> describe(DType type, std::size_t rows, std::size_t cols) {
  if (!has_panel_layout(type)) {
    return unsupported("type " + std::string(dtype_name(type)) + " has no panel layout",
                       "types that matrices can have: " + known_types());
  }
  const BlockLayout* layout = find_block_layout(type);
  if (rows == 0 || cols == 0) return invalid_argument("a matrix needs at least one row and column");
  if (layout != nullptr && cols % layout->values != 0) {
    return invalid_argument("a row of " + std::to_string(cols) + " values is not whole blocks of " +
                            std::to_string(layout->values));
  }
  PackedMatrix matrix;
  matrix.type = type;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.padded_rows = (rows + kPanelRows - 1) / kPanelRows * kPanelRows;
  if (layout == nullptr) {
    matrix.codes = Plane(nullptr, matrix.padded_rows * cols * float_bytes(type));
    return matrix;
  }
  matrix.block_values = layout->values;
  const std::size_t blocks = matrix.padded_rows * (cols / layout->values);
  const std::size_t panels = matrix.panels();
  matrix.codes = Plane(nullptr, panels * plane_bytes(cols, layout->low_bits));
  matrix.high = Plane(nullptr, panels * plane_bytes(cols, layout->high_bits));
  matrix.scales = Plane(nullptr, blocks * 2);
  matrix.mins = Plane(nullptr, layout->min >= 0 ? blocks * 2 : 0);
  matrix.subs = Plane(nullptr, blocks * layout->sub_bytes);
  return matrix;
}

std::size_t memory_bytes(const PackedMatrix& matrix) {
  std::size_t total = 0;
  for (const Plane* plane :
       {&matrix.codes, &matrix.high, &matrix.scales, &matrix.mins, &matrix.subs}) {
    total += align_64(plane->bytes());
  }
  return total;
}

void place(PackedMatrix& matrix, std::byte* memory) {
  for (Plane* plane : {&matrix.codes, &matrix.high, &matrix.scales, &matrix.mins, &matrix.subs}) {
    *plane = Plane(memory, plane->bytes());
    memory += align_64(plane->bytes());
  }
}

}  // namespace

bool has_panel_layout(DType type) noexcept {
  return float_bytes(type) != 0 || find_block_layout(type) != nullptr;
}

Result<PackedMatrix> allocate_packed(DType type, std::size_t rows, std::size_t cols) {
  PARING_TRY(PackedMatrix matrix, describe(type, rows, cols));
  PARING_TRY(matrix.memory, AlignedBuffer::create(memory_bytes(matrix)));
  place(matrix, matrix.memory.data());
  return matrix;
}

Result<std::size_t> packed_bytes(DType type, std::size_t rows, std::size_t cols) {
  PARING_TRY(const PackedMatrix matrix, describe(type, rows, cols));
  return memory_bytes(matrix);
}

Result<PackedMatrix> place_packed(DType type, std::size_t rows, std::size_t cols,
                                  std::byte* memory) {
  PARING_TRY(PackedMatrix matrix, describe(type, rows, cols));
  place(matrix, memory);
  return matrix;
}

void pack_panels(PackedMatrix& matrix, const std::byte* source, PanelRange panels) noexcept {
  const BlockLayout* layout = find_block_layout(matrix.type);
  for (std::size_t panel = panels.begin; panel < panels.end; ++panel) {
    const std::size_t rows = rows_in_panel(matrix, panel);
    const std::size_t first_row = panel * kPanelRows;
    const std::size_t source_row = (panel - panels.begin) * kPanelRows;
    if (layout == nullptr) {
      const std::size_t value_bytes = float_bytes(matrix.type);
      const std::byte* panel_source = source + source_row * matrix.cols * value_bytes;
      if (value_bytes == 4) {
        pack_float_panel(panel_source, rows, matrix.cols,
                         matrix.codes.as<std::uint32_t>() + first_row * matrix.cols);
      } else {
        pack_float_panel(panel_source, rows, matrix.cols,
                         matrix.codes.as<std::uint16_t>() + first_row * matrix.cols);
      }
      continue;
    }
    const std::size_t blocks = matrix.cols / layout->values;
    const std::size_t row_bytes = blocks * layout->bytes;
    std::byte zeros[kBlockBytesMax];
    zero_block(*layout, zeros);
    const Planes planes = panel_planes(matrix, panel);
    for (std::size_t b = 0; b < blocks; ++b) {
      for (std::size_t r = 0; r < kPanelRows; ++r) {
        const std::byte* block =
            r < rows ? source + (source_row + r) * row_bytes + b * layout->bytes : zeros;
        pack_block(*layout, block, planes, b, r);
      }
    }
  }
}

Result<PackedMatrix> pack(DType type, const std::byte* source, std::size_t rows, std::size_t cols) {
  PARING_TRY(PackedMatrix matrix, allocate_packed(type, rows, cols));
  pack_panels(matrix, source, {0, matrix.panels()});
  return matrix;
}

PackedMatrix view_panels(const PackedMatrix& matrix, PanelRange panels) noexcept {
  const auto part = [&](const Plane& plane) {
    const std::size_t each = plane.bytes() / matrix.panels();
    // Planes have no read-only kind; nothing writes to a packed matrix.
    auto* start = const_cast<std::byte*>(plane.data());
    return each == 0 ? Plane()
                     : Plane(start + panels.begin * each, (panels.end - panels.begin) * each);
  };
  PackedMatrix view;
  view.type = matrix.type;
  view.rows = std::min(panels.end * kPanelRows, matrix.rows) - panels.begin * kPanelRows;
  view.cols = matrix.cols;
  view.padded_rows = (panels.end - panels.begin) * kPanelRows;
  view.block_values = matrix.block_values;
  view.codes = part(matrix.codes);
  view.high = part(matrix.high);
  view.scales = part(matrix.scales);
  view.mins = part(matrix.mins);
  view.subs = part(matrix.subs);
  return view;
}

void unpack(const PackedMatrix& matrix, std::byte* target) {
  const BlockLayout* layout = find_block_layout(matrix.type);
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
    const std::size_t blocks = matrix.cols / layout->values;
    const std::size_t row_bytes = blocks * layout->bytes;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t b = 0; b < blocks; ++b) {
        unpack_block(*layout, planes, b, r,
                     target + (first_row + r) * row_bytes + b * layout->bytes);
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
  const BlockLayout& layout = *find_block_layout(matrix.type);
  const quant::Format& format = *quant::find_format(matrix.type);
  const Planes planes = panel_planes(const_cast<PackedMatrix&>(matrix), panel);
  alignas(8) std::byte block[kBlockBytesMax];
  for (std::size_t b = 0; b < matrix.cols / layout.values; ++b) {
    unpack_block(layout, planes, b, r, block);
    format.decode(block, target + b * layout.values, layout.values);
  }
}

}  // namespace paring::kernels
