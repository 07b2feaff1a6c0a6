// SPDX-License-Identifier: Apache-2.0
#include "config/settings.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/log.h"

namespace paring::config {
namespace {

namespace fs = std::filesystem;

class SettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "paring_config_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& text) {
    const std::string path = folder_ + "/paring.yaml";
    std::ofstream(path) << text;
    return path;
  }
  Result<void> environment(std::vector<const char*> variables) {
    variables.push_back(nullptr);
    return settings_.load_environment(variables.data());
  }
  std::string origin(std::string_view key) const {
    for (const auto& entry : settings_.entries()) {
      if (key == entry.row->key) return entry.origin;
    }
    return "no such key";
  }

  std::string folder_;
  Settings settings_;
};

TEST_F(SettingsTest, DefaultsAreWithinTheirOwnBounds) {
  std::set<std::string> flags;
  for (const SettingRow& row : setting_rows()) {
    EXPECT_TRUE(settings_.set(row.key, row.default_text, SettingOrigin::flag()).has_value())
        << row.key;
    EXPECT_TRUE(flags.insert(row.flag()).second) << row.flag();
    EXPECT_FALSE(std::string(row.help).empty());
    EXPECT_EQ(find_setting(row.key), &row);
  }
  EXPECT_EQ(Settings().values().kv_type, "auto");
  EXPECT_EQ(Settings().values().threads, 0u);
  EXPECT_FALSE(Settings().values().quiet);
}

TEST_F(SettingsTest, SettingsOfACommandHaveShortNames) {
  const SettingRow* port = find_setting("serve_port");
  ASSERT_NE(port, nullptr);
  EXPECT_EQ(port->command(), "serve");
  EXPECT_EQ(port->flag(), "--port");
  EXPECT_EQ(port->environment(), "PARING_PORT");
  EXPECT_EQ(find_setting("threads")->command(), "");
  ASSERT_TRUE(settings_.load_file(file("serve:\n  port: 8123\n")).has_value());
  EXPECT_EQ(settings_.values().serve_port, 8123U);
  ASSERT_TRUE(environment({"PARING_PORT=8124"}).has_value());
  EXPECT_EQ(settings_.values().serve_port, 8124U);
}

TEST_F(SettingsTest, FlagBeatsEnvironmentBeatsFileBeatsDefaultInAnyOrder) {
  ASSERT_TRUE(settings_.set("threads", "4", SettingOrigin::flag()).has_value());
  ASSERT_TRUE(environment({"PARING_THREADS=3", "PARING_KV_TYPE=f16", "HOME=/"}).has_value());
  const std::string path = file("threads: 2\nkv_type: f32\nseed: 9\n");
  ASSERT_TRUE(settings_.load_file(path).has_value());
  EXPECT_EQ(settings_.values().threads, 4u);
  EXPECT_EQ(settings_.values().kv_type, "f16");
  EXPECT_EQ(settings_.values().seed, 9u);
  EXPECT_EQ(settings_.values().numerics, "served");
  EXPECT_EQ(origin("threads"), "flag --threads");
  EXPECT_EQ(origin("kv_type"), "environment PARING_KV_TYPE");
  EXPECT_EQ(origin("seed"), "file " + path + ", line 3");
  EXPECT_EQ(origin("numerics"), "default");
}

