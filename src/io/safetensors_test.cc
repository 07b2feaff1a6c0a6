// SPDX-License-Identifier: Apache-2.0
// What a safetensors header may say, and every way in which it may lie.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <string>

#include "io/folder_for_test.h"

namespace paring::io {
namespace {

std::string refused(const std::string& file) {
  const auto header = parse_safetensors(bytes_of(file), "m.safetensors");
  return header ? "" : header.error().message;
}

struct Lie {
  const char* name;
  const char* header;
  std::size_t data_bytes;
  const char* message;
};

TEST(Safetensors, TensorsAreReadInTheOrderOfTheirBytes) {
  const std::string file =
      safetensors_text(R"({"__metadata__": {"format": "pt"},)"
                       R"("b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},)"
                       R"("a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},)"
                       R"("s": {"dtype": "I64", "shape": [], "data_offsets": [20, 28]}}   )",
                       28);
  const auto header = parse_safetensors(bytes_of(file), "m.safetensors");
  ASSERT_TRUE(header.has_value()) << header.error().text();
  ASSERT_EQ(header->tensors.size(), 3U);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].type, DType::kF32);
  EXPECT_EQ(header->tensors[0].offset, file.size() - 28);
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[1].type, DType::kBF16);
  EXPECT_EQ(header->tensors[1].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(header->tensors[1].bytes, 12U);
  EXPECT_EQ(header->tensors[2].type_name, "I64");
  EXPECT_FALSE(header->tensors[2].type.has_value());
}

class SafetensorsLies : public testing::TestWithParam<Lie> {};

TEST_P(SafetensorsLies, AreRefusedByName) {
  const Lie& lie = GetParam();
  const std::string message = refused(safetensors_text(lie.header, lie.data_bytes));
  EXPECT_NE(message.find(lie.message), std::string::npos) << message;
  EXPECT_NE(message.find("m.safetensors"), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Headers, SafetensorsLies,
    testing::Values(
        Lie{"NoJson", "{nothing}", 0, "is no JSON"},
        Lie{"NoObject", "[1, 2]", 0, "its header is no JSON object"},
        Lie{"EndsPastTheFile", R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 15,
            "tensor 'a' ends at byte 16 of the data, which has 15 bytes"},
        Lie{"HugeOffsets",
            R"({"a":{"dtype":"F32","shape":[1],)"
            R"("data_offsets":[18446744073709551612,18446744073709551615]}})",
            4, "ends at byte 18446744073709551615"},
        Lie{"ReversedOffsets", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4,
            "data_offsets that are no range"},
        Lie{"OneOffset", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}})", 4,
            "data_offsets that are no range"},
        Lie{"ThreeOffsets", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 8,
            "tensor 'a' holds 8 where it must not (in its data_offsets)"},
        Lie{"NegativeOffset", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,4]}})", 4,
            "tensor 'a' holds -4"},
        Lie{"Overlap",
            R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8, "tensor 'b' begins at byte 4 of the data, the one before ends at 8: an overlap"},
        Lie{"Hole",
            R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
            12, "tensor 'b' begins at byte 8 of the data, the one before ends at 4: a hole"},
        Lie{"BytesBehindTheLast", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8,
            "the tensors end at byte 4 of the data, which has 8 bytes"},
        Lie{"ShapeProduct", R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8,
            "tensor 'a' has 8 bytes, its shape [3] of F32 needs 12"},
        Lie{"ShapeOverflow",
            R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}})", 0,
            "more than 144115188075855872 values"},
        Lie{"ShapeOfText", R"({"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}})", 8,
            "tensor 'a' holds a string where it must not (in its shape)"},
        Lie{"ShapeOfFractions", R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8,
            "tensor 'a' holds 2.0 where it must not (in its shape)"},
        Lie{"NineDimensions",
            R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4,
            "more than 8 dimensions"},
        Lie{"UnknownType", R"({"a":{"dtype":"F7","shape":[1],"data_offsets":[0,4]}})", 4,
            "tensor 'a' has the type 'F7', which is not known"},
        Lie{"TypeOfNumber", R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", 4,
            "tensor 'a' holds 32"},
        Lie{"NoType", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a' lacks dtype"},
        Lie{"NoShape", R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4,
            "tensor 'a' lacks shape"},
        Lie{"NoOffsets", R"({"a":{"dtype":"F32","shape":[1]}})", 4,
            "tensor 'a' lacks data_offsets"},
        Lie{"FieldTwice", R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})",
            4, "the field 'dtype' twice"},
        Lie{"UnknownField", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
            "the field 'x' twice or it is not one of"},
        Lie{"TensorTwice",
            R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
            R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
            8, "tensor 'a' appears twice"},
        Lie{"TensorIsANumber", R"({"a":5})", 0, "tensor 'a' holds 5"},
        Lie{"NoName", R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
            "a tensor's name has 0 bytes"},
        Lie{"MetadataOfNumbers", R"({"__metadata__":{"a":1}})", 0,
            "'__metadata__' holds 1, texts are needed"},
        Lie{"MetadataIsAList", R"({"__metadata__":["a"]})", 0, "texts are needed"},
        Lie{"BitsThatAreNoBytes", R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1,
            "its shape [3] of F4 needs 2"}),
    [](const testing::TestParamInfo<Lie>& lie) { return lie.param.name; });

TEST(Safetensors, AHeaderLongerThanTheFileIsRefused) {
  std::string file = safetensors_text("{}", 0);
  const std::uint64_t length = 1000;
  std::memcpy(file.data(), &length, sizeof(length));
  EXPECT_EQ(refused(file), "m.safetensors: its header has 1000 bytes, the whole file 10");
}

TEST(Safetensors, AnAbsurdHeaderLengthIsRefusedAndTheFileNamed) {
  std::string file = "GGUF" + std::string(100, '\xff');
  EXPECT_NE(refused(file).find("is no safetensors file"), std::string::npos);
}

TEST(Safetensors, EveryCutIsRefused) {
  const std::string whole =
      safetensors_text(R"({"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}})", 8);
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_NE(refused(whole.substr(0, bytes)), "") << bytes;
  }
}

TEST(Safetensors, ADeepHeaderIsRefused) {
  const std::string deep(1'000'000, '[');
  EXPECT_NE(refused(safetensors_text("{\"a\":" + deep, 0)), "");
}

}  // namespace
}  // namespace paring::io
