// SPDX-License-Identifier: Apache-2.0
#include "api/certificate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace paring::api {
namespace {

Certificate sample() {
  Certificate c;
  c.original_name = "smollm2 \"135M\"";
  c.original_sha256 = std::string(64, '0');
  c.variant.weights_sha256 = std::string(64, '1');
  c.variant.numerics = "served";
  c.variant.adapters = {"adapter"};
  c.texts = {{"calibration", "built-in", std::string(64, '2'), 4096},
             {"holdout", "other", std::string(64, '3'), 16384}};
  c.served = {0.0433, 1.0 / 3, 0.02, 0.09, 0.13, 0.4, 1.9, 7.25, 0.91, 0.002, 16384};
  c.weights_only = {0.0411, 0.0003, 0.019, 0.08, 0.12, 0.39, 1.8, 7.0, 0.92, 0.0019, 16384};
  c.perplexity = {22.5871, 23.02, 1.0192, 0.0011};
  c.tasks = {{"hellaswag", std::string(64, '4'), "acc_norm", 0.43, 0.42, -0.01, 0.004, 10042}};
  c.bytes_before = {270'000'000, 269'000'000, 300'000'000};
  c.bytes_after = {105'400'000, 104'000'000, 140'000'000};
  c.host = {"AMD EPYC", "avx512", 2};
  c.speed_before = {900.5, 0.41, 60.25, 0.71};
  c.speed_after = {1100.5, 0.5, 110.0, 0.69};
  c.budget = {105'400'000, 0, 1.7, 0.05, 2048};
  c.search = {900, 412.5, 5, 211, 211, 7, 8};
  c.recipe = {{"token_embd.weight", "Q5_0"}, {"blk.0.attn_q.weight", "Q4_1"}};
  c.tool_version = "0.1.0";
  c.date = "2026-11-22T08:05:09Z";
  return c;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text) {
  const auto read = Certificate::from_json(text);
  return read ? "no error" : read.error().text();
}

TEST(Certificate, RoundTripKeepsEveryBit) {
  const Certificate written = sample();
  const std::string text = written.to_json();
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto read = Certificate::from_json(text);
  ASSERT_TRUE(read.has_value()) << read.error().text();
  EXPECT_EQ(*read, written);
  EXPECT_EQ(read->to_json(), text);
  EXPECT_EQ(Certificate::from_json(Certificate().to_json()).value(), Certificate());
}

TEST(Certificate, JsonShowsWhatAReaderNeeds) {
  const std::string text = sample().to_json();
  EXPECT_TRUE(text.starts_with("{\"version\":1,\"original_name\":")) << text;
  EXPECT_NE(text.find("\"id\":\"" + sample().variant.id() + "\""), std::string::npos);
  EXPECT_NE(text.find("\"kl_mean\":0.0433"), std::string::npos);
}

TEST(Certificate, WhatIsNotFiniteIsReadBackAsNotKnown) {
  Certificate c = sample();
  c.served.kl_max = INFINITY;
  c.perplexity.ratio = NAN;
  const auto read = Certificate::from_json(c.to_json());
  ASSERT_TRUE(read.has_value()) << read.error().text();
  EXPECT_TRUE(std::isnan(read->served.kl_max));
  EXPECT_TRUE(std::isnan(read->perplexity.ratio));
}

TEST(Certificate, ErrorsNameTheField) {
  const std::string text = sample().to_json();
  EXPECT_EQ(error_of(replaced(text, "\"kl_mean\":0.0433", "\"kl_mean\":\"low\"")),
            "certificate: served.kl_mean is not a number");
  EXPECT_EQ(error_of(replaced(text, "\"kl_mean\":0.0433,", "")),
            "certificate: served.kl_mean is missing");
  EXPECT_EQ(error_of(replaced(text, "\"tokens\":4096", "\"tokens\":-1")),
            "certificate: texts[0].tokens is not a whole number from 0");
  EXPECT_EQ(error_of(replaced(text, "\"type\":\"Q4_1\"", "\"type\":4")),
            "certificate: recipe[1].type is not a string");
  EXPECT_EQ(error_of(replaced(text, "\"tasks\":[", "\"tasks\":7,\"x\":[")),
            "certificate: tasks is not a list");
  EXPECT_EQ(error_of(replaced(text, "\"date\":", "\"extra\":1,\"date\":")),
            "certificate: the document has 1 unknown or repeated fields");
  EXPECT_EQ(error_of(replaced(text, "\"isa\":", "\"colour\":1,\"isa\":")),
            "certificate: host has 1 unknown or repeated fields");
  EXPECT_EQ(error_of(replaced(text, std::string(64, '0'), std::string(64, 'z'))),
            "certificate: original_sha256 is not a SHA-256");
  EXPECT_EQ(
      error_of(replaced(text, "\"host\":{\"cpu\":\"AMD EPYC\",\"isa\":\"avx512\",\"threads\":2}",
                        "\"host\":[]")),
      "certificate: host is not an object");
}

TEST(Certificate, TheIdMustBeTheVariants) {
  const std::string text = sample().to_json();
  EXPECT_EQ(error_of(replaced(text, "\"numerics\":\"served\"", "\"numerics\":\"exact\"")),
            "certificate: variant.id is not the hash of the variant");
}

TEST(Certificate, ANewerVersionSaysSo) {
  const auto newer = Certificate::from_json("{\"version\":2,\"surprise\":true}");
  ASSERT_FALSE(newer.has_value());
  EXPECT_EQ(newer.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(newer.error().message, "certificate: version 2 is newer than 1, the newest known");
  EXPECT_EQ(error_of("{}"), "certificate: version is missing");
  EXPECT_EQ(error_of("{\"version\":\"1\"}"), "certificate: version is not a whole number from 1");
  EXPECT_EQ(error_of("{\"version\":0}"), "certificate: version is not a whole number from 1");
}

TEST(Certificate, HostileTextIsAnError) {
  EXPECT_EQ(error_of(""), "certificate: not JSON");
  EXPECT_EQ(error_of("[]"), "certificate: the document is not an object");
  EXPECT_EQ(error_of(std::string(1000, '[')), "certificate: nested deeper than 8");
  EXPECT_EQ(error_of("{\"version\":1,\"a\":\"" + std::string(9, '[') + "\"}"),
            "certificate: original_name is missing")
      << "brackets in a string are no nesting";
  EXPECT_NE(error_of(std::string(kCertificateBytesMax + 1, ' ')).find("the limit is 4194304"),
            std::string::npos);
  const std::string text = sample().to_json();
  for (std::size_t length = 0; length < text.size(); ++length) {
    ASSERT_FALSE(Certificate::from_json(text.substr(0, length)).has_value()) << length;
  }
}

TEST(Certificate, NamesThatAreNoUtf8DoNotStopTheWriter) {
  Certificate c = sample();
  c.original_name = "a\xff";
  EXPECT_EQ(Certificate::from_json(c.to_json()).value().original_name, "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace paring::api
