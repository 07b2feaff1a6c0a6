// SPDX-License-Identifier: Apache-2.0
#include "text/constraint.h"

#include <gtest/gtest.h>

#include "text/constraint_for_test.h"

namespace paring::text {
namespace {

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
  std::vector<std::uint32_t> bits(smollm2_constraints().mask_words());
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

TEST(Constraint, AGrammarIsFollowedAndSchemasInIt) {
  const ConstraintSpec spec{.kind = ConstraintKind::kLark,
                            .source = R"lark(# a comment with %json and <|token|>
start: "call " NAME "(" args ")"
NAME: /[a-z]+/
args: %json {"type": "object", "properties": {"day": {"type": "string", "format": "date"}},
             "required": ["day"], "additionalProperties": false}
)lark"};
  EXPECT_TRUE(takes(spec, R"(call f({"day": "2024-02-29"}))"));
  EXPECT_FALSE(takes(spec, R"(call f({"day": "2023-02-29"}))"));
  EXPECT_FALSE(takes(spec, "call F({})"));
}

TEST(Constraint, DatesHoldToTheCalendar) {
  const std::string schema = R"({"type": "string", "format": "date-time"})";
  EXPECT_TRUE(follows(schema, R"("2024-02-29T23:59:59Z")"));
  EXPECT_TRUE(follows(schema, R"("2000-02-29T00:00:00.5+05:30")"));
  EXPECT_FALSE(follows(schema, R"("1900-02-29T00:00:00Z")"));
  EXPECT_FALSE(follows(schema, R"("2024-04-31T00:00:00Z")"));
  EXPECT_FALSE(follows(schema, R"("2024-04-30T23:59:60Z")"));
}

// As Qwen2.5 and Hermes write them.
ToolCallSpec hermes() {
  return {.form = {.trigger = "<tool_call>",
                   .list_begin = "\n",
                   .call_begin = "{\"name\": ",
                   .call_middle = ", \"arguments\": ",
                   .call_end = "}",
                   .separator = "\n",
                   .list_end = "\n</tool_call>",
                   .triggers_each_call = true},
          .tools = {{"weather",
                     R"({"type": "object", "properties": {"city": {"type": "string"}},
                         "required": ["city"], "additionalProperties": false})"},
                    {"time", ""}}};
}

constexpr const char* kWeatherCall =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";
constexpr const char* kTimeCall =
    "<tool_call>\n{\"name\": \"time\", \"arguments\": {}}\n</tool_call>";

TEST(Constraint, CallsOfToolsAreTriggered) {
  ConstraintSpec spec{.kind = ConstraintKind::kTools, .tools = hermes()};
  const std::string weather = kWeatherCall;
  EXPECT_TRUE(takes(spec, "Just text, < and <tool and {}."));
  EXPECT_TRUE(takes(spec, ""));
  EXPECT_TRUE(takes(spec, "Let me see.\n" + weather));
  EXPECT_TRUE(takes(spec, weather + "\n" + kTimeCall + "\nDone."));
  EXPECT_FALSE(takes(spec, "<tool_call> or so"));
  EXPECT_FALSE(takes(spec, "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(
      takes(spec, "<tool_call>\n{\"name\": \"weather\", \"arguments\": {}}\n</tool_call>"));
  EXPECT_FALSE(takes(spec, weather.substr(0, weather.size() - 1)));
  spec.tools.is_single = true;
  EXPECT_TRUE(takes(spec, "So: " + weather));
  EXPECT_FALSE(takes(spec, weather + "\n" + kTimeCall));
}

TEST(Constraint, CallsOfToolsAreRequired) {
  ConstraintSpec spec{.kind = ConstraintKind::kTools, .tools = hermes()};
  spec.tools.is_required = true;
  const std::string weather = kWeatherCall;
  EXPECT_FALSE(takes(spec, ""));
  EXPECT_FALSE(takes(spec, "Text"));
  EXPECT_TRUE(takes(spec, weather));
  EXPECT_TRUE(takes(spec, weather + "\n" + kTimeCall + "\n" + kTimeCall));
  // All up to the choice of the tool is forced.
  ConstraintState state = started(spec);
  std::string forced;
  const std::vector<std::int32_t> tokens = state.forced().value();
  for (const std::int32_t id : tokens) forced += smollm2()->token_bytes(id);
  EXPECT_TRUE(std::string("<tool_call>\n{\"name\": \"").starts_with(forced)) << forced;
  EXPECT_GT(forced.size(), 10U);
  spec.tools.is_single = true;
  EXPECT_TRUE(takes(spec, weather));
  EXPECT_FALSE(takes(spec, weather + "\n" + kTimeCall));
}

TEST(Constraint, CallsBehindASpecialTokenNeedThatToken) {
  ConstraintSpec spec{.kind = ConstraintKind::kTools,
                      .tools = {.form = {.trigger = "<|im_start|>",
                                         .list_begin = "[",
                                         .call_begin = "{\"name\": ",
                                         .call_middle = ", \"arguments\": ",
                                         .call_end = "}",
                                         .separator = ", ",
                                         .list_end = "]"},
                                .tools = {{"a", ""}, {"b", ""}}}};
  const std::int32_t trigger = smollm2()->find("<|im_start|>").value();
  ConstraintState state = started(spec);
  // Spelled out it is text like any other.
  EXPECT_TRUE(takes(state, "See: <|im_start|>"));
  ASSERT_TRUE(state.accept(trigger));
  EXPECT_TRUE(takes(state, R"([{"name": "a", "arguments": {}}, {"name": "b", "arguments": {}}])"));
  EXPECT_TRUE(state.is_done().value());
  spec.tools.is_single = true;
  ConstraintState single = started(spec);
  ASSERT_TRUE(single.accept(trigger));
  EXPECT_FALSE(
      takes(single, R"([{"name": "a", "arguments": {}}, {"name": "b", "arguments": {}}])"));
}

TEST(Constraint, AnswersThatAreCallsFromTheirStartAreToldFromText) {
  const ConstraintSpec spec{.kind = ConstraintKind::kTools,
                            .tools = {.form = {.call_begin = "{\"name\": ",
                                               .call_middle = ", \"parameters\": ",
                                               .call_end = "}",
                                               .separator = "; "},
                                      .tools = {{"a", ""}}}};
  EXPECT_TRUE(takes(spec, "Text with {\"name\": 1}"));
  EXPECT_TRUE(takes(spec, R"({"name": "a", "parameters": {"x": 1}})"));
  EXPECT_FALSE(takes(spec, R"({"name": "b", "parameters": {}})"));
}

TEST(Constraint, ReasoningComesBeforeTheAnswer) {
  ConstraintSpec spec{.source = R"({"type": "integer"})",
                      .reasoning = ReasoningForm{.begin = "<think>", .end = "</think>"}};
  EXPECT_TRUE(takes(spec, "<think>\n3 + 4, so </thin 7\n</think>\n\n7"));
  EXPECT_TRUE(takes(spec, "7"));
  EXPECT_FALSE(takes(spec, "<think>7"));
  EXPECT_FALSE(takes(spec, "<think>\n</think>\n\nseven"));
  spec.reasoning->is_open = true;
  EXPECT_TRUE(takes(spec, "3 + 4\n</think>\n\n7"));
  EXPECT_FALSE(takes(spec, "7"));
}

TEST(Constraint, TheSameConstraintIsCompiledOnce) {
  const auto factory = ConstraintFactory::create(smollm2(), {.cached_constraints = 2}).value();
  const auto compile = [&](const std::string& schema) {
    return factory->compile({.source = schema}).value();
  };
  const auto integer = compile(R"({"type": "integer"})");
  EXPECT_EQ(compile(R"({"type": "integer"})"), integer);
  const auto compact =
      factory->compile({.source = R"({"type": "integer"})", .space = JsonSpace::kCompact});
  EXPECT_NE(compact.value(), integer);
  compile(R"({"type": "integer"})");
  compile(R"({"type": "null"})");  // drops the compact one, which was used before
  EXPECT_EQ(compile(R"({"type": "integer"})"), integer);
  EXPECT_NE(
      factory->compile({.source = R"({"type": "integer"})", .space = JsonSpace::kCompact}).value(),
      *compact);
}

TEST(Constraint, CompactJsonHasNoSpace) {
  const ConstraintSpec spec{.kind = ConstraintKind::kJsonObject, .space = JsonSpace::kCompact};
  EXPECT_TRUE(takes(spec, R"({"a b":[1,{"c":2}]})"));
  EXPECT_FALSE(takes(spec, R"({"a": 1})"));
  EXPECT_FALSE(takes(spec, "{\n}"));
  EXPECT_FALSE(takes(spec, "{\u4e2d}"));
}

TEST(Constraint, TokensAreTakenBackTheEndAmongThem) {
  ConstraintState state =
      started({.kind = ConstraintKind::kChoice, .choices = {"yes", "yes please"}});
  const auto before = mask_of(state);
  const auto ids = smollm2()->encode("yes", {}).value();
  for (const std::int32_t id : ids) ASSERT_TRUE(state.accept(id));
  const auto at_end = mask_of(state);
  ASSERT_TRUE(state.accept(smollm2()->eos().value()));
  EXPECT_FALSE(state.accept(smollm2()->eos().value()));
  ASSERT_TRUE(state.rollback(1));
  EXPECT_EQ(mask_of(state), at_end);
  ASSERT_TRUE(state.rollback(ids.size()));
  EXPECT_EQ(mask_of(state), before);
  const Result<void> more = state.rollback(1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, ErrorCode::kInvalidArgument);
  // Where nothing but the end may follow, too.
  EXPECT_TRUE(takes(state, "yes please"));
  ASSERT_TRUE(state.accept(smollm2()->eos().value()));
  ASSERT_TRUE(state.rollback(2));
  EXPECT_FALSE(state.is_done().value());
}

TEST(Constraint, ATokenizerOfByteTokensIsFollowedToo) {
  const auto tokenizer = Tokenizer::create(small_vocabulary("spm")).value();
  const auto factory = ConstraintFactory::create(tokenizer).value();
  auto state =
      ConstraintState::start(
          factory->compile({.kind = ConstraintKind::kChoice, .choices = {"caf\u00e9"}}).value())
          .value();
  std::vector<std::uint32_t> bits(factory->mask_words());
  std::string text;
  for (int step = 0; step < 10 && !state.is_done().value(); ++step) {
    ASSERT_TRUE(state.mask(bits));
    std::int32_t id = 0;
    while (((bits[static_cast<std::size_t>(id) / 32] >> (id % 32)) & 1U) == 0) ++id;
    ASSERT_TRUE(state.accept(id));
    text += tokenizer->token_bytes(id);
  }
  EXPECT_EQ(text, "caf\u00e9");
}

}  // namespace
}  // namespace paring::text