TEST_F(SettingsTest, ErrorsNameKeyValueBoundsAndOrigin) {
  const auto number = environment({"PARING_THREADS=999"});
  ASSERT_FALSE(number.has_value());
  EXPECT_EQ(number.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(number.error().text(),
            "setting 'threads' cannot be '999' (environment PARING_THREADS); it takes 0 to 256");
  const auto choice = settings_.set("kv_type", "q5", SettingOrigin::flag());
  EXPECT_EQ(
      choice.error().text(),
      "setting 'kv_type' cannot be 'q5' (flag --kv-type); it takes auto, q8, q4, f16, bf16 or "
      "f32");
  const std::string path = file("seed: 1\nquiet: perhaps\n");
  EXPECT_EQ(
      settings_.load_file(path).error().text(),
      "setting 'quiet' cannot be 'perhaps' (file " + path + ", line 2); it takes true or false");
  EXPECT_EQ(settings_.values().seed, 0u) << "a file with an error must change nothing";
}

TEST_F(SettingsTest, WrongValuesOfEveryType) {
  for (const char* text : {"", "-1", "2x", "1.5", "0x2", " 2", "18446744073709551616"}) {
    EXPECT_FALSE(settings_.set("threads", text, SettingOrigin::flag()).has_value()) << text;
  }
  EXPECT_FALSE(settings_.set("isa", "", SettingOrigin::flag()).has_value());
  EXPECT_FALSE(settings_.set("isa", std::string(33, 'a'), SettingOrigin::flag()).has_value());
  EXPECT_FALSE(settings_.set("isa", "a\nb", SettingOrigin::flag()).has_value());
  EXPECT_TRUE(settings_.set("isa", "avx2", SettingOrigin::flag()).has_value());
  for (const char* text : {"true", "1", "yes", "on"}) {
    ASSERT_TRUE(settings_.set("quiet", text, SettingOrigin::flag()).has_value());
    EXPECT_TRUE(settings_.values().quiet) << text;
  }
  for (const char* text : {"false", "0", "no", "off"}) {
    ASSERT_TRUE(settings_.set("quiet", text, SettingOrigin::flag()).has_value());
    EXPECT_FALSE(settings_.values().quiet) << text;
  }
}

TEST_F(SettingsTest, SizesAndTimesHaveUnits) {
  const std::string path = file("serve:\n  memory_budget: 2GB\n  drain_seconds: 2m\n");
  ASSERT_TRUE(settings_.load_file(path).has_value()) << settings_.load_file(path).error().text();
  EXPECT_EQ(settings_.values().serve_memory_budget, 2'000'000'000u);
  EXPECT_EQ(settings_.values().serve_drain_seconds, 120u);
  const auto flag = SettingOrigin::flag();
  ASSERT_TRUE(settings_.set("serve.memory_budget", "1.5 GiB", flag).has_value());
  EXPECT_EQ(settings_.values().serve_memory_budget, 1'610'612'736u);
  ASSERT_TRUE(settings_.set("serve.memory_budget", "4096", flag).has_value());
  EXPECT_EQ(settings_.values().serve_memory_budget, 4096u);
  EXPECT_NE(settings_.print().find("serve_drain_seconds: 2m "), std::string::npos);
  for (const char* text : {"2h", "1.5s", "2GB", "-1s", "s", "9999999999999999999999d"}) {
    const auto wrong = settings_.set("serve_drain_seconds", text, flag);
    ASSERT_FALSE(wrong.has_value()) << text;
    EXPECT_NE(wrong.error().text().find("0 to 3600 seconds, or with a unit: 90s"),
              std::string::npos);
  }
  for (const char* text : {"2m", "GB", "-1GB", "99999999999TB"}) {
    EXPECT_FALSE(settings_.set("serve_memory_budget", text, flag).has_value()) << text;
  }
  EXPECT_FALSE(settings_.set("serve_port", "2KB", flag).has_value());
}

TEST_F(SettingsTest, OneSettingUnderTwoNamesIsAnError) {
  const auto twice = settings_.load_file(file("serve_port: 1\nserve:\n  port: 2\n"));
  ASSERT_FALSE(twice.has_value());
  EXPECT_NE(twice.error().text().find("line 3: 'serve.port' is the same setting as 'serve_port' in "
                                      "line 1"),
            std::string::npos)
      << twice.error().text();
}

TEST_F(SettingsTest, AMisspeltGroupNamesTheNearest) {
  for (const char* text : {"modles:\n  chat: x.gguf\n", "model:\n  chat: x.gguf\n"}) {
    const auto wrong = settings_.load_file(file(text));
    ASSERT_FALSE(wrong.has_value());
    EXPECT_NE(wrong.error().text().find("did you mean 'models'?"), std::string::npos)
        << wrong.error().text();
  }
  EXPECT_NE(settings_.load_file(file("sevre:\n  port: 1\n")).error().text().find("'serve'?"),
            std::string::npos);
  EXPECT_NE(settings_.load_file(file("models: [chat]\n")).error().text().find("no list of names"),
            std::string::npos);
  EXPECT_NE(settings_.load_file(file("models: chat\n")).error().text().find("a name a line"),
            std::string::npos);
}

TEST_F(SettingsTest, AnUnknownKeyNamesTheNearest) {
  const auto near = settings_.load_file(file("thread: 2\n"));
  ASSERT_FALSE(near.has_value());
  EXPECT_EQ(near.error().code, ErrorCode::kNotFound);
  EXPECT_NE(near.error().text().find("did you mean 'threads'?"), std::string::npos);
  EXPECT_NE(near.error().text().find("line 1"), std::string::npos);
  const auto far = settings_.set("colour_of_the_sky", "blue", SettingOrigin::flag());
  EXPECT_NE(far.error().text().find("--print-config"), std::string::npos);
}

TEST_F(SettingsTest, AMisspeltVariableIsLoggedAndIgnored) {
  testing::internal::CaptureStderr();
  ASSERT_TRUE(environment({"PARING_THREAD=2", "PARING_CONFIG=x.yaml", "OTHER=1"}).has_value());
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_NE(logged.find("PARING_THREAD is no setting"), std::string::npos);
  EXPECT_EQ(logged.find("PARING_CONFIG"), std::string::npos);
}

TEST_F(SettingsTest, AMissingOrBrokenFileIsAnError) {
  EXPECT_EQ(settings_.load_file(folder_ + "/none.yaml").error().code, ErrorCode::kNotFound);
  const auto broken = settings_.load_file(file("threads: [\n"));
  EXPECT_NE(broken.error().message.find("paring.yaml: line"), std::string::npos);
}

TEST_F(SettingsTest, WhatIsPrintedCanBeReadBack) {
  ASSERT_TRUE(settings_.set("threads", "3", SettingOrigin::flag()).has_value());
  ASSERT_TRUE(settings_.set("isa", "avx2", SettingOrigin::flag()).has_value());
  ASSERT_TRUE(settings_.set("quiet", "yes", SettingOrigin::flag()).has_value());
  const std::string printed = settings_.print();
  EXPECT_NE(printed.find("threads: 3  # flag --threads\n"), std::string::npos);
  Settings again;
  ASSERT_TRUE(again.load_file(file(printed)).has_value());
  EXPECT_EQ(again.values().threads, 3u);
  EXPECT_EQ(again.values().isa, "avx2");
  EXPECT_TRUE(again.values().quiet);
}

TEST_F(SettingsTest, TheReferenceHasOneRowASetting) {
  const std::string page = settings_reference();
  EXPECT_EQ(std::count(page.begin(), page.end(), '\n'),
            static_cast<std::ptrdiff_t>(setting_rows().size() + 2));
  EXPECT_NE(page.find("| `kv_type` | `--kv-type` | `PARING_KV_TYPE` | `auto` | "
                      "auto, q8, q4, f16, bf16 or f32 | "),
            std::string::npos);
}

}  // namespace
}  // namespace paring::config
