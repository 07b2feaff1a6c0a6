// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_listing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace paring::hub {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

HubListing listing_of(std::initializer_list<const char*> paths) {
  HubListing listing{kCommit, {}};
  for (const char* path : paths) listing.files.push_back({path, 1, kSha1});
  return listing;
}

std::vector<std::string> paths_of(const HubSelection& selection) {
  std::vector<std::string> paths;
  for (const HubFile& file : selection.files) paths.push_back(file.path);
  return paths;
}

HubName name_of(const std::string& file) {
  HubName name{.owner = "o", .name = "n", .revision = "main", .file = file};
  return name;
}

using Paths = std::vector<std::string>;

TEST(HubListing, IsReadFromTheAnswer) {
  const std::string json = fmt::format(
      R"({{"sha": "{}", "siblings": [
        {{"rfilename": "m.gguf", "size": 7, "blobId": "{}", "lfs": {{"sha256": "{}", "size": 7}}}},
        {{"rfilename": "config.json", "size": 2, "blobId": "{}"}}]}})",
      kCommit, kSha1, kSha256, kSha1);
  const auto listing = parse_hub_listing(json, "hub");
  ASSERT_TRUE(listing) << listing.error().text();
  EXPECT_EQ(listing->commit, kCommit);
  ASSERT_EQ(listing->files.size(), 2U);
  EXPECT_EQ(listing->files[0].hash, kSha256);
  EXPECT_EQ(listing->files[0].bytes, 7U);
  EXPECT_EQ(listing->files[1].hash, kSha1);
}

