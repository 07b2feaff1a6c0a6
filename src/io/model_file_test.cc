// SPDX-License-Identifier: Apache-2.0
#include "io/model_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "quant/format.h"

namespace paring::io {
namespace {

class ModelFileTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("paring_model_file_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A model with one tensor of `type` that lies at byte `offset` of a file with these values.
  template <typename T>
  ModelFile one_tensor(const std::vector<T>& values, TensorInfo info, TensorOrigin origin) {
    const std::string path = (folder_ / "values").string();
    std::ofstream out(path, std::ios::binary);
    out << std::string(origin.offset, '\x55');
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(T)));
    out.close();
    auto map = MappedFile::open(path);
    EXPECT_TRUE(map.has_value());
    info.bytes = *dtype_row_bytes(info.type, info.columns()) * info.rows();
    ModelParts parts;
    parts.path = path;
    parts.file_bytes = map->bytes().size();
    parts.tensors.push_back(std::move(info));
    parts.origins.push_back(std::move(origin));
    parts.maps.push_back(std::move(map).value());
    return ModelFile(std::move(parts));
  }

  std::filesystem::path folder_;
};

std::vector<float> floats(const TensorBytes& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST_F(ModelFileTest, ATensorWithoutChangesIsAViewOfTheMap) {
  const ModelFile file = one_tensor(std::vector<float>{1, 2, 3, 4},
                                    {.name = "t", .type = DType::kF32, .shape = {2, 2}},
                                    {.offset = 64, .stored = DType::kF32});
  const TensorInfo& tensor = file.tensors()[0];
  EXPECT_EQ(file.find("t"), &tensor);
  EXPECT_EQ(file.find("u"), nullptr);
  const TensorBytes first = file.data(tensor);
  const TensorBytes second = file.data(tensor);
  EXPECT_EQ(first.data(), second.data());
  EXPECT_EQ(floats(first), (std::vector<float>{1, 2, 3, 4}));
  file.release(tensor);
  EXPECT_EQ(floats(first), (std::vector<float>{1, 2, 3, 4}));
}

TEST_F(ModelFileTest, HalfWidthValuesAreWidenedAndAConstantIsAdded) {
  const std::vector<std::uint16_t> brain = {quant::f32_to_bf16(-0.5F), quant::f32_to_bf16(3.0F)};
  const ModelFile file = one_tensor(brain, {.name = "t", .type = DType::kF32, .shape = {2}},
                                    {.offset = 6, .stored = DType::kBF16, .added = 1});
  EXPECT_EQ(floats(file.data(file.tensors()[0])), (std::vector<float>{0.5F, 4.0F}));
}

TEST_F(ModelFileTest, RowsOfAHeadGoFromHalvesToPairs) {
  // Two heads of 4 rows of 2 values; a row's values tell its place.
  std::vector<float> values;
  for (int row = 0; row < 8; ++row) {
    values.push_back(static_cast<float>(row));
    values.push_back(static_cast<float>(row) + 0.5F);
  }
  const ModelFile file = one_tensor(values, {.name = "q", .type = DType::kF32, .shape = {2, 8}},
                                    {.stored = DType::kF32, .paired_heads = 2});
  EXPECT_EQ(floats(file.data(file.tensors()[0])),
            (std::vector<float>{0, 0.5F, 2, 2.5F, 1, 1.5F, 3, 3.5F,  //
                                4, 4.5F, 6, 6.5F, 5, 5.5F, 7, 7.5F}));
  const TensorInfo& tensor = file.tensors()[0];
  EXPECT_EQ(floats(file.rows(tensor, 3, 3)), (std::vector<float>{3, 3.5F, 4, 4.5F, 6, 6.5F}));
}

TEST_F(ModelFileTest, RowsAreWidenedAndAddedToAlone) {
  std::vector<std::uint16_t> halves;
  for (int i = 0; i < 12; ++i) halves.push_back(quant::f32_to_f16(static_cast<float>(i)));
  const ModelFile file = one_tensor(halves, {.name = "t", .type = DType::kF32, .shape = {2, 6}},
                                    {.offset = 2, .stored = DType::kF16, .added = 1});
  const TensorInfo& tensor = file.tensors()[0];
  EXPECT_EQ(floats(file.rows(tensor, 4, 2)), (std::vector<float>{9, 10, 11, 12}));
  EXPECT_TRUE(floats(file.rows(tensor, 6, 0)).empty());
  file.release_rows(tensor, 1, 4);
  EXPECT_EQ(floats(file.data(tensor)).back(), 12);
}

TEST_F(ModelFileTest, PiecesAreOneTensor) {
  const std::vector<float> values = {1, 2, 3, 4, -1, -1, 5, 6, 7, 8};
  // Two matrices of two rows, the second one first in the file.
  const ModelFile file = one_tensor(values, {.name = "t", .type = DType::kF32, .shape = {2, 2, 2}},
                                    {.pieces = {{0, 6 * sizeof(float)}, {0, 0}}});
  const TensorInfo& tensor = file.tensors()[0];
  EXPECT_EQ(floats(file.data(tensor)), (std::vector<float>{5, 6, 7, 8, 1, 2, 3, 4}));
  EXPECT_EQ(floats(file.rows(tensor, 1, 2)), (std::vector<float>{7, 8, 1, 2}));
  EXPECT_EQ(floats(file.rows(tensor, 2, 1)), (std::vector<float>{1, 2}));
  const TensorBytes one = file.rows(tensor, 2, 1);
  const TensorBytes two = file.rows(tensor, 2, 2);
  EXPECT_EQ(one.data(), two.data()) << "rows of one piece are a view, no copy";
  file.release_rows(tensor, 1, 2);
  file.release(tensor);
  EXPECT_EQ(floats(file.data(tensor)).back(), 4);
}

TEST_F(ModelFileTest, AVectorIsRearrangedValueByValue) {
  const std::vector<std::uint16_t> halves = {quant::f32_to_f16(0), quant::f32_to_f16(1),
                                             quant::f32_to_f16(2), quant::f32_to_f16(3)};
  const ModelFile file = one_tensor(halves, {.name = "q", .type = DType::kF32, .shape = {4}},
                                    {.stored = DType::kF16, .paired_heads = 1});
  EXPECT_EQ(floats(file.data(file.tensors()[0])), (std::vector<float>{0, 2, 1, 3}));
}

TEST_F(ModelFileTest, ATensorMayBeMadeInsteadOfRead) {
  std::vector<std::byte> made(8);
  const float values[2] = {7, 8};
  std::memcpy(made.data(), values, sizeof(values));
  const ModelFile file =
      one_tensor(std::vector<float>{1, 2}, {.name = "t", .type = DType::kF32, .shape = {2}},
                 {.stored = DType::kF32, .made = made});
  EXPECT_EQ(floats(file.data(file.tensors()[0])), (std::vector<float>{7, 8}));
  file.release(file.tensors()[0]);
}

TEST_F(ModelFileTest, AGgufFileIsReadAsItLies) {
  const std::string path = std::string(PARING_SOURCE_DIR) + "/tests/data/gguf/from_paring.gguf";
  const auto plain = GgufFile::open(path);
  const auto file = ModelFile::open_gguf(path);
  ASSERT_TRUE(plain.has_value());
  ASSERT_TRUE(file.has_value()) << file.error().text();
  EXPECT_EQ(file->layout(), "GGUF v3");
  EXPECT_EQ(file->file_bytes(), plain->file_bytes());
  EXPECT_EQ(file->metadata().entries(), plain->metadata().entries());
  ASSERT_EQ(file->tensors().size(), plain->tensors().size());
  for (std::size_t i = 0; i < file->tensors().size(); ++i) {
    const TensorBytes bytes = file->data(file->tensors()[i]);
    const auto expected = plain->data(plain->tensors()[i]);
    ASSERT_EQ(bytes.size(), expected.size());
    EXPECT_EQ(std::memcmp(bytes.data(), expected.data(), bytes.size()), 0);
  }
}

}  // namespace
}  // namespace paring::io
