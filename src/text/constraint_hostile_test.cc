// SPDX-License-Identifier: Apache-2.0
// What strangers send: an error within a second that says what and where, or a grammar that works.
#include <gtest/gtest.h>

#include <chrono>

#include "text/constraint_for_test.h"

namespace paring::text {
namespace {

using Json = nlohmann::ordered_json;

std::string times(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

// The error of a refusal; empty when it was compiled.
std::string refusal(const ConstraintSpec& spec) {
  const ConstraintFactory& factory = smollm2_constraints();
  const auto begin = std::chrono::steady_clock::now();
  const auto compiled = factory.compile(spec);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(taken.count(), 6.0);  // a busy machine and sanitizers included
  if (!compiled) {
    EXPECT_EQ(compiled.error().code, ErrorCode::kInvalidArgument) << compiled.error().text();
    EXPECT_LT(compiled.error().message.size(), 700U);
    return compiled.error().message;
  }
  return "";
}

std::string schema_refusal(const std::string& schema) { return refusal({.source = schema}); }
std::string regex_refusal(const std::string& regex) {
  return refusal({.kind = ConstraintKind::kRegex, .source = regex});
}

bool says(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

TEST(ConstraintHostile, SizesAreBounded) {
  Json wide = {{"type", "object"}};
  for (int i = 0; i < 10000; ++i) wide["properties"][std::to_string(i)] = {{"type", "null"}};
  EXPECT_PRED2(says, schema_refusal(wide.dump()),
               "10000 properties are more than the limit of 512");
  EXPECT_PRED2(says, schema_refusal(times("{\"items\":", 20000) + "{}" + times("}", 20000)),
               "not valid JSON");
  EXPECT_PRED2(says, schema_refusal(times("{\"items\":", 100) + "{}" + times("}", 100)),
               "deeper than the limit of 48");
  EXPECT_PRED2(says, schema_refusal(std::string(kConstraintBytesMax + 1, ' ')), "the limit is");
  EXPECT_PRED2(says, schema_refusal(R"({"properties": {"a": {"minLength": 1000000000}}})"),
               "\"minLength\" /properties/a: 1000000000 is more than the limit of 4096");
  EXPECT_PRED2(says, regex_refusal(std::string(kRegexBytesMax + 1, 'a')), "the limit is 4096");
  Json values = {{"enum", Json::array()}};
  for (int i = 0; i < 4097; ++i) values["enum"].push_back(i);
  EXPECT_PRED2(says, schema_refusal(values.dump()), "it has 4097 values");
  values["enum"].erase(0);
  EXPECT_EQ(schema_refusal(values.dump()), "");
  EXPECT_PRED2(says, schema_refusal(Json{{"allOf", {values, values}}}.dump()), "too complex");
  Json refs;
  for (int i = 0; i < 501; ++i) refs["anyOf"].push_back({{"$ref", "#/$defs/a"}});
  refs["$defs"]["a"] = {{"type", "integer"}};
  EXPECT_PRED2(says, schema_refusal(refs.dump()), "more than 500 of them");
  EXPECT_PRED2(says,
               refusal({.kind = ConstraintKind::kChoice,
                        .choices = std::vector<std::string>(kChoicesMax + 1, "a")}),
               "4097 entries");
}

TEST(ConstraintHostile, WhatMultipliesEndsInTime) {
  Json chain;
  Json doubling;
  for (int i = 0; i < 240; ++i) {
    const std::string name = "d" + std::to_string(i);
    const std::string next = "#/$defs/d" + std::to_string(i + 1);
    chain["$defs"][name] = {{"$ref", next}};
    doubling["$defs"][name]["allOf"] = {{{"$ref", next}}, {{"$ref", next}}};
  }
  for (Json* schema : {&chain, &doubling}) {
    (*schema)["$defs"]["d240"] = {{"type", "integer"}};
    (*schema)["$ref"] = "#/$defs/d0";
    schema_refusal(schema->dump());  // either is right, in time
  }
  Json product = {{"type", "object"}};
  for (int i = 0; i < 16; ++i) {
    Json any;
    for (int j = 0; j < 8; ++j) {
      any["anyOf"].push_back({{"properties", {{"p" + std::to_string(i), {{"const", j}}}}}});
    }
    product["allOf"].push_back(any);
  }
  EXPECT_PRED2(says, schema_refusal(product.dump()), "too complex");
  schema_refusal(
      R"({"type": "array", "minItems": 4096, "items": {"type": "array", "minItems": 4096,
          "items": {"type": "array", "maxItems": 4096, "items": {}}}})");
  schema_refusal(R"({"type": "array", "maxItems": 4096, "items": {"pattern": "^(a|b|c)*$"}})");
}

TEST(ConstraintHostile, ExpressionsThatExplodeElsewhereEndInTime) {
  for (const char* regex :
       {"(a+)+$", "(a|a)*b", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){25}",
        "(.*){1,32000}[bc]", "((((a{1,100}){1,100}){1,100}){1,100}){1,100}", "a{2147483647}",
        "\\p{L}{1,1000}", "(?i)\\w{1,500}x", "a{0,1000}b{0,1000}c{0,1000}", "a**", "(x+x+)+y",
        ".*.*.*.*.*.*.*.*.*.*.*.*=.*", "[\\s\\S]*a[\\s\\S]{20}", "(a?){50}a{50}", "", "a|"}) {
    regex_refusal(regex);
    schema_refusal(Json{{"type", "string"}, {"pattern", regex}}.dump());
  }
  regex_refusal(times("[a-z]?", 600));
  regex_refusal(times(".*a", 1300));
  schema_refusal(R"({"patternProperties": {"^(.*c){18}$": {}, "^(.*d){18}$": {"type": "null"}}})");
  for (const char* regex : {"(?=a)b", "(a)\\1", "[a-", "(a", "a^b", "a$b", "\\bword\\b", "\\x"}) {
    EXPECT_NE(regex_refusal(regex), "") << regex;
    const Json schema = {{"properties", {{"a/b", {{"type", "string"}, {"pattern", regex}}}}}};
    EXPECT_PRED2(says, schema_refusal(schema.dump()), "\"pattern\" /properties/a~1b") << regex;
  }
  EXPECT_NE(regex_refusal(times("(", 1000) + "a" + times(")", 1000)), "");
}

TEST(ConstraintHostile, NothingIsPassedOver) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"properties": {"a": {"type": "string", "patern": "x"}}})", "\"patern\" /properties/a"},
      {R"({"items": {"not": {"type": "null"}}})", "\"not\" /items"},
      {R"({"if": {}, "then": {}})", "\"if\" at the root"},
      {R"({"uniqueItems": true})", "\"uniqueItems\""},
      {R"({"contains": {}})", "\"contains\""},
      {R"({"dependentRequired": {"a": ["b"]}})", "\"dependentRequired\""},
      {R"({"unevaluatedProperties": false})", "\"unevaluatedProperties\""},
      {R"({"propertyNames": {"pattern": "a"}})", "\"propertyNames\""},
      {R"({"nullable": true, "type": "string"})", "\"nullable\""},
      {R"({"type": "string", "format": "uri"})", "\"format\" at the root: \"uri\""},
      {R"({"x-guidance": {"lenient": true}, "type": "object"})", "\"x-guidance\""},
      {R"({"properties": {"a": {"x-guidance": {}}}})", "\"x-guidance\" /properties/a"},
      {R"({"type": "strin"})", "\"type\""},
      {R"({"type": ["string", 5]})", "\"type\""},
      {R"({"type": "string", "minLength": 1.5})", "\"minLength\""},
      {R"({"type": "string", "minLength": -1})", "\"minLength\""},
      {R"({"type": "string", "minLength": 5, "maxLength": 3})", "minLength"},
      {R"({"type": "integer", "minimum": 5, "maximum": 3})", "minimum"},
      {R"({"type": "integer", "minimum": 9007199254740993})", "\"minimum\""},
      {R"({"const": 12345678901234567890})", "\"const\""},
      {R"({"exclusiveMinimum": true})", "\"exclusiveMinimum\""},
      {R"({"multipleOf": 0})", "\"multipleOf\""},
      {R"({"type": "integer", "multipleOf": 123456789})", "\"multipleOf\""},
      {R"({"multipleOf": 6, "allOf": [{"multipleOf": 4}]})", "\"multipleOf\""},
      {R"({"required": ["a"], "additionalProperties": false, "type": "object"})", "required"},
      {R"({"enum": []})", "\"enum\""},
      {R"({"prefixItems": [{}], "additionalItems": false})", "\"prefixItems\""},
      {R"({"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{}]})",
       "\"prefixItems\""},
      {R"({"$schema": "http://example.com/mine"})", "\"$schema\""},
      {R"({"properties": {"a": {"$id": "other"}}})", "\"$id\" /properties/a"},
      {R"({"patternProperties": {"^x": {}}, "allOf": [{"additionalProperties": false}]})",
       "\"patternProperties\""},
      {R"({"$ref": "#/$defs/none"})", "#/$defs/none names nothing"},
      {R"({"$ref": "http://example.com/schema"})", "\"$ref\""},
      {R"({"$ref": "file:///etc/passwd"})", "\"$ref\""},
      {R"({"$ref": "#/properties", "properties": {"type": {}}})", "a place that is no schema"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", "must exclude each other"},
      {R"({"properties": 5})", "\"properties\""},
      {R"({"items": 5})", "/items is no schema"},
      {R"([])", "no schema"},
      {R"({"type": "string", "pattern": "\ud800"})", "not valid JSON"},
      {"{\"type\": \"object\"", "not valid JSON"},
      {"false", "Unsatisfiable"},
  };
  for (const auto& [schema, part] : cases) {
    EXPECT_PRED2(says, schema_refusal(schema), part) << schema;
  }
}

TEST(ConstraintHostile, NamesThatLeadInCirclesEnd) {
  schema_refusal(R"({"$ref": "#"})");
  schema_refusal(R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
                     "$ref": "#/$defs/a"})");
  EXPECT_NE(schema_refusal(R"({"allOf": [{"$ref": "#"}], "type": "object"})"), "");
}

TEST(ConstraintHostile, GrammarsOfStrangersAreReadBeforeTheyAreCompiled) {
  const std::pair<std::string, const char*> cases[] = {
      {"start: <|im_start|>", "line 1: special tokens"},
      {"start: \"a\"\n  | <[5]>", "line 2: special tokens"},
      {"%llguidance {\"allow_invalid_utf8\": true}\nstart: \"a\"", "%llguidance is not supported"},
      {"start: %lark { start: \"a\" }", "%lark is not supported"},
      {"start: @json", "no other grammars"},
      {"start[temperature=0.1]: /a/", "\"temperature\" is not supported"},
      {"start[max_tokens=3]: /a+/", "\"max_tokens\" is not supported"},
      {"start: %json {\"type\": \"object\", \"not\": {}}", "\"not\" at the root"},
      {"start: %json {\"x-guidance\": {\"lenient\": true}}", "\"x-guidance\""},
      {"start: %json nothing", "not followed by a JSON schema"},
      {"start: " + times("(", 5000) + "\"a\"" + times(")", 5000), "groups inside one another"},
      {"start: " + times("~", 5000) + "A\nA: \"a\"", "negations"},
      {"start: \"a", "does not end"},
      {"start: other", "unknown name"},
      {"", "no start rule"},
      {"start: start", "no answer can begin"},
  };
  for (const auto& [source, part] : cases) {
    EXPECT_PRED2(says, refusal({.kind = ConstraintKind::kLark, .source = source}), part)
        << source.substr(0, 80);
  }
  std::string chain = "start: r0\n";
  for (int i = 0; i < 20000; ++i) {
    chain += "r" + std::to_string(i) + ": r" + std::to_string(i + 1) + "\n";
  }
  EXPECT_NE(refusal({.kind = ConstraintKind::kLark, .source = chain}), "");
  refusal({.kind = ConstraintKind::kLark, .source = "start: A{1,1000000000}\nA: (\"a\" | \"b\")+"});
  refusal({.kind = ConstraintKind::kLark, .source = "start: a{1,1000000000}\na: \"a\" | \"b\" a"});
}

}  // namespace
}  // namespace paring::text
