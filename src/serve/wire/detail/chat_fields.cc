// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/chat_fields.h"

#include <algorithm>
#include <set>
#include <utility>

#include "serve/wire/detail/openai_common.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kTextOnly = "this server reads text only";

Shape text_part() {
  return object({required("type", name_of({"text"}), "Text is all that is read."),
                 required("text", text(), "The text."),
                 ignored("cache_control", open_object(), "Prefixes are kept anyway."),
                 ignored("prompt_cache_breakpoint", open_object(), "Prefixes are kept anyway.")});
}

Shape parts(std::vector<Shape> kinds) {
  Shape part = one_of_by("type", std::move(kinds));
  part.hint = kTextOnly;
  return one_of({text(), list(std::move(part), 1, kMessagesMax)});
}

Field role(std::vector<std::string> names) {
  return required("role", name_of(std::move(names)), "Who speaks.");
}

Field speaker() { return field("name", text(0, kNameCharactersMax), "Which of them."); }

Shape tool_call() {
  const Shape arguments = one_of({text(), open_object()});
  return object(
      {field("id", text(0, kNameCharactersMax), "What the result refers to."),
       field("type", name_of({"function"}, "functions are the only tools"), "The kind of tool."),
       ignored("index", integer(0, kTokensMax), "Of streams."),
       required("function",
                object({required("name", text(1, kNameCharactersMax), "The function."),
                        field("arguments", arguments, "A JSON object, also one in a text.")}),
                "What was called.")});
}

Shape assistant_message() {
  const Shape refusal = object({required("type", name_of({"refusal"}), "A refusal."),
                                required("refusal", text(), "Its text.")});
  return object({role({"assistant"}), speaker(),
                 field("content", parts({text_part(), refusal}), "What it said."),
                 field("refusal", text(), "What it said where there is no content."),
                 field("reasoning_content", text(), "What it thought, for templates that show it."),
                 field("reasoning", text(), "Another name of reasoning_content."),
                 field("tool_calls", list(tool_call(), 0, kToolsMax), "What it called."),
                 field("function_call",
                       object({required("name", text(1, kNameCharactersMax), "The function."),
                               required("arguments", text(), "A JSON object in a text.")}),
                       "The older form of tool_calls."),
                 ignored("annotations", any_json(), "Of no concern to the model."),
                 refused("audio", kTextOnly)});
}

Json function_call(const std::string& name, Json arguments) {
  return {{"name", name}, {"arguments", std::move(arguments)}};
}

// A call with its arguments as an object; `param` is where the call stands.
ApiResult<Json> template_call(const Json& call, const std::string& param) {
  const Json& function = call["function"];
  Json arguments = Json::object();
  if (const Json* given = field_of(function, "arguments")) {
    if (given->is_string()) {
      auto read = arguments_of(given->get<std::string>(), param + ".function.arguments");
      if (!read) return read.error();
      arguments = std::move(*read);
    } else {
      arguments = *given;
    }
  }
  Json result = Json::object();
  if (field_of(call, "id") != nullptr) result["id"] = call["id"];
  result["type"] = "function";
  result["function"] = function_call(text_of(function, "name"), std::move(arguments));
  return result;
}

ApiResult<Json> template_calls(const Json& message, const std::string& param) {
  Json calls = Json::array();
  if (const Json* given = field_of(message, "tool_calls")) {
    for (std::size_t i = 0; i < given->size(); ++i) {
      auto call = template_call((*given)[i], param + ".tool_calls[" + std::to_string(i) + "]");
      if (!call) return call.error();
      calls.push_back(std::move(*call));
    }
  }
  if (const Json* given = field_of(message, "function_call")) {
    auto arguments = arguments_of(text_of(*given, "arguments"), param + ".function_call.arguments");
    if (!arguments) return arguments.error();
    calls.push_back(tool_of(function_call(text_of(*given, "name"), std::move(*arguments))));
  }
  return calls;
}

