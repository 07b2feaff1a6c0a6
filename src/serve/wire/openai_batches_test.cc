// SPDX-License-Identifier: Apache-2.0
// What is read of forms, queries and bodies about files and batches.
#include "serve/wire/openai_batches.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace paring::serve::wire {
namespace {

using Json = nlohmann::ordered_json;

constexpr WireRules kStrict{.is_strict = true};

Json body_of(const std::string& window = "24h") {
  return {
      {"input_file_id", "f"}, {"endpoint", "/v1/chat/completions"}, {"completion_window", window}};
}

TEST(OpenAiBatches, SpecsAreCheckedFieldByField) {
  const auto error = [](const std::string& body) {
    return read_openai_batch(body, kStrict).error();
  };
  EXPECT_EQ(error("{}").param, "input_file_id");
  Json body = body_of();
  body["endpoint"] = "/v1/messages";
  EXPECT_EQ(error(body.dump()).param, "endpoint");
  EXPECT_NE(error(body.dump()).message.find("/v1/embeddings"), std::string::npos);
  for (const char* window : {"24", "", "15d", "-1h", "1e9h", "soon", "nan", "0h"}) {
    EXPECT_EQ(error(body_of(window).dump()).param, "completion_window") << window;
  }
  Json many = body_of();
  for (int i = 0; i < 17; ++i) many["metadata"][std::to_string(i)] = "x";
  EXPECT_EQ(error(many.dump()).param, "metadata");
  many["metadata"] = {{"k", 5}};
  EXPECT_EQ(error(many.dump()).param, "metadata.k");
  many["metadata"] = {{std::string(65, 'k'), "v"}};
  EXPECT_EQ(error(many.dump()).param, "metadata");
  many["metadata"] = nullptr;
  many["output_expires_after"] = {{"anchor", "created_at"}, {"seconds", 3600}};
  EXPECT_EQ(error(many.dump()).param, "output_expires_after");
}

TEST(OpenAiBatches, ASpecIsReadWhole) {
  Json body = body_of("2d");
  body["metadata"] = {{"k", "v"}};
  auto read = read_openai_batch(body.dump(), kStrict);
  ASSERT_TRUE(read) << read.error().message;
  const BatchSpec& spec = *read;
  EXPECT_EQ(spec.input_file_id, "f");
  EXPECT_EQ(spec.endpoint, "/v1/chat/completions");
  EXPECT_EQ(spec.window_seconds, 2 * 86400);
  EXPECT_EQ(spec.metadata, R"({"k":"v"})");
}

TEST(OpenAiFiles, FormsAreReadInAnyOrder) {
  auto spec = read_file_form({{"expires_after[seconds]", "3600"},
                              {"purpose", "batch"},
                              {"expires_after[anchor]", "created_at"}},
                             "in.jsonl", kStrict);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->filename, "in.jsonl");
  EXPECT_EQ(spec->purpose, "batch");
  EXPECT_EQ(spec->expires_after_s, 3600);
}

TEST(OpenAiFiles, WrongFormsNameTheirField) {
  const auto param = [](const NamedTexts& fields) {
    return read_file_form(fields, "f", kStrict).error().param;
  };
  EXPECT_EQ(param({}), "purpose");
  EXPECT_EQ(param({{"purpose", "batch_output"}}), "purpose");
  EXPECT_EQ(param({{"purpose", "batch"}, {"purpose", "batch"}}), "purpose");
  EXPECT_EQ(param({{"purpose", "batch"}, {"other", "1"}}), "other");
  EXPECT_EQ(param({{"purpose", "batch"}, {"file", "1"}}), "file");
  EXPECT_EQ(param({{"purpose", "batch"}, {"expires_after[seconds]", "3600"}}),
            "expires_after[anchor]");
  EXPECT_EQ(param({{"purpose", "batch"}, {"expires_after[anchor]", "created_at"}}),
            "expires_after[seconds]");
  for (const char* seconds : {"", "x", "3599", "2592001", "1e4", "99999999999999999999"}) {
    EXPECT_EQ(param({{"purpose", "batch"},
                     {"expires_after[anchor]", "created_at"},
                     {"expires_after[seconds]", seconds}}),
              "expires_after[seconds]")
        << seconds;
  }
}

TEST(OpenAiFiles, ListsAreAskedForByPage) {
  auto all = read_file_list({}, kStrict);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->page.limit, 10'000);
  EXPECT_FALSE(all->page.oldest_first);
  auto page = read_file_list(
      {{"purpose", "batch_output"}, {"limit", "3"}, {"order", "asc"}, {"after", "file-x"}},
      kStrict);
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->purpose, "batch_output");
  EXPECT_EQ(page->page.limit, 3);
  EXPECT_EQ(page->page.after, "file-x");
  EXPECT_TRUE(page->page.oldest_first);
  for (const NamedTexts& wrong : std::vector<NamedTexts>{{{"limit", "0"}},
                                                         {{"limit", "10001"}},
                                                         {{"limit", "many"}},
                                                         {{"limit", "1"}, {"limit", "1"}},
                                                         {{"order", "up"}},
                                                         {{"purpose", "x"}},
                                                         {{"after", ""}},
                                                         {{"before", "x"}}}) {
    auto refused = read_file_list(wrong, kStrict);
    ASSERT_FALSE(refused) << wrong[0].first << '=' << wrong[0].second;
    EXPECT_EQ(refused.error().param, wrong[0].first);
  }
  EXPECT_EQ(read_batch_list({}, kStrict)->limit, 20);
  EXPECT_EQ(read_batch_list({{"limit", "101"}}, kStrict).error().param, "limit");
}

}  // namespace
}  // namespace paring::serve::wire
