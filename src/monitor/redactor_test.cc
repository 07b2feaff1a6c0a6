// SPDX-License-Identifier: Apache-2.0
#include "monitor/redactor.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

namespace paring::monitor {
namespace {

std::shared_ptr<const Redactor> made(const RedactionOptions& options = {}) {
  auto redactor = Redactor::create(options);
  EXPECT_TRUE(redactor) << (redactor ? "" : redactor.error().text());
  return redactor ? *redactor : nullptr;
}

std::string redacted(std::string_view text) {
  static const auto kRedactor = made({.rules = {}, .built_in = {{"us_ssn", true}}});
  return kRedactor->redact(text).value_or("(refused)");
}

std::string refusal(const RedactionOptions& options) {
  const auto redactor = Redactor::create(options);
  return redactor ? "" : redactor.error().text();
}

TEST(Redactor, TakesOutWhatTellsOfPeople) {
  const std::pair<const char*, const char*> kCases[] = {
      {"write to jane.doe+x@mail.example.co.uk.", "write to [EMAIL]."},
      {"<mailto:o'neil@example.com>", "<mailto:[EMAIL]>"},
      {"j%C3%A9@example.com j%40example.org", "[EMAIL] [EMAIL]"},
      {"jürgen@müller.example", "[EMAIL]"},
      {"call +49 (30) 1234-5678 now", "call [PHONE] now"},
      {"call 0049 30 12345678", "call [PHONE]"},
      {"(212) 555-2368 or 212-555-2368, 1-212-555-2368", "[PHONE] or [PHONE], [PHONE]"},
      {"030 1234567, 0170/1234567, 01 23 45 67 89", "[PHONE], [PHONE], [PHONE]"},
      {"4111 1111 1111 1111", "[CARD]"},
      {"card 4111-1111-1111-1111 123 exp 12/29", "card [CARD] 123 exp 12/29"},
      {"378282246310005, 5555555555554444", "[CARD], [CARD]"},
      {"7 4111 1111 1111 1111", "7 [CARD]"},
      {"IBAN DE89 3704 0044 0532 0130 00 is mine", "IBAN [IBAN] is mine"},
      {"gb29nwbk60161331926819", "[IBAN]"},
      {"host 192.168.0.1:8080, 10.0.0.1.", "host [IP]:8080, [IP]."},
      {"[2001:db8::1]:80 fe80::1%eth0 ::ffff:10.1.2.3", "[[IP]]:80 [IP]%eth0 [IP]"},
      {"key sk-abcdefghijklmnopqrstuvwx.", "key [API_KEY]."},
      {"AKIAIOSFODNN7EXAMPLE ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[API_KEY] [API_KEY]"},
      {"authorization: Bearer abcdef0123456789", "authorization: Bearer [TOKEN]"},
      {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[JWT]"},
      {"password = hunter22; x", "password = [SECRET]; x"},
      {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- after",
       "[API_KEY] after"},
      {"-----BEGIN PRIVATE KEY-----\nMIIE that was cut", "[API_KEY]"},
      {"ssn 123-45-6789", "ssn [SSN]"},
  };
  for (const auto& [text, expected] : kCases) EXPECT_EQ(redacted(text), expected) << text;
}

TEST(Redactor, FindsOtherSpellings) {
  const std::pair<const char*, const char*> kCases[] = {
      // A blank of no width within, full width, other digits, dashes and blanks.
      {"jane\u200b@exa\u00admple.com", "[EMAIL]"},
      {"jane\uff20example\uff0ecom", "[EMAIL]"},
      {"\uff14111\u00a01111\u20111111 1111", "[CARD]"},
      {"+\u0664\u0669 30 1234567", "[PHONE]"},
      {"\u202e4111111111111111\u202c", "\u202e[CARD]\u202c"},
      // Escapes of JSON that is a text in JSON, and once more.
      {R"({"mail":"jane\u0040example.com"})", R"({"mail":"[EMAIL]"})"},
      {R"({\"mail\":\"jane\\u0040example.com\"})", R"({\"mail\":\"[EMAIL]\"})"},
      {R"(x\njane@example.com\n)", R"(x\n[EMAIL]\n)"},
      {R"(\u0034111111111111111)", "[CARD]"},
  };
  for (const auto& [text, expected] : kCases) EXPECT_EQ(redacted(text), expected) << text;
}

TEST(Redactor, LeavesTheRestAsItIs) {
  for (const char* const text :
       {"", "The quick brown fox, 3.14159 and 1,000,000.", "2026-11-23T10:20:30Z, 12:30:45",
        "4111 1111 1111 1112", "DE88370400440532013000", "std::vector<int> a::b", "v1.2.3",
        "1.2.3.4.5", "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad", "f(a @ b)", "1700000000",
        "日本語のテキスト 👩‍👩‍👧 naïve", "C:\\new\\table",
        "x = a[1] + b[22] - 333", "max_tokens: 4096", "\xff\xfe not UTF-8 \x80"}) {
    EXPECT_EQ(redacted(text), text);
  }
}

TEST(Redactor, TakesRulesOfTheOperator) {
  const auto redactor = made({.rules = {{"customer", "C-[0-9]{8}", "[CUSTOMER]"},
                                        {"patient", R"((?i)patient:\s*(\p{L}+ \p{L}+))", "<name>"}},
                              .built_in = {{"email", false}}});
  EXPECT_EQ(redactor->redact("C-12345678 Patient: Ada Löve, a@b.cc, 10.0.0.1"),
            "[CUSTOMER] Patient: <name>, a@b.cc, [IP]");
  EXPECT_EQ(redactor->redact("C\uff0d12345678"), "[CUSTOMER]");
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (const auto& count : redactor->counts()) {
    if (count.places > 0) counts.emplace_back(count.rule, count.places);
  }
  const std::vector<std::pair<std::string, std::uint64_t>> expected = {
      {"customer", 2}, {"patient", 1}, {"ip", 1}};
  EXPECT_EQ(counts, expected);
}

TEST(Redactor, RefusesWrongRules) {
  EXPECT_NE(refusal({.rules = {{"bad", "(", "x"}}}).find("'bad'"), std::string::npos);
  EXPECT_NE(refusal({.rules = {{"ahead", "a(?=b)", "x"}}}).find("look-around"), std::string::npos);
  EXPECT_NE(refusal({.rules = {{"empty", "a*", "x"}}}).find("empty text"), std::string::npos);
  EXPECT_NE(refusal({.rules = {{"email", "a", "x"}}}).find("of that name"), std::string::npos);
  EXPECT_NE(refusal({.rules = {{"a b", "a", "x"}}}).find("a-z"), std::string::npos);
  EXPECT_NE(refusal({.rules = {}, .built_in = {{"emial", true}}}).find("choose of"),
            std::string::npos);
  EXPECT_NE(refusal({.rules = {{"huge", "(a{1000}){1000}", "x"}}}), "");
}

TEST(Redactor, TextThatIsTooLongIsNotSearched) {
  const auto redactor = made();
  EXPECT_TRUE(redactor->redact(std::string(Redactor::kTextBytesMax, 'x')));
  EXPECT_FALSE(redactor->redact(std::string(Redactor::kTextBytesMax + 1, 'x')));
}

// A backtracking matcher takes years for these.
TEST(Redactor, HostileTextTakesBoundedTime) {
  const auto redactor = made({.rules = {{"evil", "(a+)+$|(?:x+x+)+y", "[EVIL]"}}});
  std::string dots;
  while (dots.size() < 200'000) dots += "a.@a.";
  for (const std::string& text :
       {std::string(200'000, 'a') + "b", std::string(200'000, '1'), std::string(200'000, ':'),
        std::string(200'000, '@'), std::string(200'000, '\\'), dots}) {
    (void)redactor->redact(text);  // refused or not, it ends
  }
}

// What is found is found wherever it stands, and what stands around it stays.
TEST(Redactor, FindsSeedsAmongAnyText) {
  const std::pair<const char*, const char*> kSeeds[] = {
      {"jane.doe@example.com", "[EMAIL]"},
      {"+4915112345678", "[PHONE]"},
      {"5500 0000 0000 0004", "[CARD]"},
      {"FR1420041010050500013M02606", "[IBAN]"},
      {"203.0.113.77", "[IP]"},
      {"hf_abcdefghijklmnopqrstuvwx", "[API_KEY]"}};
  const std::vector<std::string> kAround = {" ",  "\n",  "\t", "(",      ")",  "\"", "é",  "日本",
                                            ", ", "foo", "ß ", "\u200b", "🎉", ";",  "{}", "Zoë"};
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    std::string secret;
    for (int part = 0; part < 6; ++part) {
      for (unsigned i = 0; i < 1 + random() % 3; ++i) text += kAround[random() % kAround.size()];
      const auto& seed = kSeeds[random() % std::size(kSeeds)];
      text += std::string(" ") + seed.first + " ";
      secret = seed.first;
      const std::string out = redacted(text);
      ASSERT_EQ(out.find(secret), std::string::npos) << text << "\n" << out;
      ASSERT_NE(out.find(seed.second), std::string::npos) << text << "\n" << out;
    }
  }
}

}  // namespace
}  // namespace paring::monitor
