// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/model_admin.h"

#include <gtest/gtest.h>

namespace paring::serve::wire {
namespace {

TEST(ModelAdmin, ReadsWhatIsToBeLoaded) {
  const auto call = read_load(
      R"({"model":"m","source":"a/b.gguf","context_tokens":512,"cache_tokens":0,"wait":false,)"
      R"("idle_unload_seconds":2.5,"lora":{"x":"a/x","y":{"source":"a/y","scale":0.5}}})",
      {});
  ASSERT_TRUE(call) << call.error().message;
  const LoadCall& load = *call;
  EXPECT_EQ(load.model, "m");
  EXPECT_EQ(load.source, "a/b.gguf");
  EXPECT_EQ(load.context_tokens, 512U);
  EXPECT_EQ(load.cache_tokens, 0U);
  EXPECT_EQ(load.idle_seconds, 2.5);
  EXPECT_FALSE(load.waits);
  ASSERT_EQ(load.adapters.size(), 2U);
  EXPECT_EQ(load.adapters[0].source, "a/x");
  EXPECT_EQ(load.adapters[0].scale, 1);
  EXPECT_EQ(load.adapters[1].name, "y");
  EXPECT_EQ(load.adapters[1].scale, 0.5);
}

TEST(ModelAdmin, TheNameIsEnough) {
  EXPECT_TRUE(read_load(R"({"model":"m","idle_unload_seconds":0})", {}));
  EXPECT_FALSE(read_load(R"({"model":""})", {}));
  EXPECT_FALSE(read_unload("{}", {}));
}

TEST(ModelAdmin, DurationsAreAsOllamaHasThem) {
  const auto seconds = [](std::string_view text) {
    auto parsed = parse_keep_alive(text);
    return parsed ? *parsed : -12345;
  };
  EXPECT_EQ(seconds("300"), 300);
  EXPECT_EQ(seconds("5m"), 300);
  EXPECT_EQ(seconds("1h30m"), 5400);
  EXPECT_EQ(seconds("1.5h"), 5400);
  EXPECT_EQ(seconds("500ms"), 0.5);
  EXPECT_EQ(seconds("-1m"), -60);
  EXPECT_EQ(seconds("0"), 0);
  for (const char* text : {"", "-", "m", "5x", "5m3", "1 m", "nan", "inf", "1e5", "5mm", "--5"}) {
    EXPECT_EQ(seconds(text), -12345) << text;
  }
}

}  // namespace
}  // namespace paring::serve::wire
