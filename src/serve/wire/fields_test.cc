// SPDX-License-Identifier: Apache-2.0
// Every field of every endpoint with values that it may not have, made from the declarations. An
// endpoint or field that is added is tested without a line here.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "serve/wire/detail/shape_check.h"
#include "serve/wire/endpoints.h"
#include "serve/wire/openapi.h"

namespace paring::serve::wire {

// What tests of an endpoint are called.
void PrintTo(const Endpoint& endpoint, std::ostream* out) { *out << endpoint.path; }

namespace {

// Stands where raw bytes are put.
constexpr const char* kHole = "@@hole@@";
constexpr std::size_t kLongMax = 5000;  // longest text or list that is tried

// The least that a shape takes.
Json sample(const Shape& shape) {
  switch (shape.kind) {
    case ShapeKind::kAny:
      return nullptr;
    case ShapeKind::kBoolean:
      return shape.constant.value_or(false);
    case ShapeKind::kInteger:
      return std::max<std::int64_t>(shape.integer_min,
                                    std::min<std::int64_t>(0, shape.integer_max));
    case ShapeKind::kNumber:
      return std::max(shape.number_min, std::min(0.0, shape.number_max));
    case ShapeKind::kText:
      return "{}";  // also JSON
    case ShapeKind::kName:
      return shape.names.front();
    case ShapeKind::kList: {
      Json items = Json::array();
      while (items.size() < shape.size_min) items.push_back(sample(shape.options.front()));
      return items;
    }
    case ShapeKind::kMap:
      return Json::object();
    case ShapeKind::kUnion:
      return sample(shape.options.front());
    case ShapeKind::kObject:
      break;
  }
  Json object = Json::object();
  for (const Field& field : shape.fields) {
    if (field.is_required) object[field.name] = sample(field.shape);
  }
  return object;
}

Json least_body(const Endpoint& endpoint) {
  Json body = sample(endpoint.request());
  // What these need is one of two fields.
  if (std::string_view(endpoint.path) == "/tokenize") body["prompt"] = "a";
  if (std::string_view(endpoint.path) == "/v1/feedback") body["response_id"] = "a";
  if (std::string_view(endpoint.path) == "/api/public/scores") body["traceId"] = "a";
  if (std::string_view(endpoint.path) == "/api/show") body["model"] = "a";
  // And this is a text with a unit.
  if (std::string_view(endpoint.path) == "/v1/batches") body["completion_window"] = "24h";
  return body;
}

// A value as it is written into a body, and what is wrong with it.
struct Bad {
  std::string raw;
  const char* why;
};

std::string raw_text(std::size_t characters) { return '"' + std::string(characters, 'x') + '"'; }

std::string raw_list(const Json& item, std::size_t items) {
  Json list = Json::array();
  for (std::size_t i = 0; i < items; ++i) list.push_back(item);
  return list.dump();
}

bool takes(const Shape& shape, const Json& value) {
  return !check_shape(value, shape, {.is_strict = true});
}

std::vector<Bad> bad_values(const Shape& shape) {
  std::vector<Bad> bad;
  const auto add = [&](std::string raw, const char* why) { bad.push_back({std::move(raw), why}); };
  // What no text of JSON may be, wherever it stands.
  add("NaN", "no JSON");
  add("1e999", "no number");
  add("-1e999", "no number");
  add("\"\\ud800\"", "half a pair");
  add("\"\\udc00x\"", "half a pair");
  add("\"a\\u0000b\"", "NUL");
  add("\"\xff\"", "no UTF-8");
  add("\"\xed\xa0\x80\"", "a surrogate in UTF-8");
  add("{\"a\":1,\"a\":1}", "a field twice");
  add(std::string(kBodyDepthMax, '[') + std::string(kBodyDepthMax, ']'), "too deep");
  if (shape.kind == ShapeKind::kAny) return bad;
  const Json others[] = {true,
                         1.5,
                         -1,
                         1e300,
                         "no such name",
                         Json::array({Json::object()}),
                         Json({{"no such field", 1}})};
  for (const Json& other : others) {
    if (!takes(shape, other)) add(other.dump(), "another type, or beyond the limits");
  }
  switch (shape.kind) {
    case ShapeKind::kInteger:
      add("0.5", "a fraction");
      add("123456789012345678901234567890", "beyond 64 bits");
      if (shape.integer_min > std::numeric_limits<std::int64_t>::min()) {
        add(std::to_string(shape.integer_min - 1), "below");
      }
      if (shape.integer_max < std::numeric_limits<std::int64_t>::max()) {
        add(std::to_string(shape.integer_max + 1), "above");
      }
      break;
    case ShapeKind::kNumber:
      if (shape.number_min > -1e299) add(std::to_string(shape.number_min - 0.25), "below");
      if (shape.number_max < 1e299) add(std::to_string(shape.number_max + 0.25), "above");
      break;
    case ShapeKind::kText:
      if (shape.size_min > 0) add(raw_text(shape.size_min - 1), "too short");
      if (shape.size_max < kLongMax) add(raw_text(shape.size_max + 1), "too long");
      break;
    case ShapeKind::kList:
      if (shape.size_min > 0) add("[]", "too short");
      if (shape.size_max < kLongMax) {
        add(raw_list(sample(shape.options.front()), shape.size_max + 1), "too long");
      }
      break;
    default:
      break;
  }
  return bad;
}

class Walk {
 public:
  using Wrap = std::function<Json(Json)>;

