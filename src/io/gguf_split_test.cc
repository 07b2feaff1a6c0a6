// SPDX-License-Identifier: Apache-2.0
#include "io/gguf_split.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/folder_for_test.h"
#include "io/model_file.h"

namespace paring::io {
namespace {

class GgufSplit : public FolderTest {
 protected:
  // Ten tensors of 64 F32, each filled with its number; `bytes_max` for a file.
  Result<std::vector<std::string>> write_model(const std::string& name, std::uint64_t bytes_max) {
    GgufSplitWriter writer = GgufSplitWriter::create(path(name), Overwrite::kReplace, bytes_max);
    Metadata metadata;
    metadata.set("general.architecture", GgufValue::of_string("llama"));
    metadata.set("llama.block_count", GgufValue::of_u32(10));
    writer.set_metadata(metadata);
    for (int i = 0; i < 10; ++i) {
      writer.declare({"t" + std::to_string(i), DType::kF32, {8, 8}});
    }
    PARING_TRY_VOID(writer.begin());
    for (int i = 0; i < 10; ++i) {
      const std::vector<float> values(64, static_cast<float>(i));
      const auto bytes = std::as_bytes(std::span(values));
      // In two pieces, as a caller may.
      PARING_TRY_VOID(writer.append("t" + std::to_string(i), bytes.first(100)));
      PARING_TRY_VOID(writer.append("t" + std::to_string(i), bytes.subspan(100)));
    }
    PARING_TRY_VOID(writer.commit());
    return writer.paths();
  }
};

TEST_F(GgufSplit, NamesAreThoseOfLlamaCpp) {
  EXPECT_EQ(split_path("a/m", 2, 3), "a/m-00002-of-00003.gguf");
  EXPECT_EQ(split_prefix("a/m-00002-of-00003.gguf", 3), "a/m");
  EXPECT_EQ(split_prefix("a/m-00002-of-00003.gguf", 4), std::nullopt);
  EXPECT_EQ(split_prefix("a/m-0002-of-00003.gguf", 3), std::nullopt);
  EXPECT_EQ(split_prefix("a/m-x0002-of-00003.gguf", 3), std::nullopt);
  EXPECT_EQ(split_prefix("-00002-of-00003.gguf", 3), std::nullopt);
}

TEST_F(GgufSplit, WhatIsWrittenInSeveralFilesIsReadAsOneModel) {
  const auto paths = write_model("m.gguf", 1024);
  ASSERT_TRUE(paths.has_value()) << paths.error().text();
  ASSERT_GE(paths->size(), 3U);
  EXPECT_EQ(paths->front(), split_path(path("m"), 1, paths->size()));
  for (const std::string& each : *paths) EXPECT_LE(std::filesystem::file_size(each), 1024U);
  ASSERT_TRUE(write_model("whole.gguf", 0).has_value());
  const auto whole = ModelFile::open_gguf(path("whole.gguf"));
  // Any part leads to the model.
  for (const std::string& each : *paths) {
    const auto file = ModelFile::open_gguf(each);
    ASSERT_TRUE(file.has_value()) << file.error().text();
    EXPECT_EQ(file->metadata().entries(), whole->metadata().entries());
    ASSERT_EQ(file->tensors().size(), 10U);
    for (std::size_t i = 0; i < 10; ++i) {
      EXPECT_EQ(file->tensors()[i].name, "t" + std::to_string(i));
      const TensorBytes bytes = file->data(file->tensors()[i]);
      float first = -1;
      std::memcpy(&first, bytes.data(), sizeof(first));
      EXPECT_EQ(first, static_cast<float>(i));
    }
  }
}

TEST_F(GgufSplit, OneFileIsEnoughWhenItFits) {
  const auto paths = write_model("m.gguf", 1 << 20);
  ASSERT_TRUE(paths.has_value());
  EXPECT_EQ(*paths, std::vector<std::string>{path("m.gguf")});
}

TEST_F(GgufSplit, ALimitBelowATensorIsRefused) {
  const auto paths = write_model("m.gguf", 300);
  ASSERT_FALSE(paths.has_value());
  EXPECT_NE(paths.error().message.find("the limit for a file is 300"), std::string::npos)
      << paths.error().message;
}

TEST_F(GgufSplit, AMissingOrForeignPartIsRefused) {
  const auto paths = write_model("m.gguf", 1024);
  const auto others = write_model("n.gguf", 1024);
  ASSERT_GE(paths->size(), 3U);
  const auto refused = [&] {
    const auto file = ModelFile::open_gguf(paths->front());
    return file ? std::string() : file.error().message;
  };
  std::filesystem::copy_file(others->at(2), paths->at(1),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(refused().find("says it is file 3 of"), std::string::npos) << refused();
  std::filesystem::remove(paths->at(1));
  EXPECT_NE(refused().find("file 2 of"), std::string::npos) << refused();
}

TEST_F(GgufSplit, ARenamedPartIsRefusedWithTheNameItNeeds) {
  const auto paths = write_model("m.gguf", 1024);
  std::filesystem::rename(paths->front(), path("first.gguf"));
  const auto file = ModelFile::open_gguf(path("first.gguf"));
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message.find("whose names must end in -00001-of-"), std::string::npos);
}

TEST_F(GgufSplit, AnAbsurdCountIsRefused) {
  auto writer = GgufWriter::create(path("m-00001-of-00002.gguf"), Overwrite::kReplace);
  Metadata metadata;
  metadata.set(kSplitCountKey, GgufValue::of_u32(4'000'000'000));
  writer->set_metadata(metadata);
  ASSERT_TRUE(writer->begin().has_value());
  ASSERT_TRUE(writer->commit().has_value());
  const auto file = ModelFile::open_gguf(path("m-00001-of-00002.gguf"));
  ASSERT_FALSE(file.has_value());
  EXPECT_NE(file.error().message.find("'split.count' is 4000000000, the limit is 4096"),
            std::string::npos);
}

}  // namespace
}  // namespace paring::io