TEST(HubListing, RefusesHostileAnswers) {
  const auto with_file = [](const std::string& file) {
    return fmt::format(R"({{"sha": "{}", "siblings": [{}]}})", kCommit, file);
  };
  const std::string hash = fmt::format(R"("blobId": "{}")", kSha1);
  for (const std::string& json :
       {std::string("<html>"), std::string("[]"), std::string("{}"),
        std::string(R"({"sha": "../x", "siblings": []})"),
        fmt::format(R"({{"sha": "{}", "siblings": 3}})", kCommit), with_file("1"),
        with_file(R"({"rfilename": "../m", "size": 1, )" + hash + "}"),
        with_file(R"({"rfilename": "/m", "size": 1, )" + hash + "}"),
        with_file(R"({"rfilename": "m", "size": -1, )" + hash + "}"),
        with_file(R"({"rfilename": "m", "size": 1e30, )" + hash + "}"),
        with_file(R"({"rfilename": "m", )" + hash + "}"),
        with_file(R"({"rfilename": "m", "size": 1, "blobId": "../../x"})"),
        with_file(R"({"rfilename": "m", "size": 1})"), std::string(100'000, '[')}) {
    const auto listing = parse_hub_listing(json, "hub");
    ASSERT_FALSE(listing) << json.substr(0, 200);
    EXPECT_EQ(listing.error().code, ErrorCode::kCorrupt);
  }
}

TEST(HubListing, AFolderNeedsItsWeightsAndText) {
  const auto listing =
      listing_of({"README.md", "config.json", "model-00001-of-00002.safetensors",
                  "model-00002-of-00002.safetensors", "model.safetensors.index.json",
                  "tokenizer.json", "consolidated.safetensors", "onnx/model.onnx",
                  "adapter/model.safetensors", "pytorch_model.bin"});
  const auto selection = select_files(listing, name_of(""));
  ASSERT_TRUE(selection) << selection.error().text();
  EXPECT_EQ(selection->entry, "");
  EXPECT_EQ(paths_of(*selection),
            (Paths{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                   "model.safetensors.index.json", "tokenizer.json", "config.json"}));
}

TEST(HubListing, AnOnlyGgufFileNeedsNoName) {
  const auto selection = select_files(listing_of({"README.md", "m.gguf"}), name_of(""));
  ASSERT_TRUE(selection) << selection.error().text();
  EXPECT_EQ(selection->entry, "m.gguf");
}

TEST(HubListing, SeveralGgufFilesMustBeChosenFrom) {
  const auto listing = listing_of({"m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "m.Q8_0.gguf"});
  const auto open = select_files(listing, name_of(""));
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().hint.find("m-Q4_K_S.gguf"), std::string::npos) << open.error().text();
  EXPECT_EQ(select_files(listing, name_of("q4_k_m"))->entry, "m-Q4_K_M.gguf");
  EXPECT_EQ(select_files(listing, name_of("Q8_0"))->entry, "m.Q8_0.gguf");
  EXPECT_EQ(select_files(listing, name_of("m-Q4_K_S.gguf"))->entry, "m-Q4_K_S.gguf");
  // A tag fits whole words only, and one file only.
  EXPECT_EQ(select_files(listing, name_of("Q4_K")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(select_files(listing, name_of("m")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(select_files(listing_of({"a.txt"}), name_of("")).error().code, ErrorCode::kNotFound);
}

TEST(HubListing, AnAdapterIsItsTwoFilesOrAGgufFile) {
  const auto lone = listing_of({"README.md", "adapter_config.json", "adapter_model.safetensors",
                                "adapter_model.bin", "tokenizer.json"});
  const Paths files = {"adapter_model.safetensors", "adapter_config.json"};
  EXPECT_EQ(paths_of(*select_files(lone, name_of(""), HubContent::kAdapter)), files);
  EXPECT_EQ(paths_of(*select_files(lone, name_of(""), HubContent::kAny)), files);
  const auto as_model = select_files(lone, name_of(""));
  ASSERT_FALSE(as_model);
  EXPECT_NE(as_model.error().text().find("--lora hf:o/n"), std::string::npos);
  // Beside a model each is what it is asked for.
  const auto both = listing_of(
      {"config.json", "model.safetensors", "adapter_config.json", "adapter_model.safetensors"});
  EXPECT_EQ(paths_of(*select_files(both, name_of(""), HubContent::kAdapter)), files);
  for (const HubContent content : {HubContent::kModel, HubContent::kAny}) {
    EXPECT_EQ(paths_of(*select_files(both, name_of(""), content)).front(), "model.safetensors");
  }
  const auto gguf = listing_of({"lora-f16.gguf", "adapter_config.json"});
  EXPECT_EQ(select_files(gguf, name_of(""), HubContent::kAdapter)->entry, "lora-f16.gguf");
  const auto none = select_files(listing_of({"config.json", "model.safetensors"}), name_of(""),
                                 HubContent::kAdapter);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text().find("not an adapter"), std::string::npos);
}

TEST(HubListing, AllPartsOfASplitFileBelongTogether) {
  const auto listing = listing_of({"q/m-Q8_0-00001-of-00003.gguf", "q/m-Q8_0-00002-of-00003.gguf",
                                   "q/m-Q8_0-00003-of-00003.gguf", "m-F16.gguf"});
  for (const char* file :
       {"Q8_0", "q/m-Q8_0-00001-of-00003.gguf", "q/m-Q8_0-00002-of-00003.gguf"}) {
    const auto selection = select_files(listing, name_of(file));
    ASSERT_TRUE(selection) << selection.error().text();
    EXPECT_EQ(selection->files.size(), 3U);
    EXPECT_EQ(selection->entry, "q/m-Q8_0-00001-of-00003.gguf");
  }
  const auto cut = listing_of({"m-00001-of-00002.gguf"});
  EXPECT_EQ(select_files(cut, name_of("")).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(split_parts("m-00001-of-00000.gguf"), (Paths{"m-00001-of-00000.gguf"}));
  EXPECT_EQ(split_parts("m-00009-of-00002.gguf"), (Paths{"m-00009-of-00002.gguf"}));
  EXPECT_EQ(split_parts("00001-of-00002.gguf"), (Paths{"00001-of-00002.gguf"}));
}

}  // namespace
}  // namespace paring::hub