  explicit Walk(const Endpoint& endpoint) : endpoint_(endpoint) {}

  void all() {
    const Json body = least_body(endpoint_);
    expect_taken(body.dump());
    object(endpoint_.request(), body, "", [](Json value) { return value; });
  }

  std::size_t fields() const { return fields_; }
  std::size_t values() const { return values_; }

 private:
  void object(const Shape& shape, const Json& least, const std::string& path, const Wrap& wrap) {
    for (const Field& field : shape.fields) {
      ++fields_;
      const std::string name = path.empty() ? field.name : path + '.' + field.name;
      const Wrap inner = [&](Json value) {
        Json object = least;
        object[field.name] = std::move(value);
        return wrap(std::move(object));
      };
      if (field.use == FieldUse::kRefused) {
        refuse(inner, name, {{"1", "refused"}, {"{}", "refused"}, {"\"\"", "refused"}});
        continue;
      }
      // Without its discriminator an object may be taken for another, whose fields it lacks.
      if (field.is_required) refuse(inner, path, {{"null", "required"}});
      shape_at(field.shape, name, inner, /*is_certain=*/true);
    }
    if (shape.is_open) return;
    const Wrap unknown = [&](Json value) {
      Json object = least;
      object["no_such_field"] = std::move(value);
      return wrap(std::move(object));
    };
    refuse(unknown, path.empty() ? "no_such_field" : path + ".no_such_field", {{"1", "unknown"}});
  }

  // `is_certain`: a wrong value is not another option of a union above.
  void shape_at(const Shape& shape, const std::string& path, const Wrap& wrap, bool is_certain) {
    if (is_certain) refuse(wrap, path, bad_values(shape));
    switch (shape.kind) {
      case ShapeKind::kObject:
        object(shape, sample(shape), path, wrap);
        break;
      case ShapeKind::kList:
        if (shape.size_max == 0) break;
        shape_at(
            shape.options.front(), path + "[0]",
            [&](Json value) { return wrap(Json::array({std::move(value)})); }, is_certain);
        break;
      case ShapeKind::kMap: {
        const std::string key = shape.has_token_keys ? "7" : "key";
        shape_at(
            shape.options.front(), path + '.' + key,
            [&](Json value) {
              Json map = Json::object();
              map[key] = std::move(value);
              return wrap(std::move(map));
            },
            is_certain);
        break;
      }
      case ShapeKind::kUnion:
        for (const Shape& option : shape.options) shape_at(option, path, wrap, false);
        break;
      default:
        break;
    }
  }

  void refuse(const Wrap& wrap, const std::string& path, const std::vector<Bad>& bad) {
    const std::string body = wrap(kHole).dump();
    const std::string hole = std::string("\"") + kHole + '"';
    const std::size_t at = body.find(hole);
    ASSERT_NE(at, std::string::npos) << path;
    for (const Bad& each : bad) {
      ++values_;
      std::string text = body;
      text.replace(at, hole.size(), each.raw);
      const auto error = endpoint_.check(text, {.is_strict = true});
      ASSERT_TRUE(error) << endpoint_.path << ' ' << path << ": taken: " << text.substr(0, 500);
      EXPECT_EQ(error->status, 400) << text.substr(0, 500);
      EXPECT_TRUE(error->param.starts_with(path))
          << endpoint_.path << ": " << path << " is " << each.why << ", blamed is " << error->param
          << ": " << error->message;
      EXPECT_FALSE(error->message.empty());
      EXPECT_LT(error->message.size(), 2000U);
      // It can be sent.
      EXPECT_TRUE(Json::accept(error_body(endpoint_.protocol, *error)));
    }
  }

  void expect_taken(const std::string& body) {
    const auto error = endpoint_.check(body, {.is_strict = true});
    EXPECT_FALSE(error) << endpoint_.path << ": " << body << ": " << error->message;
  }

