// SPDX-License-Identifier: Apache-2.0
#include "text/constraint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "text/fixture_for_test.h"

namespace paring::text {
namespace {

std::shared_ptr<const Tokenizer> smollm2() {
  static const auto tokenizer = Tokenizer::create(vocabulary_spec("tokenizer/smollm2.txt")).value();
  return tokenizer;
}

const ConstraintFactory& factory() {
  static const auto made = ConstraintFactory::create(smollm2()).value();
  return *made;
}

ConstraintState started(const ConstraintSpec& spec) {
  return ConstraintState::start(factory().compile(spec).value()).value();
}

// Whether the grammar takes the whole text, and may end behind it.
bool takes(ConstraintState& state, std::string_view text) {
  const auto ids = smollm2()->encode(text, {}).value();
  for (const std::int32_t id : ids) {
    if (!state.accept(id)) return false;
  }
  return state.may_end().value();
}

bool takes(const ConstraintSpec& spec, std::string_view text) {
  ConstraintState state = started(spec);
  return takes(state, text);
}

bool follows(const std::string& schema, std::string_view text) {
  return takes({.source = schema}, text);
}

TEST(Constraint, AnAnswerThatFollowsTheSchemaIsTaken) {
  const std::string schema =
      R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": false})";
  EXPECT_TRUE(follows(schema, R"({"name": "Ada", "age": 36})"));
  EXPECT_TRUE(follows(schema, "{\"name\":\"\",\n  \"age\":-1}"));
  EXPECT_FALSE(follows(schema, R"({"name": "Ada", "age": "36"})"));
  EXPECT_FALSE(follows(schema, R"({"name": "Ada"})"));
  EXPECT_FALSE(follows(schema, R"({"name": "Ada", "age": 36, "more": 1})"));
}

TEST(Constraint, ChoicesExpressionsAndObjectsAreFollowed) {
  const ConstraintSpec choice{.kind = ConstraintKind::kChoice, .choices = {"yes", "no \"x\"\n"}};
  EXPECT_TRUE(takes(choice, "yes"));
  EXPECT_TRUE(takes(choice, "no \"x\"\n"));
  EXPECT_FALSE(takes(choice, "ye"));
  EXPECT_FALSE(takes(choice, "yes "));
  const ConstraintSpec regex{.kind = ConstraintKind::kRegex, .source = "[a-c]+/\\/x?\\n"};
  EXPECT_TRUE(takes(regex, "abc//x\n"));
  EXPECT_FALSE(takes(regex, "abd//x\n"));
  const ConstraintSpec object{.kind = ConstraintKind::kJsonObject};
  EXPECT_TRUE(takes(object, R"({"a": [1, {"b": null}]})"));
  EXPECT_FALSE(takes(object, "[1]"));
}

TEST(Constraint, WhatTheMaskLeavesOutIsNotAccepted) {
  const ConstraintSpec spec{.kind = ConstraintKind::kChoice, .choices = {"yes", "no"}};
  ConstraintState state = started(spec);
  std::vector<std::uint32_t> bits(factory().mask_words());
  ASSERT_TRUE(state.mask(bits));
  std::size_t allowed = 0;
  for (std::int32_t id = 0; std::cmp_less(id, smollm2()->vocab_size()); ++id) {
    const bool is_allowed = ((bits[id / 32] >> (id % 32)) & 1U) != 0;
    const std::string_view text = smollm2()->token_bytes(id);
    const bool is_start = !text.empty() && (std::string_view("yes").starts_with(text) ||
                                            std::string_view("no").starts_with(text));
    EXPECT_EQ(is_allowed, is_start) << text;
    EXPECT_EQ(state.acceptable(std::vector{id}).value(), is_allowed ? 1U : 0U) << text;
    allowed += is_allowed ? 1 : 0;
  }
  EXPECT_GE(allowed, 4U);
  const Result<void> wrong = state.accept(smollm2()->eos().value());
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  // The refusal changed nothing.
  EXPECT_TRUE(takes(state, "no"));
  EXPECT_TRUE(state.is_done().value());
  ASSERT_TRUE(state.mask(bits));
  for (std::int32_t id = 0; std::cmp_less(id, smollm2()->vocab_size()); ++id) {
    EXPECT_EQ(((bits[id / 32] >> (id % 32)) & 1U) != 0, smollm2()->is_end(id)) << id;
  }
}

}  // namespace
}  // namespace paring::text
