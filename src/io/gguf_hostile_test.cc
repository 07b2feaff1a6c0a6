// SPDX-License-Identifier: Apache-2.0
// Files that no honest tool writes, and honest files that were damaged: each is refused with the
// right code and a message that names the field and the limit, and nothing crashes.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "io/gguf_bytes_for_test.h"

namespace paring::io {
namespace {

using Type = GgufValueType;

struct HostileFile {
  const char* name;
  ErrorCode code;
  std::vector<const char*> parts;  // each must occur in the error's text
  std::function<void(GgufBytes&)> build;
};

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

// A file of one F32 tensor of `columns` at `offset` with `data` bytes after the header.
void one_tensor(GgufBytes& file, std::vector<std::uint64_t> shape, std::uint32_t type,
                std::uint64_t offset, std::size_t data) {
  file.header(1, 0).tensor("w", std::move(shape), type, offset).pad().zeros(data);
}

const std::vector<HostileFile>& counts_and_versions() {
  static const std::vector<HostileFile> list = {
      {"Version1",
       ErrorCode::kUnsupported,
       {"version 1", "2 and 3"},
       [](GgufBytes& f) { f.raw("GGUF").u32(1).u32(0).u32(0); }},
      {"VersionOfTheFuture",
       ErrorCode::kUnsupported,
       {"version 7"},
       [](GgufBytes& f) { f.header(0, 0, 7); }},
      {"VersionZero",
       ErrorCode::kUnsupported,
       {"version 0"},
       [](GgufBytes& f) { f.header(0, 0, 0); }},
      {"BigEndian",
       ErrorCode::kUnsupported,
       {"big-endian"},
       [](GgufBytes& f) { f.header(0, 0, 0x03000000U); }},
      {"EndsInMagic", ErrorCode::kCorrupt, {"no GGUF file"}, [](GgufBytes& f) { f.raw("GGU"); }},
      {"EndsAfterMagic",
       ErrorCode::kCorrupt,
       {"the version", "has 4 bytes", "cut"},
       [](GgufBytes& f) { f.raw("GGUF"); }},
      {"EndsInCounts",
       ErrorCode::kCorrupt,
       {"number of metadata keys", "cut"},
       [](GgufBytes& f) { f.raw("GGUF").u32(3).u64(0).u32(0); }},
      {"TooManyTensors",
       ErrorCode::kCorrupt,
       {"number of tensors", "65536"},
       [](GgufBytes& f) { f.header(kHuge, 0); }},
      {"TooManyKeys",
       ErrorCode::kCorrupt,
       {"number of metadata keys", "65536"},
       [](GgufBytes& f) { f.header(0, kHuge); }},
      {"MoreKeysThanBytes",
       ErrorCode::kCorrupt,
       {"5000 metadata keys", "cut"},
       [](GgufBytes& f) { f.header(0, 5000).zeros(100); }},
      {"MoreTensorsThanBytes",
       ErrorCode::kCorrupt,
       {"5000 tensors"},
       [](GgufBytes& f) { f.header(5000, 0).zeros(100); }},
  };
  return list;
}

const std::vector<HostileFile>& metadata_files() {
  static const std::vector<HostileFile> list = {
      {"EmptyKey",
       ErrorCode::kCorrupt,
       {"metadata key 1 of 1", "empty"},
       [](GgufBytes& f) { f.header(0, 1).key("", Type::kU32).u32(1).zeros(16); }},
      {"KeyTooLong",
       ErrorCode::kCorrupt,
       {"metadata key 1 of 1", "65535"},
       [](GgufBytes& f) { f.header(0, 1).text(std::string(70'000, 'k')).zeros(16); }},
      {"KeyPastTheEnd",
       ErrorCode::kCorrupt,
       {"metadata key 1 of 1", "60000 bytes"},
       [](GgufBytes& f) { f.header(0, 1).u64(60'000).raw("abc").zeros(16); }},
      {"KeyOfHugeLength",
       ErrorCode::kCorrupt,
       {"18446744073709551615"},
       [](GgufBytes& f) { f.header(0, 1).u64(kHuge).zeros(32); }},
      {"KeyTwice",
       ErrorCode::kCorrupt,
       {"'a.b'", "twice"},
       [](GgufBytes& f) {
         f.header(0, 2).key("a.b", Type::kU32).u32(1).key("a.b", Type::kU32).u32(1);
       }},
      {"UnknownValueType",
       ErrorCode::kCorrupt,
       {"'a'", "13", "12"},
       [](GgufBytes& f) { f.header(0, 1).text("a").u32(13).zeros(16); }},
      {"ValuePastTheEnd",
       ErrorCode::kCorrupt,
       {"'long'", "8 bytes needed", "cut"},
       [](GgufBytes& f) { f.header(0, 1).key("long", Type::kU64).u32(1); }},
      {"BoolOfTwo",
       ErrorCode::kCorrupt,
       {"'a'", "value 2", "0 or 1"},
       [](GgufBytes& f) { f.header(0, 1).key("a", Type::kBool).number<std::uint8_t>(2); }},
      {"BoolArrayOfSeven",
       ErrorCode::kCorrupt,
       {"'a'", "value 7"},
       [](GgufBytes& f) {
         f.header(0, 1).key("a", Type::kArray).array(Type::kBool, 2).raw(std::string("\1\7", 2));
       }},
      {"StringTooLong",
       ErrorCode::kCorrupt,
       {"'s'", "16777216"},
       [](GgufBytes& f) { f.header(0, 1).key("s", Type::kString).u64(std::uint64_t{1} << 30); }},
      {"StringPastTheEnd",
       ErrorCode::kCorrupt,
       {"'s'", "1000 bytes", "cut"},
       [](GgufBytes& f) { f.header(0, 1).key("s", Type::kString).u64(1000).raw("short"); }},
      {"ArrayOfTooManyItems",
       ErrorCode::kCorrupt,
       {"'a'", "16777216"},
       [](GgufBytes& f) { f.header(0, 1).key("a", Type::kArray).array(Type::kF64, kHuge / 8); }},
      {"ArrayPastTheEnd",
       ErrorCode::kCorrupt,
       {"'a'", "4000000 bytes", "cut"},
       [](GgufBytes& f) { f.header(0, 1).key("a", Type::kArray).array(Type::kU32, 1'000'000); }},
      {"StringsPastTheEnd",
       ErrorCode::kCorrupt,
       {"'a'", "8000000 bytes"},
       [](GgufBytes& f) { f.header(0, 1).key("a", Type::kArray).array(Type::kString, 1'000'000); }},
      {"StringInArrayTooLong",
       ErrorCode::kCorrupt,
       {"'a'", "16777216"},
       [](GgufBytes& f) {
         f.header(0, 1).key("a", Type::kArray).array(Type::kString, 1).u64(kHuge);
       }},
      {"ArrayOfUnknownType",
       ErrorCode::kCorrupt,
       {"'a'", "99"},
       [](GgufBytes& f) { f.header(0, 1).key("a", Type::kArray).u32(99).u64(1).zeros(16); }},
      {"ArraysTooDeep",
       ErrorCode::kCorrupt,
       {"'a'", "5 deep", "limit is 4"},
       [](GgufBytes& f) {
         f.header(0, 1).key("a", Type::kArray);
         for (int depth = 0; depth < 60; ++depth) f.array(Type::kArray, 1);
         f.array(Type::kU8, 0);
       }},
      {"AlignmentNotAPowerOfTwo",
       ErrorCode::kCorrupt,
       {"general.alignment", "48"},
       [](GgufBytes& f) { f.header(0, 1).key("general.alignment", Type::kU32).u32(48); }},
      {"AlignmentZero",
       ErrorCode::kCorrupt,
       {"general.alignment", "is 0"},
       [](GgufBytes& f) { f.header(0, 1).key("general.alignment", Type::kU32).u32(0); }},
      {"AlignmentTooLarge",
       ErrorCode::kCorrupt,
       {"general.alignment", "65536"},
       [](GgufBytes& f) { f.header(0, 1).key("general.alignment", Type::kU32).u32(1U << 31); }},
      {"AlignmentOfWrongType",
       ErrorCode::kCorrupt,
       {"general.alignment", "string"},
       [](GgufBytes& f) { f.header(0, 1).key("general.alignment", Type::kString).text("32"); }},
      {"ControlBytesInAKeyAreNotPrinted",
       ErrorCode::kCorrupt,
       {"\\x1b[31m"},
       [](GgufBytes& f) { f.header(0, 1).text("\x1b[31m").u32(77).zeros(16); }},
  };
  return list;
}

const std::vector<HostileFile>& tensor_files() {
  static const std::vector<HostileFile> list = {
      {"TensorWithoutName",
       ErrorCode::kCorrupt,
       {"tensor 1 of 1", "no name"},
       [](GgufBytes& f) { f.header(1, 0).tensor("", {32}, kIdF32, 0).pad().zeros(128); }},
      {"TensorNameTooLong",
       ErrorCode::kCorrupt,
       {"name of tensor 1 of 1", "255"},
       [](GgufBytes& f) { f.header(1, 0).tensor(std::string(300, 't'), {32}, kIdF32, 0); }},
      {"TensorTwice",
       ErrorCode::kCorrupt,
       {"'w'", "twice"},
       [](GgufBytes& f) {
         f.header(2, 0).tensor("w", {8}, kIdF32, 0).tensor("w", {8}, kIdF32, 32).pad().zeros(64);
       }},
      {"NoDimensions",
       ErrorCode::kCorrupt,
       {"'w'", "0 dimensions", "1 to 4"},
       [](GgufBytes& f) {
         one_tensor(f, {}, kIdF32, 0, 128);
         f.zeros(16);
       }},
      {"FiveDimensions",
       ErrorCode::kCorrupt,
       {"'w'", "5 dimensions", "1 to 4"},
       [](GgufBytes& f) { one_tensor(f, {1, 1, 1, 1, 1}, kIdF32, 0, 128); }},
      {"BillionsOfDimensions",
       ErrorCode::kCorrupt,
       {"'w'", "4294967295 dimensions"},
       [](GgufBytes& f) { f.header(1, 0).text("w").u32(0xffffffffU).zeros(64); }},
      {"DimensionOfZero",
       ErrorCode::kCorrupt,
       {"'w'", "dimension 1", "length 0"},
       [](GgufBytes& f) { one_tensor(f, {32, 0}, kIdF32, 0, 128); }},
      {"ProductOverflows",
       ErrorCode::kCorrupt,
       {"'w'", "dimension 1", "4294967296"},
       [](GgufBytes& f) {
         one_tensor(f, {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, kIdF32, 0, 128);
       }},
      {"ProductWrapsToSmall",
       ErrorCode::kCorrupt,
       {"'w'"},
       [](GgufBytes& f) { one_tensor(f, {std::uint64_t{1} << 63, 2, 2, 2}, kIdF32, 0, 128); }},
      {"RowIsNotWholeBlocks",
       ErrorCode::kCorrupt,
       {"'w'", "Q8_0", "32", "33"},
       [](GgufBytes& f) { one_tensor(f, {33, 2}, kIdQ8_0, 0, 128); }},
      {"UnknownTensorType",
       ErrorCode::kUnsupported,
       {"'w'", "type id 4242"},
       [](GgufBytes& f) { one_tensor(f, {32}, 4242, 0, 128); }},
      {"RemovedTensorType",
       ErrorCode::kUnsupported,
       {"'w'", "type id 4"},
       [](GgufBytes& f) { one_tensor(f, {32}, 4, 0, 128); }},
      {"OffsetNotAligned",
       ErrorCode::kCorrupt,
       {"'w'", "offset 4", "alignment 32"},
       [](GgufBytes& f) { one_tensor(f, {8}, kIdF32, 4, 128); }},
      {"TensorPastTheEnd",
       ErrorCode::kCorrupt,
       {"'w'", "ends at byte 4192", "has 4191 bytes", "cut"},
       [](GgufBytes& f) { one_tensor(f, {32, 32}, kIdF32, 0, 32 * 32 * 4 - 1); }},
      {"OffsetPastTheEnd",
       ErrorCode::kCorrupt,
       {"'w'", "cut"},
       [](GgufBytes& f) { one_tensor(f, {8}, kIdF32, kHuge - 31, 128); }},
      {"NoDataAtAll",
       ErrorCode::kCorrupt,
       {"'w'", "cut"},
       [](GgufBytes& f) { f.header(1, 0).tensor("w", {8}, kIdF32, 0); }},
      {"TensorsOverlap",
       ErrorCode::kCorrupt,
       {"'b' at byte", "before tensor 'a' ends"},
       [](GgufBytes& f) {
         f.header(2, 0).tensor("b", {8}, kIdF32, 32).tensor("a", {16}, kIdF32, 0).pad().zeros(256);
       }},
      {"TensorsAtTheSamePlace",
       ErrorCode::kCorrupt,
       {"ends at"},
       [](GgufBytes& f) {
         f.header(2, 0).tensor("a", {8}, kIdF32, 0).tensor("b", {8}, kIdF32, 0).pad().zeros(256);
       }},
      {"TableEndsInATensor",
       ErrorCode::kCorrupt,
       {"'second'", "cut"},
       [](GgufBytes& f) {
         f.header(2, 0).tensor("first", {8}, kIdF32, 0).text("second").u32(2).u64(8).u32(7);
       }},
  };
  return list;
}

const std::vector<HostileFile>& foreign_files() {
  static const std::vector<HostileFile> list = {
      {"EmptyFile", ErrorCode::kCorrupt, {"empty"}, [](GgufBytes&) {}},
      {"TextFile",
       ErrorCode::kCorrupt,
       {"a text file"},
       [](GgufBytes& f) { f.raw("Dear reader,\nthis is no model.\n"); }},
      {"JsonFile", ErrorCode::kCorrupt, {"JSON"}, [](GgufBytes& f) { f.raw("{\"a\": 1}"); }},
      {"HtmlPage",
       ErrorCode::kCorrupt,
       {"HTML", "download"},
       [](GgufBytes& f) { f.raw("<!DOCTYPE html><html></html>"); }},
      {"Safetensors",
       ErrorCode::kCorrupt,
       {"safetensors", "convert"},
       [](GgufBytes& f) { f.u64(12).raw("{\"a\":{}}    ").zeros(64); }},
      {"ZipArchive",
       ErrorCode::kCorrupt,
       {"zip archive", "PyTorch"},
       [](GgufBytes& f) { f.raw("PK\x03\x04").zeros(64); }},
      {"GzipArchive",
       ErrorCode::kCorrupt,
       {"gzip", "unpack"},
       [](GgufBytes& f) { f.raw("\x1f\x8b\x08").zeros(64); }},
      {"GitLfsPointer",
       ErrorCode::kCorrupt,
       {"Git LFS pointer", "git lfs pull"},
       [](GgufBytes& f) { f.raw("version https://git-lfs.github.com/spec/v1\n"); }},
      {"OldGgml",
       ErrorCode::kCorrupt,
       {"old GGJT", "before GGUF"},
       [](GgufBytes& f) { f.raw("tjgg").u32(3).zeros(64); }},
      {"ZeroBytes",
       ErrorCode::kCorrupt,
       {"zero bytes", "interrupted"},
       [](GgufBytes& f) { f.zeros(5000); }},
      {"Noise",
       ErrorCode::kCorrupt,
       {"first bytes 01 02 ff 00"},
       [](GgufBytes& f) { f.u32(0x00ff0201U).zeros(64); }},
  };
  return list;
}

std::vector<HostileFile> all_hostile_files() {
  std::vector<HostileFile> all;
  for (const auto* part :
       {&counts_and_versions(), &metadata_files(), &tensor_files(), &foreign_files()}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  return all;
}

class Hostile : public testing::TestWithParam<HostileFile> {};

TEST_P(Hostile, IsRefusedWithAReason) {
  GgufBytes file;
  GetParam().build(file);
  const auto header = parse_gguf(file.bytes(), "model.gguf");
  ASSERT_FALSE(header);
  const std::string text = header.error().text();
  EXPECT_EQ(error_code_name(header.error().code), std::string(error_code_name(GetParam().code)))
      << text;
  EXPECT_NE(text.find("model.gguf"), std::string::npos) << text;
  EXPECT_FALSE(header.error().hint.empty()) << text;
  for (const char* part : GetParam().parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Hostile, testing::ValuesIn(all_hostile_files()),
                         [](const auto& param) { return std::string(param.param.name); });

// A valid file with every kind of field in it.
std::vector<std::byte> valid_file() {
  GgufBytes file;
  file.header(3, 7)
      .key("general.architecture", Type::kString)
      .text("llama")
      .key("general.alignment", Type::kU32)
      .u32(64)
      .key("a.bool", Type::kBool)
      .number<std::uint8_t>(1)
      .key("a.float", Type::kF32)
      .number(1.5F)
      .key("tokens", Type::kArray)
      .array(Type::kString, 3)
      .text("<s>")
      .text("hello")
      .text("")
      .key("types", Type::kArray)
      .array(Type::kI32, 3)
      .u32(3)
      .u32(1)
      .u32(1)
      .key("nested", Type::kArray)
      .array(Type::kArray, 2)
      .array(Type::kU8, 2)
      .raw("ab")
      .array(Type::kF64, 1)
      .number(2.0);
  file.tensor("token_embd.weight", {32, 3}, kIdQ8_0, 0)
      .tensor("output_norm.weight", {32}, kIdF32, 128)
      .tensor("blk.0.attn_q.weight", {32, 2, 2}, 1, 256)
      .pad(64)
      .zeros(256 + 256);
  const std::span<const std::byte> bytes = file.bytes();
  return {bytes.begin(), bytes.end()};
}

// Reads every byte that a caller could reach, so that a sanitizer sees what a parser got wrong.
std::uint64_t touch(std::span<const std::byte> file, const GgufHeader& header) {
  std::uint64_t sum = 0;
  for (const TensorInfo& tensor : header.tensors) {
    for (const std::byte byte : file.subspan(tensor.offset, tensor.bytes)) {
      sum += static_cast<std::uint64_t>(byte);
    }
  }
  return sum + header.metadata.size();
}

TEST(GgufDamage, TheUndamagedFileIsRead) {
  const std::vector<std::byte> file = valid_file();
  const auto header = parse_gguf(file, "model.gguf");
  ASSERT_TRUE(header) << header.error().text();
  EXPECT_EQ(header->tensors.size(), 3U);
  EXPECT_EQ(header->alignment, 64U);
  EXPECT_EQ(header->metadata.strings("tokens").value()[1], "hello");
}

TEST(GgufDamage, EveryCutIsRefused) {
  const std::vector<std::byte> file = valid_file();
  for (std::size_t length = 0; length < file.size(); ++length) {
    // A copy of exactly that size: reading past it is then seen by a sanitizer.
    const std::vector<std::byte> cut(file.begin(), file.begin() + static_cast<long>(length));
    const auto header = parse_gguf(cut, "model.gguf");
    ASSERT_FALSE(header) << "cut to " << length;
    ASSERT_EQ(header.error().code, ErrorCode::kCorrupt) << header.error().text();
  }
}

TEST(GgufDamage, RandomBytesNeverCrash) {
  const std::vector<std::byte> original = valid_file();
  int refused = 0;
  constexpr int kSeeds = 6000;
  for (unsigned seed = 0; seed < kSeeds; ++seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> file = original;
    const unsigned changes = 1 + random() % 8;
    for (unsigned i = 0; i < changes; ++i) {
      // The header fields matter most: half of the changes are single bits, half whole bytes.
      std::byte& target = file[random() % file.size()];
      target = random() % 2 == 0 ? target ^ static_cast<std::byte>(1U << random() % 8)
                                 : static_cast<std::byte>(random());
    }
    if (random() % 4 == 0) file.resize(random() % file.size());
    const auto header = parse_gguf(file, "model.gguf");
    if (!header) {
      ++refused;
      ASSERT_FALSE(header.error().message.empty());
      continue;
    }
    touch(file, *header);
  }
  // Neither all nor none: the changes reach fields that matter and fields that do not.
  EXPECT_GT(refused, kSeeds / 4);
  EXPECT_LT(refused, kSeeds * 9 / 10);
}

}  // namespace
}  // namespace paring::io
