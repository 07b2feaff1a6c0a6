// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openapi.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "base/text.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/endpoints.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();
// Texts of requests have no character NUL. What a model says may.
constexpr const char* kTextPattern = "^[^\\u0000]*$";
constexpr const char* kTokenPattern = "^(0|[1-9][0-9]{0,8})$";

enum class Of : std::uint8_t { kRequest, kAnswer };

Json schema_of(const Shape& shape, Of of);

void set_sizes(Json& schema, const Shape& shape, const char* min, const char* max) {
  if (shape.size_min > 0) schema[min] = shape.size_min;
  if (shape.size_max != kUnbounded) schema[max] = shape.size_max;
}

// Null is the same as absent.
Json nullable(Json schema) {
  const bool is_simple = schema.contains("type") && schema["type"].is_string();
  if (schema.contains("anyOf")) {
    schema["anyOf"].push_back({{"type", "null"}});
    return schema;
  }
  if (!is_simple) return schema.empty() ? schema : Json{{"anyOf", {schema, {{"type", "null"}}}}};
  schema["type"] = Json::array({schema["type"], "null"});
  if (schema.contains("enum")) schema["enum"].push_back(nullptr);
  return schema;
}

Json field_schema(const Field& field, Of of) {
  if (field.use == FieldUse::kRefused) {
    return {{"type", "null"}, {"description", "Refused: " + field.help + "."}};
  }
  Json schema = schema_of(field.shape, of);
  if (!field.is_required) schema = nullable(std::move(schema));
  const bool is_ignored = field.use == FieldUse::kIgnored;
  schema["description"] = is_ignored ? "Without effect. " + field.help : field.help;
  return schema;
}

Json object_schema(const Shape& shape, Of of) {
  Json schema = {{"type", "object"}};
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : shape.fields) {
    properties[field.name] = field_schema(field, of);
    if (field.is_required) required.push_back(field.name);
  }
  if (!properties.empty()) schema["properties"] = std::move(properties);
  if (!required.empty()) schema["required"] = std::move(required);
  schema["additionalProperties"] = shape.is_open;
  return schema;
}

Json number_schema(const Shape& shape) {
  Json schema = {{"type", "number"}};
  if (shape.number_min > std::numeric_limits<double>::lowest()) {
    schema["minimum"] = shape.number_min;
  }
  if (shape.number_max < std::numeric_limits<double>::max()) schema["maximum"] = shape.number_max;
  return schema;
}

Json schema_of(const Shape& shape, Of of) {
  Json schema = Json::object();
  switch (shape.kind) {
    case ShapeKind::kAny:
      break;
    case ShapeKind::kBoolean:
      schema["type"] = "boolean";
      if (shape.constant) schema["enum"] = Json::array({*shape.constant});
      break;
    case ShapeKind::kInteger:
      schema = {
          {"type", "integer"}, {"minimum", shape.integer_min}, {"maximum", shape.integer_max}};
      break;
    case ShapeKind::kNumber:
      return number_schema(shape);
    case ShapeKind::kText:
      schema["type"] = "string";
      if (of == Of::kRequest) schema["pattern"] = kTextPattern;
      set_sizes(schema, shape, "minLength", "maxLength");
      break;
    case ShapeKind::kName:
      schema = {{"type", "string"}, {"enum", shape.names}};
      break;
    case ShapeKind::kList:
      schema = {{"type", "array"}, {"items", schema_of(shape.options.front(), of)}};
      set_sizes(schema, shape, "minItems", "maxItems");
      break;
    case ShapeKind::kObject:
      return object_schema(shape, of);
    case ShapeKind::kMap:
      schema = {{"type", "object"}, {"additionalProperties", schema_of(shape.options.front(), of)}};
      set_sizes(schema, shape, "minProperties", "maxProperties");
      if (shape.has_token_keys) schema["propertyNames"] = {{"pattern", kTokenPattern}};
      break;
    case ShapeKind::kUnion:
      schema["anyOf"] = Json::array();
      for (const Shape& option : shape.options) schema["anyOf"].push_back(schema_of(option, of));
      break;
  }
  return schema;
}

const char* error_name(Protocol protocol) {
  if (protocol == Protocol::kAnthropic) return "AnthropicError";
  return protocol == Protocol::kOllama ? "OllamaError" : "OpenAiError";
}

Json json_content(Json schema) { return {{"application/json", {{"schema", std::move(schema)}}}}; }

// Statuses that an endpoint may answer beside 200.
Json error_responses(const Endpoint& endpoint) {
  constexpr std::pair<const char*, const char*> kErrors[] = {
      {"400", "The request is wrong; param names the field."},
      {"401", "No key, or one that is not known."},
      {"403", "The key may not do this."},
      {"404", "No such model or path."},
      {"405", "Not with this method."},
      {"408", "The request did not arrive in time."},
      {"413", "The request is too large."},
      {"415", "The body is compressed, or of a type that is not read here."},
      {"429", "The key's limit is reached; Retry-After tells when to come back."},
      {"500", "The server's own fault."},
      {"503", "The server is full, loading or going down; Retry-After tells when to come back."},
      {"504", "The request's time is over."},
  };
  const Json content = json_content(
      {{"$ref", std::string("#/components/schemas/") + error_name(endpoint.protocol)}});
  const Json retry = {
      {"Retry-After", {{"description", "Seconds."}, {"schema", {{"type", "integer"}}}}}};
  Json responses = Json::object();
  for (const auto& [status, text] : kErrors) {
    Json response = {{"description", text}, {"content", content}};
    const bool comes_back = std::string_view(status) == "429" || std::string_view(status) == "503";
    if (comes_back) response["headers"] = retry;
    responses[status] = std::move(response);
  }
  return responses;
}

