// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/speed_case.h"

#include <gtest/gtest.h>

namespace paring::measure {
namespace {

TEST(SpeedCase, IsReadAsItIsWritten) {
  for (const SpeedCase& c : default_cases()) EXPECT_EQ(parse_case(case_text(c)).value(), c);
  const SpeedCase deep = parse_case("decode:64@4096").value();
  EXPECT_EQ(deep.kind, CaseKind::kDecode);
  EXPECT_EQ(deep.decode, 64U);
  EXPECT_EQ(deep.prompt, 4096U);
  EXPECT_EQ(deep.length(), 4160U);
  EXPECT_EQ(deep.timed_tokens(), 64U);
  EXPECT_EQ(case_title(deep), "decode 64 after 4,096 tokens");
  const SpeedCase together = parse_case("together:8x128+100").value();
  EXPECT_EQ(together.timed_tokens(), 800U);
  EXPECT_EQ(together.length(), 228U);
  EXPECT_EQ(case_title(together), "8 sequences together (128 + 100 each), decode");
  EXPECT_EQ(parse_case("prefill:512").value().timed_tokens(), 512U);
}

TEST(SpeedCase, AnythingElseIsRefusedWithTheForms) {
  for (const char* text :
       {"", "prefill", "prefill:", "prefill:0", "prefill:-1", "prefill:512x", "prefill: 512",
        "prefill:131073", "decode:64@", "decode:64@0", "decode:@4096", "together:8", "together:8x1",
        "together:0x1+1", "together:257x1+1", "together:8x128+", "warm:1",
        "prefill:99999999999999999999"}) {
    const auto c = parse_case(text);
    ASSERT_FALSE(c) << text;
    EXPECT_EQ(c.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(c.error().hint.find("together:8x128+128"), std::string::npos);
  }
}

TEST(SpeedCase, ListsHoldEachOnce) {
  EXPECT_EQ(parse_cases("prefill:512,decode:128").value().size(), 2U);
  for (const char* text :
       {"prefill:512,", ",prefill:512", "prefill:512,,decode:1", "decode:5,decode:5"}) {
    EXPECT_FALSE(parse_cases(text)) << text;
  }
}

}  // namespace
}  // namespace paring::measure