// Parts that are refusals read as text.
Json template_content(const Json& message) {
  const Json* const content = field_of(message, "content");
  if (content == nullptr) return text_of(message, "refusal");
  if (!content->is_array()) return *content;
  Json list = Json::array();
  for (const Json& part : *content) {
    const bool is_refusal = text_of(part, "type") == "refusal";
    list.push_back({{"type", "text"}, {"text", part[is_refusal ? "refusal" : "text"]}});
  }
  return list;
}

ApiResult<Json> template_message(const Json& message, const std::string& param) {
  constexpr const char* kTranslated[] = {"role",      "content",       "refusal",
                                         "reasoning", "function_call", "tool_calls",
                                         "audio",     "annotations",   "reasoning_content"};
  std::string role = text_of(message, "role");
  if (role == "developer") role = "system";
  if (role == "function") role = "tool";
  Json result = {{"role", role}, {"content", template_content(message)}};
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const Json* const reasoning = field_of(message, name);
    if (reasoning != nullptr) result["reasoning_content"] = *reasoning;
    if (reasoning != nullptr) break;
  }
  if (role == "assistant") {
    auto calls = template_calls(message, param);
    if (!calls) return calls.error();
    if (!calls->empty()) result["tool_calls"] = std::move(*calls);
  }
  for (const auto& [key, value] : message.items()) {
    const bool is_translated =
        std::find(std::begin(kTranslated), std::end(kTranslated), key) != std::end(kTranslated);
    if (!is_translated && !value.is_null()) result[key] = value;
  }
  return result;
}

// The tools that a list of {"type": "function", "function": {"name"}} allows.
Json allowed_of(const Json& tools, const Json& names) {
  Json allowed = Json::array();
  for (const Json& tool : tools) {
    const auto is_this = [&](const Json& each) {
      return text_of(each["function"], "name") == text_of(tool["function"], "name");
    };
    if (std::any_of(names.begin(), names.end(), is_this)) allowed.push_back(tool);
  }
  return allowed;
}

ToolUse::Choice choice_named(const std::string& name) {
  if (name == "none") return ToolUse::Choice::kNone;
  return name == "required" ? ToolUse::Choice::kRequired : ToolUse::Choice::kAuto;
}

std::optional<ApiError> read_choice(const Json& choice, Json& tools, ToolUse& use) {
  if (choice.is_string()) {
    use.choice = choice_named(choice.get<std::string>());
    return std::nullopt;
  }
  const Json* const allowed = field_of(choice, "allowed_tools");
  if (allowed == nullptr) {
    // "function_call" has the name at once.
    const Json* const function = field_of(choice, "function");
    use.choice = ToolUse::Choice::kNamed;
    use.name = text_of(function != nullptr ? *function : choice, "name");
    return std::nullopt;
  }
  use.choice = choice_named(text_of(*allowed, "mode"));
  const std::size_t count = (*allowed)["tools"].size();
  tools = allowed_of(tools, (*allowed)["tools"]);
  if (tools.size() == count) return std::nullopt;
  return ApiError{400, "invalid_value", "tool_choice allows a tool that is not among the tools",
                  "tool_choice.allowed_tools.tools"};
}

}  // namespace

Shape text_content() { return parts({text_part()}); }

Shape chat_message() {
  const Shape from_tool =
      object({role({"tool"}), required("content", text_content(), "What the call gave."),
              required("tool_call_id", text(0, kNameCharactersMax), "The call's id."), speaker()});
  const Shape from_function =
      object({role({"function"}), field("content", text(), "What the call gave."),
              required("name", text(1, kNameCharactersMax), "The function.")});
  return one_of_by("role",
                   {object({role({"system", "developer", "user"}),
                            required("content", text_content(), "What they say."), speaker()}),
                    assistant_message(), from_tool, from_function});
}

Shape function_shape() {
  return object({required("name", text(1, kNameCharactersMax), "What it is called by."),
                 field("description", text(), "What it does, for the model."),
                 field("parameters", open_object(), "The JSON schema of its arguments."),
                 field("strict", boolean(), "Arguments follow the schema exactly.")});
}

Shape chat_tool() {
  return object(
      {required("type", name_of({"function"}, "functions are the only tools"), "The kind of tool."),
       required("function", function_shape(), "What the model may call.")});
}