Json content_of(const char* type, Json schema) {
  if (type == nullptr) return json_content(std::move(schema));
  return {{type, {{"schema", std::move(schema)}}}};
}

void add_binary(const Endpoint& endpoint, Json& content) {
  if (endpoint.binary_type == nullptr) return;
  content[endpoint.binary_type] = {{"schema", {{"type", "string"}, {"format", "binary"}}}};
}

// The {...} of the path, and what may stand behind '?'.
Json parameters_of(const Endpoint& endpoint) {
  Json parameters = Json::array();
  std::string_view path = endpoint.path;
  for (std::size_t begin = path.find('{'); begin != std::string_view::npos;
       begin = path.find('{')) {
    const std::size_t end = path.find('}');
    parameters.push_back({{"name", path.substr(begin + 1, end - begin - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}, {"minLength", 1}}}});
    path.remove_prefix(end + 1);
  }
  if (endpoint.query == nullptr) return parameters;
  for (const Field& field : endpoint.query().fields) {
    parameters.push_back({{"name", field.name},
                          {"in", "query"},
                          {"required", field.is_required},
                          {"description", field.help},
                          {"schema", schema_of(field.shape, Of::kRequest)}});
  }
  return parameters;
}

Json operation_of(const Endpoint& endpoint) {
  Json operation = {{"operationId", endpoint.name}, {"summary", endpoint.summary}};
  Json parameters = parameters_of(endpoint);
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (endpoint.request != nullptr) {
    Json schema = schema_of(endpoint.request(), Of::kRequest);
    operation["requestBody"] = {{"required", true},
                                {"content", content_of(endpoint.form_type, std::move(schema))}};
    add_binary(endpoint, operation["requestBody"]["content"]);
  }
  Json content = content_of(endpoint.answer_type, schema_of(endpoint.answer(), Of::kAnswer));
  if (endpoint.stream_type != nullptr) {
    content[endpoint.stream_type] = {{"schema", {{"type", "string"}}}};
  }
  add_binary(endpoint, content);
  operation["responses"] = {{"200", {{"description", "The answer."}, {"content", content}}}};
  operation["responses"].update(error_responses(endpoint));
  return operation;
}

// Of routes for operators, which have no fields.
void add_operations(Json& paths) {
  struct Operation {
    const char* path;
    const char* name;
    const char* summary;
    const char* content_type;
  };
  constexpr Operation kOperations[] = {
      {"/health", "health", "Whether the server takes work", "application/json"},
      {"/readyz", "readyz", "Whether the server takes work", "application/json"},
      {"/livez", "livez", "Whether the process is to be started again", "application/json"},
      {"/metrics", "metrics", "Figures in Prometheus' format", "text/plain"},
      {"/openapi.json", "openapi", "This document", "application/json"},
  };
  for (const Operation& operation : kOperations) {
    const bool is_json = std::string_view(operation.content_type) == "application/json";
    const Json schema = {{"type", is_json ? "object" : "string"}};
    const Json content = {{operation.content_type, {{"schema", schema}}}};
    Json responses = {{"200", {{"description", "The answer."}, {"content", content}}},
                      {"401", {{"description", "No key, or one that is not known."}}},
                      {"403", {{"description", "The key may not do this."}}},
                      {"405", {{"description", "Not with this method."}}},
                      {"503", {{"description", "It does not."}, {"content", content}}}};
    paths[operation.path]["get"] = {{"operationId", operation.name},
                                    {"summary", operation.summary},
                                    {"responses", std::move(responses)}};
  }
}

}  // namespace

std::string openapi_document(std::string_view version) {
  Json paths = Json::object();
  for (const Endpoint& endpoint : endpoints()) {
    paths[endpoint.path][ascii_lower(endpoint.method)] = operation_of(endpoint);
  }
  add_operations(paths);
  Json schemas = Json::object();
  for (const Protocol protocol : {Protocol::kOpenAi, Protocol::kAnthropic, Protocol::kOllama}) {
    schemas[error_name(protocol)] = schema_of(error_shape(protocol), Of::kAnswer);
  }
  const Json document = {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "Paring"},
        {"version", version},
        {"description",
         "Fields that are not required may be null, which is the same as absent. Fields that are "
         "not named here are refused unless the operator turns that off."}}},
      {"security", {Json::object(), {{"bearer", Json::array()}}}},
      {"paths", std::move(paths)},
      {"components",
       {{"schemas", std::move(schemas)},
        {"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
  return document.dump();
}

}  // namespace paring::serve::wire
