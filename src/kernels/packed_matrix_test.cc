// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_matrix.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "kernels/test_levels.h"
#include "quant/format.h"

namespace paring::kernels {
namespace {

std::vector<DType> all_types() {
  std::vector<DType> types(std::begin(kBlockTypes), std::end(kBlockTypes));
  types.insert(types.end(), {DType::kF32, DType::kF16, DType::kBF16});
  return types;
}
constexpr std::size_t kRows[] = {1, 15, 16, 17, 33, 576};
constexpr std::size_t kCols[] = {32, 64, 96, 576, 1536};

bool is_float(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  return bytes;
}

void expect_round_trip(DType type, std::size_t rows, std::size_t cols) {
  SCOPED_TRACE(testing::Message() << dtype_name(type) << " " << rows << "x" << cols);
  const std::size_t bytes = rows * *dtype_row_bytes(type, cols);
  // One byte in front, so that the source is misaligned; decoders want theirs aligned.
  const std::vector<std::byte> source = random_bytes(bytes + 1, static_cast<unsigned>(rows + cols));
  const std::vector<std::byte> aligned(source.begin() + 1, source.end());
  Result<PackedMatrix> matrix = pack(type, source.data() + 1, rows, cols);
  ASSERT_TRUE(matrix.has_value());
  std::vector<std::byte> target(bytes, std::byte{0x5a});
  unpack(*matrix, target.data());
  EXPECT_EQ(0, std::memcmp(target.data(), source.data() + 1, bytes));

  std::vector<float> expected(cols);
  std::vector<float> row(cols);
  for (std::size_t r : {std::size_t{0}, rows / 2, rows - 1}) {
    quant::find_format(type)->decode(aligned.data() + r * (bytes / rows), expected.data(), cols);
    unpack_row_f32(*matrix, r, row.data());
    EXPECT_EQ(0, std::memcmp(row.data(), expected.data(), cols * 4)) << "row " << r;
  }
}

TEST(PackedMatrix, RoundTripIsBitExact) {
  for (DType type : all_types()) {
    for (std::size_t rows : kRows) {
      std::size_t done = 0;
      for (std::size_t cols : kCols) {
        if (whole_blocks(type, cols) != done) {
          expect_round_trip(type, rows, done = whole_blocks(type, cols));
        }
      }
      if (is_float(type)) {
        for (std::size_t cols : {1, 31, 37}) expect_round_trip(type, rows, cols);
      }
    }
  }
}

// A panel takes the bits of the file and no more.
TEST(PackedMatrix, IsAsLargeAsTheFilesTensor) {
  for (DType type : all_types()) {
    EXPECT_EQ(allocate_packed(type, 48, 512)->bytes(), 48 * *dtype_row_bytes(type, 512));
  }
}

TEST(PackedMatrix, PanelRangesTogetherEqualTheWhole) {
  constexpr std::size_t kHeight = 70;
  for (DType type : all_types()) {
    const std::size_t width = whole_blocks(type, 96);
    const auto source = random_bytes(kHeight * *dtype_row_bytes(type, width), 7);
    const PackedMatrix whole = pack(type, source.data(), kHeight, width).value();
    PackedMatrix parts = allocate_packed(type, kHeight, width).value();
    ASSERT_EQ(parts.panels(), 5U);
    const auto rows_of = [&](std::size_t panel) {
      return source.data() + panel * kPanelRows * *dtype_row_bytes(type, width);
    };
    pack_panels(parts, rows_of(3), {3, 5});
    pack_panels(parts, rows_of(0), {0, 1});
    pack_panels(parts, rows_of(1), {1, 3});
    EXPECT_EQ(0, std::memcmp(parts.codes.data(), whole.codes.data(), whole.codes.bytes()));
    EXPECT_EQ(parts.bytes(), whole.bytes());
    for (auto plane :
         {&PackedMatrix::high, &PackedMatrix::scales, &PackedMatrix::mins, &PackedMatrix::subs}) {
      const std::size_t bytes = (whole.*plane).bytes();
      if (bytes == 0) continue;
      EXPECT_EQ(0, std::memcmp((parts.*plane).data(), (whole.*plane).data(), bytes));
    }
  }
}

// Placed by the caller, as a model does with all its matrices: the same bytes, nothing outside.
TEST(PackedMatrix, LiesInMemoryOfTheCaller) {
  for (DType type : all_types()) {
    const std::size_t cols = whole_blocks(type, 96);
    const auto source = random_bytes(20 * *dtype_row_bytes(type, cols), 3);
    const std::size_t bytes = packed_bytes(type, 20, cols).value();
    EXPECT_EQ(bytes % 64, 0U);
    AlignedBuffer memory = AlignedBuffer::create(bytes + 64).value();
    memory.data()[bytes] = std::byte{0x77};
    PackedMatrix placed = place_packed(type, 20, cols, memory.data()).value();
    pack_panels(placed, source.data(), {0, placed.panels()});
    std::vector<std::byte> target(source.size());
    unpack(placed, target.data());
    EXPECT_EQ(target, source) << dtype_name(type);
    EXPECT_EQ(memory.data()[bytes], std::byte{0x77});
    EXPECT_EQ(placed.memory.bytes(), 0U);
  }
  EXPECT_EQ(packed_bytes(DType::kQ4_K, 1, 128).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(packed_bytes(DType::kIQ1_S, 1, 256).error().code, ErrorCode::kUnsupported);
}

TEST(PackedMatrix, AViewOfPanelsHoldsTheirRows) {
  constexpr std::size_t kRowCount = 56;  // the last panel is not full
  for (const DType type : all_types()) {
    SCOPED_TRACE(dtype_name(type));
    const std::size_t row_bytes = *dtype_row_bytes(type, 256);
    const auto source = random_bytes(kRowCount * row_bytes, 5);
    const PackedMatrix whole = pack(type, source.data(), kRowCount, 256).value();
    for (const PanelRange range : {PanelRange{0, 4}, PanelRange{1, 3}, PanelRange{3, 4}}) {
      const PackedMatrix view = view_panels(whole, range);
      const std::size_t first = range.begin * kPanelRows;
      ASSERT_EQ(view.rows, std::min(range.end * kPanelRows, kRowCount) - first);
      ASSERT_EQ(view.panels(), range.end - range.begin);
      std::vector<std::byte> rows(view.rows * row_bytes);
      unpack(view, rows.data());
      EXPECT_EQ(0, std::memcmp(rows.data(), source.data() + first * row_bytes, rows.size()));
    }
  }
}

TEST(PackedMatrix, PaddingRowsDecodeToZero) {
  for (DType type : all_types()) {
    const std::size_t cols = whole_blocks(type, 64);
    const auto source = random_bytes(3 * *dtype_row_bytes(type, cols), 11);
    PackedMatrix matrix = pack(type, source.data(), 3, cols).value();
    ASSERT_EQ(matrix.padded_rows, 16U);
    matrix.rows = matrix.padded_rows;  // lets unpack_row_f32 reach the padding
    std::vector<float> row(cols, 1.0F);
    for (std::size_t r = 3; r < 16; ++r) {
      unpack_row_f32(matrix, r, row.data());
      for (float value : row) EXPECT_EQ(value, 0.0F);
    }
  }
}

TEST(PackedMatrix, RefusesWhatItCannotHold) {
  const std::byte none{};
  EXPECT_EQ(pack(DType::kIQ1_S, &none, 1, 256).error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(has_panel_layout(DType::kIQ1_S));
  EXPECT_EQ(pack(DType::kQ4_K, &none, 1, 128).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(pack(DType::kQ4_0, &none, 1, 33).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(pack(DType::kF32, &none, 0, 32).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(pack(DType::kF32, &none, 4, 0).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace paring::kernels
