// SPDX-License-Identifier: Apache-2.0
#include "base/sip_hash.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace paring {
namespace {

// Bytes 0, 1, 2, ... 15.
constexpr SipKey kPaperKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

std::string count_up(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(i);
  return text;
}

// The paper's appendix A, and the first of the authors' test vectors.
TEST(SipHash, GivesThePapersValues) {
  EXPECT_EQ(sip_hash(kPaperKey, count_up(15)), 0xa129ca6149be45e5U);
  EXPECT_EQ(sip_hash(kPaperKey, ""), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(sip_hash(kPaperKey, count_up(1)), 0x74f839c593dc67fdU);
  EXPECT_EQ(sip_hash(kPaperKey, count_up(8)), 0x93f5f5799a932462U);
}

TEST(SipHash, WordsAreBytes) {
  SipHash hash(kPaperKey);
  EXPECT_EQ(hash.digest(), sip_hash(kPaperKey, ""));
  hash.add(0x0706050403020100);
  EXPECT_EQ(hash.digest(), sip_hash(kPaperKey, count_up(8)));
  EXPECT_EQ(hash.digest(), sip_hash(kPaperKey, count_up(8))) << "asking changes nothing";
}

TEST(SipHash, TextsBehindEachOtherKeepApart) {
  std::set<std::uint64_t> seen;
  for (const auto& [first, second] : {std::pair<std::string, std::string>{"ab", "c"},
                                      {"a", "bc"},
                                      {"abc", ""},
                                      {"", "abc"},
                                      {std::string("abc\0", 4), ""}}) {
    SipHash hash(kPaperKey);
    hash.add_text(first);
    hash.add_text(second);
    seen.insert(hash.digest());
  }
  EXPECT_EQ(seen.size(), 5U);
}

}  // namespace
}  // namespace paring
