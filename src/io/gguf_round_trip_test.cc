// SPDX-License-Identifier: Apache-2.0
// What the writer writes, the reader reads; and both agree with the gguf Python package through
// files in tests/data/gguf (tools/make_gguf_golden.py).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "io/gguf_writer.h"

namespace paring::io {
namespace {

using Type = GgufValueType;

std::string data_folder() { return std::string(PARING_SOURCE_DIR) + "/tests/data/gguf/"; }

class GgufRoundTrip : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("paring_gguf_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

std::vector<std::byte> read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// The keys of tools/make_gguf_golden.py, in its order.
Metadata golden_metadata() {
  Metadata metadata;
  metadata.set("general.architecture", GgufValue::of_string("llama"));
  metadata.set("t.u8", {Type::kU8, std::uint64_t{255}});
  metadata.set("t.i8", {Type::kI8, std::int64_t{-128}});
  metadata.set("t.u16", {Type::kU16, std::uint64_t{65535}});
  metadata.set("t.i16", {Type::kI16, std::int64_t{-32768}});
  metadata.set("t.u32", GgufValue::of_u32(4294967295U));
  metadata.set("t.i32", GgufValue::of_i32(std::numeric_limits<std::int32_t>::min()));
  metadata.set("t.u64", GgufValue::of_u64(std::numeric_limits<std::uint64_t>::max()));
  metadata.set("t.i64", GgufValue::of_i64(std::numeric_limits<std::int64_t>::min()));
  metadata.set("t.f32", GgufValue::of_f32(1.5F));
  metadata.set("t.f64", GgufValue::of_f64(0.1));
  metadata.set("t.bool", GgufValue::of_bool(true));
  metadata.set("t.string", GgufValue::of_string("h\u00e9llo \u4e16\u754c"));
  const std::vector<std::int32_t> integers = {-1, 0, 7};
  metadata.set("a.i32", GgufValue::of_i32_array(integers));
  const std::vector<float> floats = {0.5F, -2.0F};
  metadata.set("a.f32", GgufValue::of_f32_array(floats));
  metadata.set("a.bool",
               {Type::kArray, GgufArray{Type::kBool, std::vector<std::uint64_t>{1, 0, 1}}});
  metadata.set("a.string", GgufValue::of_strings({"<s>", "", "\u0120the"}));
  return metadata;
}

struct GoldenTensor {
  TensorDeclaration declaration;
  std::vector<std::byte> bytes;
};

std::vector<GoldenTensor> golden_tensors() {
  std::vector<GoldenTensor> list(3);
  list[0].declaration = {"m.f32", DType::kF32, {4, 3}};
  for (int i = 0; i < 12; ++i) {
    const float value = static_cast<float>(i) / 4;
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    list[0].bytes.insert(list[0].bytes.end(), first, first + 4);
  }
  list[1].declaration = {"v.f16", DType::kF16, {10}};
  // -5 .. 4 as f16 bits.
  constexpr std::uint16_t kHalves[] = {0xc500, 0xc400, 0xc200, 0xc000, 0xbc00,
                                       0x0000, 0x3c00, 0x4000, 0x4200, 0x4400};
  for (const std::uint16_t half : kHalves) {
    const auto* first = reinterpret_cast<const std::byte*>(&half);
    list[1].bytes.insert(list[1].bytes.end(), first, first + 2);
  }
  list[2].declaration = {"m.q8_0", DType::kQ8_0, {32, 2}};
  for (int i = 0; i < 64; ++i) {
    if (i % 32 == 0) {
      list[2].bytes.push_back(std::byte{0x00});
      list[2].bytes.push_back(std::byte{0x38});  // 0.5
    }
    list[2].bytes.push_back(static_cast<std::byte>(i));
  }
  return list;
}

// `piece`: bytes given to one append() call.
Result<void> write_golden(const std::string& path, const Metadata& metadata, std::size_t piece) {
  PARING_TRY(GgufWriter writer, GgufWriter::create(path, Overwrite::kReplace));
  writer.set_metadata(metadata);
  for (const GoldenTensor& tensor : golden_tensors()) {
    PARING_TRY_VOID(writer.declare(tensor.declaration));
  }
  PARING_TRY_VOID(writer.begin());
  for (const GoldenTensor& tensor : golden_tensors()) {
    for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
      const std::size_t size = std::min(piece, tensor.bytes.size() - at);
      PARING_TRY_VOID(
          writer.append(tensor.declaration.name, std::span(tensor.bytes).subspan(at, size)));
    }
  }
  return writer.commit();
}

void expect_golden(const GgufFile& file) {
  const Metadata expected = golden_metadata();
  for (const auto& [key, value] : expected.entries()) {
    const GgufValue* found = file.metadata().find(key);
    ASSERT_NE(found, nullptr) << key;
    EXPECT_TRUE(*found == value) << key;
  }
  const auto tensors = golden_tensors();
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, tensors[i].declaration.name);
    EXPECT_EQ(tensor.type, tensors[i].declaration.type);
    EXPECT_EQ(tensor.shape, tensors[i].declaration.shape);
    const auto data = file.data(tensor);
    ASSERT_EQ(data.size(), tensors[i].bytes.size());
    EXPECT_EQ(std::memcmp(data.data(), tensors[i].bytes.data(), data.size()), 0) << tensor.name;
    EXPECT_EQ(file.find(tensor.name), &tensor);
  }
  EXPECT_EQ(file.find("absent"), nullptr);
}

