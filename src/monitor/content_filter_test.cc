// SPDX-License-Identifier: Apache-2.0
#include "monitor/content_filter.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "text/unicode.h"

namespace paring::monitor {
namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const ContentFilter> made(const ContentFilter::Options& options) {
  auto filter = ContentFilter::create(options);
  EXPECT_TRUE(filter) << (filter ? "" : filter.error().text());
  return filter ? *filter : nullptr;
}

TEST(ContentFilter, RedactsEveryTextAndNumber) {
  const auto filter = made({});
  store::TrafficContent content{
      R"([{"role":"user","content":"I am jane\u0040example.com","n":4111111111111111},)"
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":)"
      R"({"name":"mail","arguments":"{\"to\":\"joe\\u0040example.com\"}"}}],)"
      R"("a@b.example":true}])",
      R"({"role":"assistant","content":"203.0.113.9"})"};
  ASSERT_TRUE(filter->apply(content));
  EXPECT_EQ(content.prompt,
            R"([{"role":"user","content":"I am [EMAIL]","n":"[CARD]"},)"
            R"({"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",)"
            R"("function":{"name":"mail","arguments":"{\"to\":\"[EMAIL]\"}"}}],"[EMAIL]":true}])");
  EXPECT_EQ(content.answer, R"({"role":"assistant","content":"[IP]"})");
}

TEST(ContentFilter, NoRuleChangesTheFormOfMessages) {
  const auto filter =
      made({.redaction = {.rules = {{"words", "user|role|content|assistant", "[W]"}}}});
  store::TrafficContent content{R"([{"role":"user","content":"user","more":"role"}])",
                                R"({"role":"assistant","content":"assistant"})"};
  ASSERT_TRUE(filter->apply(content));
  EXPECT_EQ(content.prompt, R"([{"role":"user","content":"[W]","more":"[W]"}])");
  EXPECT_EQ(content.answer, R"({"role":"assistant","content":"[W]"})");
}

TEST(ContentFilter, FullKeepsAllUpToItsBound) {
  const auto filter = made({.is_redacted = false, .bytes_max = 1024});
  store::TrafficContent content{R"("mail a@b.example")", R"("yes")"};
  ASSERT_TRUE(filter->apply(content));
  EXPECT_EQ(content.prompt, R"("mail a@b.example")");
  const std::string text = std::string(3000, 'a') + "é" + std::string(3001, 'b') + "the end";
  content = {Json(text).dump(), R"("short")"};
  ASSERT_TRUE(filter->apply(content));
  const std::string kept = Json::parse(content.prompt).get<std::string>();
  EXPECT_TRUE(kept.starts_with("aaaa"));
  EXPECT_TRUE(kept.ends_with("the end"));
  const std::size_t mark = kept.find(kCutMark);
  ASSERT_NE(mark, std::string::npos);
  const std::size_t after = kept.find("cut ...]") + 8;
  EXPECT_EQ(kept.size() - (after - mark), 1024U - 5);  // "short" has its bytes
  EXPECT_EQ(content.answer, R"("short")");
}

TEST(ContentFilter, CutsWholeCharactersOnly) {
  const auto filter = made({.is_redacted = false, .bytes_max = 1025});
  for (int shift = 0; shift < 4; ++shift) {
    std::string text(static_cast<std::size_t>(shift), 'x');
    for (int i = 0; i < 2000; ++i) text += "👍";
    store::TrafficContent content{Json(text).dump(), "\"\""};
    ASSERT_TRUE(filter->apply(content));
    EXPECT_TRUE(text::is_well_formed_utf8(Json::parse(content.prompt).get<std::string>()));
    EXPECT_EQ(content.prompt.find("\xEF\xBF\xBD"), std::string::npos);
  }
}

TEST(ContentFilter, LongConversationsKeepBeginAndEnd) {
  const auto filter = made({.is_redacted = false, .bytes_max = 1024});
  Json messages = Json::array();
  for (int i = 0; i < 5000; ++i) {
    messages.push_back({{"role", "user"}, {"content", std::to_string(i)}});
  }
  store::TrafficContent content{messages.dump(), "\"\""};
  ASSERT_TRUE(filter->apply(content));
  const Json kept = Json::parse(content.prompt);
  ASSERT_EQ(kept.size(), 17U);
  EXPECT_EQ(kept.front()["content"], "0");
  EXPECT_EQ(kept.back()["content"], "4999");
  EXPECT_EQ(kept[4], (Json{{"role", "cut"}, {"content", "[... 4984 messages cut ...]"}}));
}

TEST(ContentFilter, WhatCannotBeRedactedIsNotWritten) {
  const auto filter = made({});
  store::TrafficContent content{"[{\"content\":\"a@b.example\"", "\"\""};  // cut
  EXPECT_FALSE(filter->apply(content));
  content = {std::string(5000, '[') + std::string(5000, ']'), "\"\""};
  EXPECT_FALSE(filter->apply(content));
  // A text that is too long to be searched is left out, and says so.
  content = {Json(std::string(Redactor::kTextBytesMax, 'x') + " a@b.example").dump(), "\"\""};
  ASSERT_TRUE(filter->apply(content));
  EXPECT_EQ(content.prompt, "\"[... 1048588 bytes cut ...]\"");
}

TEST(ContentFilter, RequestsHoldNoMoreThanTheirRoom) {
  const auto filter = made({.held_bytes_max = 100});
  ContentRoom first = filter->room();
  EXPECT_TRUE(first.add(60));
  {
    ContentRoom second = filter->room();
    EXPECT_TRUE(second.add(40));
    EXPECT_FALSE(second.add(1));
    EXPECT_FALSE(first.add(1));
  }
  ContentRoom moved = std::move(first);
  EXPECT_TRUE(moved.add(39));
  EXPECT_FALSE(filter->room().add(1));
}

TEST(ContentFilter, TakesAShareByTheId) {
  const auto filter = made({.share = 0.1});
  const auto all = made({});
  int taken = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string id = "req_" + std::to_string(i);
    EXPECT_TRUE(all->takes(id));
    EXPECT_EQ(filter->takes(id), filter->takes(id));
    if (filter->takes(id)) ++taken;
  }
  EXPECT_GT(taken, 1800);
  EXPECT_LT(taken, 2200);
  EXPECT_FALSE(ContentFilter::create({.share = 0}));
  EXPECT_FALSE(ContentFilter::create({.share = 1.1}));
  EXPECT_FALSE(ContentFilter::create({.bytes_max = 1}));
}

}  // namespace
}  // namespace paring::monitor
