// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_settings.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace paring::hub {
namespace {

Result<HubSettings> read(const std::vector<std::string>& variables) {
  std::vector<const char*> environment;
  for (const std::string& variable : variables) environment.push_back(variable.c_str());
  environment.push_back(nullptr);
  return read_hub_settings(environment.data());
}

TEST(HubSettings, DefaultsAreTheHubsOwn) {
  const auto settings = read({"HOME=/nowhere"});
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_EQ(settings->endpoint, "https://huggingface.co");
  EXPECT_EQ(settings->cache, "/nowhere/.cache/huggingface/hub");
  EXPECT_EQ(settings->token, "");
  EXPECT_FALSE(settings->is_offline);
}

TEST(HubSettings, VariablesOutrankEachOtherInOrder) {
  EXPECT_EQ(read({"HOME=/h", "XDG_CACHE_HOME=/x"})->cache, "/x/huggingface/hub");
  EXPECT_EQ(read({"HOME=/h", "XDG_CACHE_HOME=/x", "HF_HOME=/f"})->cache, "/f/hub");
  EXPECT_EQ(read({"HF_HOME=/f", "HF_HUB_CACHE=/c"})->cache, "/c");
  EXPECT_EQ(read({"HF_HOME=/f", "HF_ENDPOINT=http://localhost:1/"})->endpoint,
            "http://localhost:1");
  EXPECT_EQ(read({"HF_HOME=/f", "HF_TOKEN=a", "HUGGING_FACE_HUB_TOKEN=b"})->token, "a");
  EXPECT_EQ(read({"HF_HOME=/f", "HUGGING_FACE_HUB_TOKEN=b"})->token, "b");
  EXPECT_TRUE(read({"HF_HOME=/f", "HF_HUB_OFFLINE=yes"})->is_offline);
  EXPECT_FALSE(read({"HF_HOME=/f", "HF_HUB_OFFLINE=0"})->is_offline);
}

TEST(HubSettings, TheTokenFileIsRead) {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("paring_hub_settings_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "token") << "hf_abc\n";
  EXPECT_EQ(read({"HF_HOME=" + folder.string()})->token, "hf_abc");
  EXPECT_EQ(read({"HF_HOME=/f", "HF_TOKEN_PATH=" + (folder / "token").string()})->token, "hf_abc");
  std::filesystem::remove_all(folder);
}

TEST(HubSettings, RefusesWhatWouldLeakOrInject) {
  for (const std::vector<std::string>& variables : std::vector<std::vector<std::string>>{
           {},
           {"HF_HOME=/f", "HF_ENDPOINT=ftp://x"},
           {"HF_HOME=/f", "HF_ENDPOINT=https://"},
           {"HF_HOME=/f", "HF_ENDPOINT=https://user@host"},
           {"HF_HOME=/f", "HF_ENDPOINT=https://host?x"},
           {"HF_HOME=/f", "HF_TOKEN=a\r\nX: y"},
           {"HF_HOME=/f", "HF_TOKEN=a", "HF_ENDPOINT=http://mirror.example.com"}}) {
    const auto settings = read(variables);
    ASSERT_FALSE(settings) << (variables.empty() ? "nothing" : variables.back());
    EXPECT_EQ(settings.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(settings.error().text().find("X: y"), std::string::npos) << "the token is shown";
  }
}

}  // namespace
}  // namespace paring::hub
