// SPDX-License-Identifier: Apache-2.0
#include "api/variant.h"

#include <gtest/gtest.h>

#include <set>

namespace paring::api {
namespace {

Variant sample() {
  return {.weights_sha256 = std::string(64, 'a'),
          .tokenizer_sha256 = std::string(64, 'b'),
          .chat_template_sha256 = std::string(64, 'c'),
          .numerics = "served",
          .kv_type = "q8",
          .isa_family = "x86-64",
          .adapters = {},
          .prompt_version = "",
          .index_version = ""};
}

// Pinned: a change of the encoding changes every stored id and needs a new header line.
TEST(Variant, EncodingAndIdArePinned) {
  const Variant variant{.weights_sha256 = "w",
                        .tokenizer_sha256 = "t",
                        .chat_template_sha256 = "",
                        .numerics = "served",
                        .kv_type = "q8",
                        .isa_family = "avx2",
                        .adapters = {"one", "two"},
                        .prompt_version = "v3",
                        .index_version = ""};
  EXPECT_EQ(variant.canonical(),
            "paring-variant-1\n"
            "weights_sha256 1:w\n"
            "tokenizer_sha256 1:t\n"
            "chat_template_sha256 0:\n"
            "numerics 6:served\n"
            "kv_type 2:q8\n"
            "isa_family 4:avx2\n"
            "adapters 1:2\n"
            "adapter 3:one\n"
            "adapter 3:two\n"
            "prompt_version 2:v3\n"
            "index_version 0:\n");
  EXPECT_EQ(variant.id(), "c9a6d4d009b83a348ad8276f78def5ab915820da3dff4ee23f12e7ee9e66266a");
}

TEST(Variant, EveryFieldChangesTheId) {
  std::set<std::string> ids = {sample().id()};
  std::string Variant::* const members[] = {
      &Variant::weights_sha256, &Variant::tokenizer_sha256, &Variant::chat_template_sha256,
      &Variant::numerics,       &Variant::kv_type,          &Variant::isa_family,
      &Variant::prompt_version, &Variant::index_version};
  for (const auto member : members) {
    Variant changed = sample();
    changed.*member += "x";
    EXPECT_TRUE(ids.insert(changed.id()).second);
  }
  Variant changed = sample();
  for (const char* adapter : {"one", "two"}) {
    changed.adapters.push_back(adapter);
    EXPECT_TRUE(ids.insert(changed.id()).second);
  }
  std::swap(changed.adapters[0], changed.adapters[1]);
  EXPECT_TRUE(ids.insert(changed.id()).second) << "the order of adapters matters";
  EXPECT_EQ(ids.size(), 12u);
}

TEST(Variant, BytesCannotMoveFromOneFieldToTheNext) {
  Variant left = sample();
  left.prompt_version = "ab";
  left.index_version = "c";
  Variant right = sample();
  right.prompt_version = "a";
  right.index_version = "bc";
  EXPECT_NE(left.id(), right.id());
  // A value that looks like the encoding of the next field.
  left.prompt_version = "a\nindex_version 1:c";
  left.index_version = "";
  right.prompt_version = "a";
  right.index_version = "c";
  EXPECT_NE(left.canonical(), right.canonical());
  left = right = sample();
  left.adapters = {"ab"};
  right.adapters = {"a", "b"};
  EXPECT_NE(left.id(), right.id());
  right.adapters = {"a\nadapter 1:b"};
  left.adapters = {"a", "b"};
  EXPECT_NE(left.id(), right.id());
}

}  // namespace
}  // namespace paring::api
