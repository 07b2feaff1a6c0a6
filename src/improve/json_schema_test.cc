// SPDX-License-Identifier: Apache-2.0
#include "improve/json_schema.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace paring::improve {
namespace {

using Json = nlohmann::json;

std::string fault(const char* schema, const std::string& value) {
  const auto parsed = JsonSchema::parse(schema);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().text());
  if (!parsed) return "no schema";
  const auto found = parsed->fault_in(value);
  EXPECT_TRUE(found) << (found ? "" : found.error().text());
  return found ? *found : "given up";
}

// By tools/make_schema_golden.py: 800 random schemas and values, judged by Python's jsonschema.
TEST(JsonSchema, FindsWhatPythonsJsonschemaFinds) {
  std::ifstream file(PARING_SOURCE_DIR "/tests/data/scorers/schemas.jsonl");
  std::string line;
  int count = 0;
  int valid = 0;
  while (std::getline(file, line)) {
    const Json json = Json::parse(line);
    const auto schema = JsonSchema::parse(json["schema"].dump());
    ASSERT_TRUE(schema) << line << schema.error().text();
    const auto found = schema->fault_in(json["value"].dump());
    ASSERT_TRUE(found) << line;
    EXPECT_EQ(found->empty(), json["valid"].get<bool>()) << line << " " << *found;
    ++count;
    valid += json["valid"].get<bool>() ? 1 : 0;
  }
  EXPECT_EQ(count, 800);
  EXPECT_EQ(valid, 400);
}

TEST(JsonSchema, SaysWhereAndWhy) {
  const char* const schema =
      R"({"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}}},)"
      R"("required":["a"],"additionalProperties":false})";
  EXPECT_EQ(fault(schema, R"({"a":[1,2.0]})"), "");
  EXPECT_EQ(fault(schema, R"({"a":[1,2.5]})"), "/a/1: number, not \"integer\"");
  EXPECT_EQ(fault(schema, R"({})"), "/: \"a\" is missing");
  EXPECT_EQ(fault(schema, R"({"a":[],"b":1})"), "/b: nothing may stand here");
  EXPECT_EQ(fault(schema, "{"), "no JSON");
}

TEST(JsonSchema, FollowsReferencesThatRecur) {
  const char* const tree =
      R"({"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}},)"
      R"("additionalProperties":false}},"$ref":"#/$defs/node"})";
  EXPECT_EQ(fault(tree, R"({"next":{"next":{}}})"), "");
  EXPECT_NE(fault(tree, R"({"next":{"next":{"x":1}}})"), "");
}

TEST(JsonSchema, RefusesWhatItDoesNotKnow) {
  for (const auto& [schema, told] : std::vector<std::pair<const char*, const char*>>{
           {"{", "no JSON"},
           {"3", "an object, true or false"},
           {R"({"typ":"string"})", "/typ"},
           {R"({"type":"text"})", "/type"},
           {R"({"properties":{"a":{"minLength":-1}}})", "/properties/a/minLength"},
           {R"x({"pattern":"(?=a)"})x", "/pattern"},
           {R"({"patternProperties":{"(":true}})", "/patternProperties"},
           {R"({"multipleOf":0})", "/multipleOf"},
           {R"({"items":[true]})", "/items"},
           {R"({"anyOf":[]})", "/anyOf"},
           {R"({"$ref":"http://example.com/x"})", "into the schema itself"},
           {R"({"$ref":"#anchor"})", "into the schema itself"},
           {R"({"$ref":"#/$defs/x"})", "leads to no schema"},
           {R"({"$ref":"#/a~2"})", "no JSON pointer"},
           {R"({"unevaluatedProperties":false})", "not supported"}}) {
    const auto parsed = JsonSchema::parse(schema);
    ASSERT_FALSE(parsed) << schema;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find(told), std::string::npos) << parsed.error().message;
  }
}

TEST(JsonSchema, IsBounded) {
  const auto loop = JsonSchema::parse(R"({"$ref":"#"})");
  ASSERT_TRUE(loop);
  EXPECT_EQ(loop->fault_in("1").error().code, ErrorCode::kExhausted);
  // Each level asks both ways of the next: two to the power of the depth.
  const auto wide =
      JsonSchema::parse(R"({"items":{"anyOf":[{"allOf":[{"$ref":"#"},false]},{"$ref":"#"}]}})");
  ASSERT_TRUE(wide);
  const std::string deep = std::string(60, '[') + std::string(60, ']');
  EXPECT_EQ(wide->fault_in(deep).error().code, ErrorCode::kExhausted);
  std::string nested = "true";
  for (int i = 0; i < 200; ++i) nested = R"({"not":)" + nested + "}";
  EXPECT_FALSE(JsonSchema::parse(nested));
  const std::string endless = std::string(100'000, '[') + std::string(100'000, ']');
  const auto unique_deep = JsonSchema::parse(R"({"uniqueItems":true})");
  EXPECT_EQ(unique_deep->fault_in("[" + endless + "," + endless + "]").error().code,
            ErrorCode::kExhausted);
  EXPECT_FALSE(JsonSchema::parse(R"({"const":)" + endless + "}"));
  std::string many = "[0";
  for (int i = 1; i < 3000; ++i) many += "," + std::to_string(i);
  const auto unique = JsonSchema::parse(R"({"uniqueItems":true})");
  EXPECT_EQ(unique->fault_in(many + "]").error().code, ErrorCode::kExhausted);
}

}  // namespace
}  // namespace paring::improve
