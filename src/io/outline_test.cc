// SPDX-License-Identifier: Apache-2.0
// Headers read by ranges tell what whole files tell, ask for little, and lead nowhere when they
// lie.
#include "io/outline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/folder_for_test.h"

namespace paring::io {
namespace {

// Files in memory; a size may be a lie.
class MemorySource : public FileSource {
 public:
  std::map<std::string, std::string> files;
  std::map<std::string, std::uint64_t> sizes;
  std::uint64_t read_bytes = 0;

  std::optional<std::uint64_t> size(const std::string& file) const override {
    if (const auto lie = sizes.find(file); lie != sizes.end()) return lie->second;
    const auto found = files.find(file);
    return found == files.end() ? std::nullopt : std::optional<std::uint64_t>(found->second.size());
  }
  Result<std::vector<std::byte>> read(const std::string& file, std::uint64_t offset,
                                      std::size_t bytes) override {
    read_bytes += bytes;
    std::vector<std::byte> data(bytes);  // zeros behind the end of the real content
    const std::string& text = files.at(file);
    if (offset < text.size()) {
      std::memcpy(data.data(), text.data() + offset,
                  std::min<std::uint64_t>(bytes, text.size() - offset));
    }
    return data;
  }
  std::string name(const std::string& file) const override { return "far/" + file; }
};

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

constexpr const char* kModel = "tests/data/architectures/llama-llama3.gguf";
constexpr const char* kValued[] = {"rope_freqs.weight"};

TEST(Outline, AGgufFileIsTheSameWithoutItsWeights) {
  MemorySource source;
  source.files["m.gguf"] = read_file(kModel);
  auto parts = outline_gguf(source, "m.gguf", kValued);
  ASSERT_TRUE(parts.has_value()) << parts.error().text();
  const ModelFile outline(std::move(*parts));
  const auto whole = ModelFile::open_gguf(kModel);
  ASSERT_TRUE(whole.has_value());
  EXPECT_FALSE(outline.has_values());
  EXPECT_EQ(outline.file_bytes(), whole->file_bytes());
  EXPECT_EQ(outline.metadata().entries(), whole->metadata().entries());
  ASSERT_EQ(outline.tensors().size(), whole->tensors().size());
  const TensorInfo* divisors = outline.find("rope_freqs.weight");
  ASSERT_NE(divisors, nullptr);
  const TensorBytes here = outline.data(*divisors);
  const TensorBytes there = whole->data(*whole->find("rope_freqs.weight"));
  ASSERT_EQ(here.size(), there.size());
  EXPECT_EQ(std::memcmp(here.data(), there.data(), here.size()), 0);
}

// The file may be longer than what is there, but the header must end in it.
TEST(Outline, AHeaderThatGoesOnForeverIsGivenUp) {
  MemorySource source;
  const std::string file = read_file(kModel);
  std::string header = file.substr(0, 8) + std::string(8, '\0');
  const auto append = [&](auto value) {
    header.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  append(std::uint64_t{1});
  append(std::uint64_t{1});
  header += "a";
  append(std::uint32_t{9});        // an array
  append(std::uint32_t{4});        // of u32
  append(std::uint64_t{1} << 24);  // the most that is allowed
  source.files["m.gguf"] = header;
  source.sizes["m.gguf"] = std::uint64_t{1} << 40;
  const auto parts = outline_gguf(source, "m.gguf", {});
  // 2^24 values end at 64 MiB and some; that is over the limit for a header that is fetched.
  ASSERT_FALSE(parts.has_value());
  EXPECT_EQ(parts.error().code, ErrorCode::kExhausted) << parts.error().text();
  EXPECT_LE(source.read_bytes, kOutlineHeaderBytesMax);
}

TEST(Outline, WhatIsNoHeaderIsRefusedAtOnce) {
  for (const char* text : {"<!DOCTYPE html>", "GGUF\x09", "PK\x03\x04", ""}) {
    MemorySource source;
    source.files["m.gguf"] = text;
    source.sizes["m.gguf"] = std::uint64_t{1} << 40;
    const auto parts = outline_gguf(source, "m.gguf", {});
    ASSERT_FALSE(parts.has_value());
    EXPECT_LE(source.read_bytes, kOutlineFirstBytes) << parts.error().text();
  }
}

TEST(Outline, AFileThatIsNotThereIsNotFound) {
  MemorySource source;
  const auto parts = outline_gguf(source, "m.gguf", {});
  ASSERT_FALSE(parts.has_value());
  EXPECT_EQ(parts.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(outline_hf_folder(source, "far").error().code, ErrorCode::kNotFound);
}

TEST(Outline, SafetensorsAreKnownByTheirHeader) {
  MemorySource source;
  source.files["config.json"] = R"({"a": 1})";
  source.files["model.safetensors"] =
      safetensors_text(R"({"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}})", 24);
  const auto folder = outline_hf_folder(source, "far");
  ASSERT_TRUE(folder.has_value()) << folder.error().text();
  ASSERT_EQ(folder->tensors.size(), 1U);
  EXPECT_EQ(folder->tensors[0].info.shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(source.read_bytes, 8 + source.files["model.safetensors"].size() - 8 - 24 + 8);
  // The length is checked against the file and against the limit before it is fetched.
  for (const std::uint64_t length : {std::uint64_t{1} << 25, std::uint64_t{1} << 63}) {
    std::memcpy(source.files["model.safetensors"].data(), &length, sizeof(length));
    source.read_bytes = 0;
    EXPECT_EQ(outline_hf_folder(source, "far").error().code, ErrorCode::kCorrupt);
    EXPECT_LE(source.read_bytes, 16U);
  }
}

}  // namespace
}  // namespace paring::io
