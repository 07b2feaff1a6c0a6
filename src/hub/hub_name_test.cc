// SPDX-License-Identifier: Apache-2.0
#include "hub/hub_name.h"

#include <gtest/gtest.h>

namespace paring::hub {
namespace {

TEST(HubName, HasOwnerNameRevisionAndFile) {
  const auto plain = parse_hub_name("hf:owner/some.name-1_b");
  ASSERT_TRUE(plain) << plain.error().text();
  EXPECT_EQ(plain->repository(), "owner/some.name-1_b");
  EXPECT_EQ(plain->revision, "main");
  EXPECT_EQ(plain->file, "");
  const auto full = parse_hub_name("hf:o/n@refs/pr/1:sub/m.gguf");
  ASSERT_TRUE(full) << full.error().text();
  EXPECT_EQ(full->revision, "refs/pr/1");
  EXPECT_EQ(full->file, "sub/m.gguf");
  EXPECT_EQ(full->text(), "hf:o/n@refs/pr/1:sub/m.gguf");
}

TEST(HubName, RefusesWhatCouldLeaveItsFolder) {
  for (const char* text :
       {"", "hf:", "hf:name", "hf:/name", "hf:owner/", "hf:../name", "hf:owner/..", "hf:a/b/c",
        "hf:owner/name:", "hf:owner/name:../x", "hf:owner/name:/etc/passwd", "hf:owner/name:a//b",
        "hf:owner/name:a/./b", "hf:owner/name:a\\b", "hf:owner/name@", "hf:owner/name@../x",
        "hf:owner/na me", "hf:owner/n\xc3\xa4me", "hf:owner/name:a\nb"}) {
    const auto name = parse_hub_name(text);
    ASSERT_FALSE(name) << text;
    EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_NE(name.error().hint.find("hf:OWNER/NAME"), std::string::npos) << text;
  }
  EXPECT_FALSE(parse_hub_name("hf:owner/" + std::string(97, 'x')));
  EXPECT_FALSE(parse_hub_name("hf:owner/name:" + std::string(2000, 'x')));
}

}  // namespace
}  // namespace paring::hub
