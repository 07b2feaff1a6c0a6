// SPDX-License-Identifier: Apache-2.0
#include "base/redact.h"

#include <gtest/gtest.h>

#include <string>

#include "base/log.h"

namespace paring {
namespace {

constexpr const char* kKey = "pk-AbCdEf0123456789AbCdEf0123456789AbCdEf01234567";

TEST(Redact, KeysAreTakenOutWhereverTheyStand) {
  for (const std::string& secret :
       {std::string(kKey), std::string("sk-proj-abcdefghijklmnop"),
        std::string("hf_abcdefghijklmnopqrst"), std::string("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln"),
        std::string("ghp_abcdefghijklmnopqrst")}) {
    for (const std::string& text :
         {secret, "the key " + secret + " is wrong", "'" + secret + "'", "(" + secret + ")",
          "url?key=" + secret + "&x=1", "line\n" + secret + "\n"}) {
      const std::string clean = redact(text);
      EXPECT_EQ(clean.find(secret.substr(3, 12)), std::string::npos) << clean;
      EXPECT_NE(clean.find(kRedacted), std::string::npos) << clean;
    }
  }
}

TEST(Redact, ValuesAreTakenOutByTheirNames) {
  EXPECT_EQ(redact("Authorization: Bearer abc.def\r\nHost: x"),
            "Authorization: [redacted]\r\nHost: x");
  EXPECT_EQ(redact("authorization: Basic dXNlcjpwYXNz"), "authorization: [redacted]");
  EXPECT_EQ(redact("X-Api-Key: s3cret, more"), "X-Api-Key: [redacted], more");
  EXPECT_EQ(redact(R"({"api_key": "my pass word", "n": 1})"),
            R"({"api_key": "[redacted]", "n": 1})");
  EXPECT_EQ(redact(R"({"Authorization":"Bearer xyz"})"), R"({"Authorization":"[redacted]"})");
  EXPECT_EQ(redact("password=hunter2 user=me"), "password=[redacted] user=me");
  EXPECT_EQ(redact("Bearer abcdefghijkl0"), "Bearer [redacted]");
  EXPECT_EQ(redact("Cookie: a=b; c=d"), "Cookie: [redacted]");
}

TEST(Redact, OrdinaryTextStaysAsItIs) {
  for (const std::string text :
       {"", "a", "the bearer of this", "128 tokens, max_tokens: 5", "token: <|im_start|>",
        "sk-learn", "pk-", "hf:owner/name", "no secret here", "desk-abcdefghijklmnopqrst",
        "password", "a secret agent", "\xff\xfe bytes \0", "authorization failed", "api_key="}) {
    EXPECT_EQ(redact(text), text);
  }
}

TEST(Redact, TwiceIsOnce) {
  const std::string once = redact("Authorization: Bearer x\npassword=\"a b\" " + std::string(kKey));
  EXPECT_EQ(redact(once), once);
}

TEST(Redact, LogLinesPassThroughIt) {
  testing::internal::CaptureStderr();
  log_error("cannot use " + std::string(kKey));
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_NE(written.find("cannot use [redacted]"), std::string::npos) << written;
}

}  // namespace
}  // namespace paring
