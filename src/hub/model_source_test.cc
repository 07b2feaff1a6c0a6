// SPDX-License-Identifier: Apache-2.0
#include "hub/model_source.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace paring::hub {
namespace {

namespace fs = std::filesystem;

class ModelSource : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() /
              ("paring_hub_" + std::to_string(::getpid()) + "_" + test->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string add(const std::string& name) const {
    std::ofstream(folder_ / name) << "x";
    return (folder_ / name).string();
  }
  static void expect(const Result<std::string>& result, ErrorCode code,
                     std::initializer_list<std::string> parts) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().text();
    for (const std::string& part : parts) {
      EXPECT_NE(result.error().text().find(part), std::string::npos)
          << "no '" << part << "' in: " << result.error().text();
    }
  }

  fs::path folder_;
};

TEST_F(ModelSource, AnExistingFileIsItsOwnPath) {
  const std::string path = add("model.gguf");
  EXPECT_EQ(resolve_model(path).value(), path);
  fs::create_symlink("model.gguf", folder_ / "link");
  EXPECT_TRUE(resolve_model((folder_ / "link").string()));
}

TEST_F(ModelSource, AMissingFileNamesTheClosestOnesFirst) {
  add("smollm2-f16.gguf");
  add("smollm2-Q4_0.GGUF");
  add("unrelated-model.gguf");
  add("notes.txt");
  const auto result = resolve_model((folder_ / "smollm2-q4_1.gguf").string());
  expect(result, ErrorCode::kNotFound,
         {"smollm2-q4_1.gguf", "did you mean", "smollm2-f16.gguf", "unrelated-model.gguf"});
  const std::string text = result.error().text();
  EXPECT_LT(text.find("Q4_0.GGUF"), text.find("smollm2-f16")) << text;
  EXPECT_EQ(text.find("notes.txt"), std::string::npos);
}

TEST_F(ModelSource, AMissingFileInAnEmptyOrMissingFolderSaysSo) {
  expect(resolve_model((folder_ / "m.gguf").string()), ErrorCode::kNotFound,
         {"m.gguf", "no GGUF file in"});
  expect(resolve_model((folder_ / "sub" / "m.gguf").string()), ErrorCode::kNotFound,
         {"m.gguf", "does not exist either"});
}

TEST_F(ModelSource, AFolderWithSafetensorsIsAModel) {
  add("config.json");
  add("model.safetensors");
  EXPECT_EQ(resolve_model(folder_.string()).value(), folder_.string());
  fs::rename(folder_ / "model.safetensors", folder_ / "model.safetensors.index.json");
  EXPECT_EQ(resolve_model(folder_.string()).value(), folder_.string());
}

TEST_F(ModelSource, AnotherFolderIsNotSupportedAndListsItsFiles) {
  expect(resolve_model(folder_.string()), ErrorCode::kUnsupported, {"is a folder", "GGUF"});
  add("config.json");
  expect(resolve_model(folder_.string()), ErrorCode::kUnsupported, {"without model.safetensors"});
  add("inside.gguf");
  expect(resolve_model(folder_.string()), ErrorCode::kUnsupported, {"inside.gguf"});
}

TEST_F(ModelSource, AHubNameMustHaveItsForm) {
  expect(resolve_model("hf:name"), ErrorCode::kInvalidArgument, {"hf:name", "hf:OWNER/NAME"});
}

TEST_F(ModelSource, EmptyAndBrokenNamesAreRefused) {
  expect(resolve_model(""), ErrorCode::kInvalidArgument, {"MODEL"});
  expect(resolve_model(std::string_view("a\0b", 3)), ErrorCode::kInvalidArgument, {"zero byte"});
  expect(resolve_model("no\nsuch\x1b[0m"), ErrorCode::kNotFound, {"no\\x0asuch\\x1b"});
}

}  // namespace
}  // namespace paring::hub
