// SPDX-License-Identifier: Apache-2.0
#include "config/model_entries.h"

#include <gtest/gtest.h>

namespace paring::config {
namespace {

Result<std::vector<ModelEntry>> read(std::string_view text) {
  auto entries = read_yaml(text);
  if (!entries) return std::move(entries.error());
  return read_model_entries(*entries);
}

constexpr std::string_view kModels =
    "threads: 2\n"
    "models:\n"
    "  Qwen2.5-Coder:\n"
    "    source: models/coder.gguf\n"
    "    load: at_start\n"
    "    context_tokens: 8192\n"
    "    cache_tokens: 0\n"
    "    idle_unload_seconds: 600\n"
    "    lora:\n"
    "      legal: adapters/legal\n"
    "      v1.5: {source: 'hf:owner/name', scale: 0.5}\n"
    "  embed: {source: models/embed}\n";

TEST(ModelEntries, ReadsWhatAModelHas) {
  const auto models = read(kModels);
  ASSERT_TRUE(models) << models.error().text();
  ASSERT_EQ(models->size(), 2U);
  const ModelEntry& coder = (*models)[0];
  EXPECT_EQ(coder.name, "Qwen2.5-Coder");
  EXPECT_EQ(coder.source, "models/coder.gguf");
  EXPECT_TRUE(coder.loads_at_start);
  EXPECT_EQ(coder.context_tokens, 8192U);
  EXPECT_EQ(coder.cache_tokens, 0U);
  EXPECT_EQ(coder.idle_unload_seconds, 600U);
  ASSERT_EQ(coder.adapters.size(), 2U);
  EXPECT_EQ(coder.adapters[0].source, "adapters/legal");
  EXPECT_EQ(coder.adapters[1].name, "v1.5");
  EXPECT_EQ(coder.adapters[1].source, "hf:owner/name");
  EXPECT_EQ(coder.adapters[1].scale, 0.5);
  EXPECT_EQ((*models)[1].name, "embed");
  EXPECT_FALSE((*models)[1].loads_at_start);
}

TEST(ModelEntries, AFileBehindTheNameIsItsSource) {
  const auto models = read("models:\n  chat: models/a.gguf\n  v1.5.source: b.gguf\n");
  ASSERT_TRUE(models) << models.error().text();
  ASSERT_EQ(models->size(), 2U);
  EXPECT_EQ((*models)[0].source, "models/a.gguf");
  EXPECT_EQ((*models)[1].name, "v1.5.source");
}

TEST(ModelEntries, TimesHaveUnits) {
  const auto models = read("models:\n  a: {source: x, idle_unload_seconds: 10m}\n");
  ASSERT_TRUE(models) << models.error().text();
  EXPECT_EQ((*models)[0].idle_unload_seconds, 600U);
  EXPECT_FALSE(read("models:\n  a: {source: x, idle_unload_seconds: 1.5s}\n"));
}

TEST(ModelEntries, WhatIsPrintedIsReadBack) {
  const auto models = read(kModels);
  ASSERT_TRUE(models);
  const auto again = read(print_model_entries(*models));
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(*again, *models);
  EXPECT_EQ(print_model_entries({}), "");
}

TEST(ModelEntries, WhatIsWrongIsNamedWithItsLine) {
  const auto error = [](std::string_view text) {
    const auto models = read(text);
    return models ? std::string("nothing is wrong") : models.error().text();
  };
  EXPECT_NE(error("models:\n  a:\n    sauce: x\n").find("line 3"), std::string::npos);
  EXPECT_NE(error("models:\n  a: {source: x, load: now}\n").find("on_request"), std::string::npos);
  EXPECT_NE(error("models:\n  a: {load: at_start}\n").find("models.a has no source"),
            std::string::npos);
  EXPECT_NE(error("models:\n  a: {source: x, context_tokens: 1}\n").find("16 to"),
            std::string::npos);
  EXPECT_NE(
      error("models:\n  a: {source: x, lora: {b: {scale: 2}}}\n").find("lora.b has no source"),
      std::string::npos);
  EXPECT_NE(error("models:\n  a: {source: x, lora: {b: {source: y, scale: big}}}\n").find("number"),
            std::string::npos);
}

}  // namespace
}  // namespace paring::config