TEST_F(GgufRoundTrip, ReadsTheFileOfThePythonPackage) {
  const auto file = GgufFile::open(data_folder() + "from_python.gguf");
  ASSERT_TRUE(file) << file.error().text();
  EXPECT_EQ(file->version(), 3U);
  expect_golden(*file);
}

// After an intended change of the layout: run with PARING_WRITE_GOLDEN=1, then let
// tools/make_gguf_golden.py --check judge the new file.
TEST_F(GgufRoundTrip, WritesTheFileThatThePythonPackageChecked) {
  const std::string golden = data_folder() + "from_paring.gguf";
  if (std::getenv("PARING_WRITE_GOLDEN") != nullptr) {
    ASSERT_TRUE(write_golden(golden, golden_metadata(), 1000));
  }
  ASSERT_TRUE(write_golden(path("out.gguf"), golden_metadata(), 1000));
  EXPECT_TRUE(read_all(path("out.gguf")) == read_all(golden)) << golden;
}

TEST_F(GgufRoundTrip, ReadsBackWhatItWroteWhateverThePieces) {
  for (const std::size_t piece : {1U, 7U, 4096U}) {
    ASSERT_TRUE(write_golden(path("out.gguf"), golden_metadata(), piece));
    const auto file = GgufFile::open(path("out.gguf"));
    ASSERT_TRUE(file) << file.error().text();
    expect_golden(*file);
    for (std::size_t i = 0; i < golden_metadata().size(); ++i) {
      EXPECT_EQ(file->metadata().entries()[i].first, golden_metadata().entries()[i].first);
    }
  }
}

TEST_F(GgufRoundTrip, FileSizeIsKnownBeforehandForEveryAlignment) {
  std::vector<TensorDeclaration> declarations;
  for (const GoldenTensor& tensor : golden_tensors()) declarations.push_back(tensor.declaration);
  for (const std::uint32_t alignment : {8U, 32U, 64U, 4096U}) {
    Metadata metadata = golden_metadata();
    metadata.set("general.alignment", GgufValue::of_u32(alignment));
    const auto bytes = gguf_file_bytes(metadata, declarations);
    ASSERT_TRUE(bytes);
    ASSERT_TRUE(write_golden(path("out.gguf"), metadata, 64));
    EXPECT_EQ(*bytes, std::filesystem::file_size(path("out.gguf")));
    const auto file = GgufFile::open(path("out.gguf"));
    ASSERT_TRUE(file) << file.error().text();
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->file_bytes(), *bytes);
    expect_golden(*file);
  }
}

TEST_F(GgufRoundTrip, NestedArraysAndEmptyOnesSurvive) {
  GgufArray inner{Type::kU16, std::vector<std::uint64_t>{1, 2, 65535}};
  GgufArray empty{Type::kString, std::vector<std::string>{}};
  Metadata metadata;
  metadata.set("nested",
               {Type::kArray, GgufArray{Type::kArray, std::vector<GgufArray>{inner, empty}}});
  auto writer = GgufWriter::create(path("out.gguf"), Overwrite::kRefuse);
  ASSERT_TRUE(writer);
  writer->set_metadata(metadata);
  ASSERT_TRUE(writer->begin());
  ASSERT_TRUE(writer->commit());
  const auto file = GgufFile::open(path("out.gguf"));
  ASSERT_TRUE(file) << file.error().text();
  EXPECT_TRUE(*file->metadata().find("nested") == *metadata.find("nested"));
  EXPECT_TRUE(file->tensors().empty());
}

TEST_F(GgufRoundTrip, EveryTensorTypeKeepsItsBytes) {
  std::vector<DType> types = {
#define PARING_DTYPE(enumerator, name, id, block, bytes) DType::enumerator,
#include "tensor/dtypes.def"
#undef PARING_DTYPE
  };
  auto writer = GgufWriter::create(path("out.gguf"), Overwrite::kRefuse);
  ASSERT_TRUE(writer);
  for (const DType type : types) {
    ASSERT_TRUE(writer->declare({dtype_name(type), type, {256, 3}}));
  }
  ASSERT_TRUE(writer->begin());
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::vector<std::byte> data(dtype_row_bytes(types[i], 256).value() * 3,
                                      static_cast<std::byte>(i + 1));
    ASSERT_TRUE(writer->append(dtype_name(types[i]), data));
  }
  ASSERT_TRUE(writer->commit());
  const auto file = GgufFile::open(path("out.gguf"));
  ASSERT_TRUE(file) << file.error().text();
  for (std::size_t i = 0; i < types.size(); ++i) {
    const TensorInfo* tensor = file->find(dtype_name(types[i]));
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->type, types[i]);
    for (const std::byte byte : file->data(*tensor)) {
      ASSERT_EQ(byte, static_cast<std::byte>(i + 1)) << tensor->name;
    }
    file->release(*tensor);
    EXPECT_EQ(file->data(*tensor).back(), static_cast<std::byte>(i + 1)) << "read again";
  }
}