  const Endpoint& endpoint_;
  std::size_t fields_ = 0;
  std::size_t values_ = 0;
};

class Fields : public testing::TestWithParam<Endpoint> {};

TEST_P(Fields, NoBadValueIsTaken) {
  Walk walk(GetParam());
  walk.all();
  RecordProperty("values", static_cast<int>(walk.values()));
  EXPECT_GT(walk.values(), 10 * walk.fields() / 2);
}

// Alone, with the least of what it may be.
TEST_P(Fields, EveryFieldIsTaken) {
  const std::set<std::string> elsewhere = {"/tokenize messages",             // or a prompt
                                           "/v1/batches completion_window",  // a text with a unit
                                           "/v1/feedback span_id",           // or a response
                                           "/v1/feedback trace_id",
                                           "/v1/feedback session_id",
                                           "/api/public/scores sessionId"};
  for (const Field& field : GetParam().request().fields) {
    if (elsewhere.contains(std::string(GetParam().path) + ' ' + field.name)) continue;
    Json body = least_body(GetParam());
    if (field.use != FieldUse::kRefused) {
      body[field.name] = sample(field.shape);
      const auto error = GetParam().check(body.dump(), {.is_strict = true});
      EXPECT_FALSE(error) << body.dump() << ": " << error->message;
    }
    if (field.is_required) continue;
    body[field.name] = nullptr;
    if (std::string_view(GetParam().path) == "/tokenize" && field.name == "prompt") continue;
    if (std::string_view(GetParam().path) == "/api/show" && field.name == "model") continue;
    if (std::string_view(GetParam().path) == "/v1/feedback" && field.name == "response_id")
      continue;
    if (std::string_view(GetParam().path) == "/api/public/scores" && field.name == "traceId")
      continue;
    const auto error = GetParam().check(body.dump(), {.is_strict = true});
    EXPECT_FALSE(error) << body.dump() << ": " << error->message;
  }
}

TEST_P(Fields, WhatIsNoObjectIsRefused) {
  for (const char* body : {"", " ", "null", "1", "[]", "\"x\"", "{", "{}x", "{\"a\"}", "\xef\xbb",
                           "[[[[[[", "{\"\":", "nul", "{,}", "\x00"}) {
    const auto error = GetParam().check(body, {.is_strict = true});
    ASSERT_TRUE(error) << body;
    EXPECT_EQ(error->status, 400);
  }
  const auto large = GetParam().check(std::string(kBodyBytesMax + 1, ' '), {.is_strict = true});
  ASSERT_TRUE(large);
  EXPECT_EQ(large->status, 413);
}

TEST_P(Fields, LaxReadersThrowNothing) {
  // Fields of all endpoints with every type of value, in every endpoint.
  for (const Endpoint& other : endpoints()) {
    if (other.request == nullptr) continue;
    for (const Field& field : other.request().fields) {
      for (const Json& value :
           {Json(true), Json(1.5), Json("x"), Json::array({1}), Json({{"a", Json::array()}})}) {
        Json body = least_body(GetParam());
        body[field.name] = value;
        EXPECT_NO_THROW(GetParam().check(body.dump(), {.is_strict = false})) << body.dump();
      }
    }
  }
}

std::string name_of_test(const testing::TestParamInfo<Endpoint>& endpoint) {
  return endpoint.param.name;
}

std::vector<Endpoint> with_bodies() {
  std::vector<Endpoint> result;
  for (const Endpoint& endpoint : endpoints()) {
    if (endpoint.check != nullptr) result.push_back(endpoint);
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Endpoints, Fields, testing::ValuesIn(with_bodies()), name_of_test);

TEST(Endpoints, AreNamedOnce) {
  std::set<std::string> names;
  for (const Endpoint& endpoint : endpoints()) {
    EXPECT_TRUE(names.insert(endpoint.name).second) << endpoint.name;
    EXPECT_EQ(endpoint.request == nullptr || endpoint.form_type != nullptr,
              endpoint.check == nullptr)
        << endpoint.path;
  }
}

TEST(OpenApi, DescribesEveryEndpointAndField) {
  const Json document = Json::parse(openapi_document("1.2.3"));
  EXPECT_EQ(document["info"]["version"], "1.2.3");
  for (const Endpoint& endpoint : endpoints()) {
    const Json& operation = document["paths"][endpoint.path][ascii_lower(endpoint.method)];
    ASSERT_TRUE(operation["responses"].contains("200")) << endpoint.path;
    EXPECT_TRUE(operation["responses"].contains("503"));
    const std::string parameters = operation.value("parameters", Json::array()).dump();
    if (endpoint.query != nullptr) {
      for (const Field& field : endpoint.query().fields) {
        EXPECT_NE(parameters.find('"' + field.name + '"'), std::string::npos) << parameters;
      }
    }
    if (endpoint.request == nullptr) continue;
    const char* const type =
        endpoint.form_type != nullptr ? endpoint.form_type : "application/json";
    const Json& schema = operation["requestBody"]["content"][type]["schema"];
    EXPECT_EQ(schema["additionalProperties"], endpoint.request().is_open);
    for (const Field& field : endpoint.request().fields) {
      EXPECT_TRUE(schema["properties"].contains(field.name)) << endpoint.path << field.name;
    }
  }
  const std::string page = routes_reference();
  EXPECT_NE(page.find("| `messages[].tool_calls[].function.arguments` |"), std::string::npos);
  EXPECT_NE(page.find("| `audio` | refused |"), std::string::npos);
}

}  // namespace
}  // namespace paring::serve::wire