Shape tool_choice_shape() {
  const Field function =
      required("function", object({required("name", text(1, kNameCharactersMax), "Its name.")}),
               "The function.");
  const Shape named =
      object({required("type", name_of({"function"}), "A call of one function."), function});
  const Shape each = object({required("type", name_of({"function"}), "Functions only."), function});
  const Shape allowed = object(
      {required("type", name_of({"allowed_tools"}), "A choice among some of the tools."),
       required("allowed_tools",
                object({required("mode", name_of({"auto", "required"}), "Whether one is called."),
                        required("tools", list(each, 1, kToolsMax), "Which.")}),
                "The choice.")});
  return one_of({name_of({"none", "auto", "required"}), one_of_by("type", {named, allowed})});
}

Shape function_call_choice() {
  return one_of({name_of({"none", "auto"}),
                 object({required("name", text(1, kNameCharactersMax), "The function.")})});
}

Shape reasoning_effort_shape() {
  return name_of({"none", "minimal", "low", "medium", "high", "xhigh", "max"});
}

Shape response_format_shape() {
  const Shape schema =
      object({required("name", text(0, kNameCharactersMax), "For the model."),
              field("description", text(), "For the model."),
              required("schema", open_object(), "The answer follows it."),
              field("strict", boolean(), "Answers follow the schema either way.")});
  return one_of_by("type", {object({required("type", name_of({"text"}), "Any text.")}),
                            object({required("type", name_of({"json_object"}), "A JSON object.")}),
                            object({required("type", name_of({"json_schema"}), "JSON of a schema."),
                                    required("json_schema", schema, "The schema.")})});
}

OutputFormat response_format_of(const Json& format) {
  const std::string type = text_of(format, "type");
  if (type == "json_schema") return schema_format(format["json_schema"]["schema"]);
  OutputFormat result;
  if (type == "json_object") result.kind = OutputFormat::Kind::kJsonObject;
  return result;
}

std::optional<ApiError> check_choice(const Json& tools, const ToolUse& use) {
  std::set<std::string> names;
  for (const Json& tool : tools) {
    const std::string name = text_of(tool["function"], "name");
    if (names.insert(name).second) continue;
    return ApiError{400, "invalid_value", "two tools are called \"" + name + "\"", "tools"};
  }
  if (use.choice == ToolUse::Choice::kRequired && names.empty()) {
    return ApiError{400, "invalid_value", "a call is required, but there are no tools",
                    "tool_choice"};
  }
  if (use.choice == ToolUse::Choice::kNamed && !names.contains(use.name)) {
    return ApiError{400, "invalid_value",
                    "the function \"" + use.name + "\" is to be called, but is not among the tools",
                    "tool_choice"};
  }
  return std::nullopt;
}

ApiResult<Json> read_tools(const Json& body, ToolUse& use) {
  Json tools = Json::array();
  const Json* const given = field_of(body, "tools");
  const Json* const functions = field_of(body, "functions");
  if (given != nullptr && functions != nullptr) {
    return ApiError{400, "invalid_value", "functions is the older name of tools; give one of them",
                    "functions"};
  }
  if (given != nullptr) tools = *given;
  if (functions != nullptr) {
    for (const Json& function : *functions) tools.push_back(tool_of(function));
  }
  const Json* choice = field_of(body, "tool_choice");
  if (choice == nullptr) choice = field_of(body, "function_call");
  if (choice != nullptr) {
    if (auto error = read_choice(*choice, tools, use)) return std::move(*error);
  }
  use.is_parallel = functions == nullptr && boolean_of(body, "parallel_tool_calls").value_or(true);
  if (auto error = check_choice(tools, use)) return std::move(*error);
  return tools;
}

ApiResult<Json> template_messages(const Json& messages) {
  Json result = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto message = template_message(messages[i], "messages[" + std::to_string(i) + "]");
    if (!message) return message.error();
    result.push_back(std::move(*message));
  }
  return result;
}

}  // namespace paring::serve::wire