TEST_F(GgufRoundTrip, WrongDeclarationsAreRefused) {
  auto writer = GgufWriter::create(path("out.gguf"), Overwrite::kRefuse);
  ASSERT_TRUE(writer);
  const auto refused = [&](TensorDeclaration tensor, const char* part) {
    const auto outcome = writer->declare(std::move(tensor));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(outcome.error().text().find(part), std::string::npos) << outcome.error().text();
  };
  refused({"", DType::kF32, {1}}, "name");
  refused({std::string(64, 'n'), DType::kF32, {1}}, "63");
  refused({"w", DType::kF32, {}}, "0 dimensions");
  refused({"w", DType::kF32, {1, 1, 1, 1, 1}}, "5 dimensions");
  refused({"w", DType::kF32, {4, 0}}, "length 0");
  refused({"w", DType::kF32, {std::uint64_t{1} << 40, std::uint64_t{1} << 40}}, "dimension 1");
  refused({"w", DType::kQ4_0, {33}}, "33");
  ASSERT_TRUE(writer->declare({"w", DType::kQ4_0, {32}}));
  refused({"w", DType::kQ4_0, {32}}, "twice");
  Metadata metadata;
  metadata.set("general.alignment", GgufValue::of_u32(3));
  EXPECT_EQ(gguf_file_bytes(metadata, {}).error().code, ErrorCode::kInvalidArgument);
  writer->set_metadata(metadata);
  EXPECT_FALSE(writer->begin());
}

TEST_F(GgufRoundTrip, AnUnfinishedFileLeavesNothing) {
  {
    auto writer = GgufWriter::create(path("out.gguf"), Overwrite::kRefuse);
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->declare({"w", DType::kF32, {1000}}));
    ASSERT_TRUE(writer->begin());
    ASSERT_TRUE(writer->append("w", std::vector<std::byte>(100)));
    EXPECT_FALSE(std::filesystem::is_empty(folder_)) << "the temporary file";
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(GgufRoundTrip, OpenTellsWrongPathsApart) {
  EXPECT_EQ(GgufFile::open(path("none.gguf")).error().code, ErrorCode::kNotFound);
  const auto folder = GgufFile::open(folder_.string());
  EXPECT_EQ(folder.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(folder.error().text().find("folder"), std::string::npos);
  std::ofstream(path("empty.gguf")).close();
  const auto empty = GgufFile::open(path("empty.gguf"));
  EXPECT_EQ(empty.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(empty.error().text().find("empty"), std::string::npos);
  EXPECT_NE(GgufFile::open("/dev/null").error().text().find("not a regular file"),
            std::string::npos);
  EXPECT_EQ(GgufFile::open("").error().code, ErrorCode::kInvalidArgument);
}

// Nothing computes with them, but a file that holds them keeps them.
TEST_F(GgufRoundTrip, IntegersAndDoublesAreStoredAsTheyAre) {
  const std::pair<DType, std::size_t> types[] = {
      {DType::kI8, 1}, {DType::kI16, 2}, {DType::kI32, 4}, {DType::kI64, 8}, {DType::kF64, 8}};
  auto writer = GgufWriter::create(path("data.gguf"), Overwrite::kReplace);
  ASSERT_TRUE(writer);
  std::vector<std::vector<std::byte>> data;
  for (const auto& [type, size] : types) {
    ASSERT_TRUE(writer->declare({dtype_name(type), type, {5, 3}}));
    data.emplace_back(15 * size);
    for (std::size_t i = 0; i < data.back().size(); ++i) data.back()[i] = std::byte(i * 37 + size);
  }
  ASSERT_TRUE(writer->begin());
  for (std::size_t i = 0; i < data.size(); ++i) {
    ASSERT_TRUE(writer->append(dtype_name(types[i].first), data[i]));
  }
  ASSERT_TRUE(writer->commit());
  const GgufFile file = GgufFile::open(path("data.gguf")).value();
  for (std::size_t i = 0; i < data.size(); ++i) {
    const TensorInfo& info = file.tensors()[i];
    EXPECT_EQ(info.type, types[i].first);
    const auto bytes = file.data(info);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), data[i].begin(), data[i].end()));
  }
}

}  // namespace
}  // namespace paring::io
