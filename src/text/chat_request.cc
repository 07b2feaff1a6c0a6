// SPDX-License-Identifier: Apache-2.0
#include "text/chat_request.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/text.h"
#include "text/tokenizer_file.h"

namespace paring::text {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kShownBytesMax = 64;  // of a value in an error

// What the parser says quotes the file, which may hold anything.
std::string shown_text(const std::string& text) {
  constexpr std::size_t kBytesMax = 160;
  return escape_control(text.size() > kBytesMax ? text.substr(0, kBytesMax) + "..." : text);
}

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kShownBytesMax) text = text.substr(0, kShownBytesMax) + "...";
  return text;
}

// "line 3, column 5", counted from 1; columns are bytes.
std::string place_in(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n');
  const std::size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1);
  return "line " + std::to_string(lines + 1) + ", column " + std::to_string(column + 1);
}

Result<Json> parsed(const std::string& json, const std::string& name) {
  PARING_TRY_VOID(check_json_limits(json, name.c_str(), kChatLimits));
  try {
    return Json::parse(json);
  } catch (const Json::parse_error& error) {
    // "[json.exception...] parse error at line 1, column 2: what is wrong"
    std::string what = error.what();
    if (const std::size_t at = what.find(": "); at != std::string::npos) what.erase(0, at + 2);
    const bool is_empty = json.find_first_not_of(" \t\r\n") == std::string::npos;
    return invalid_argument(name + ": not JSON, " +
                                (is_empty ? "it is empty"
                                          : place_in(json, error.byte > 0 ? error.byte - 1 : 0) +
                                                ": " + shown_text(what)),
                            "the file must be UTF-8; quotes are \", and the last item of a list "
                            "has no comma behind it");
  }
}

// The texts of content in parts.
Result<Json> joined_parts(const Json& parts, const std::string& where) {
  std::string text;
  for (const Json& part : parts) {
    const auto type = part.is_object() ? part.find("type") : part.end();
    const bool is_text = part.is_object() && type != part.end() && *type == "text";
    if (!is_text) {
      return unsupported(where + " has a part that is not text: " + shown(part),
                         "only parts {\"type\": \"text\", \"text\": ...} are supported");
    }
    const auto found = part.find("text");
    if (found == part.end() || !found->is_string()) {
      return invalid_argument(where + " has a part without text: " + shown(part));
    }
    if (!text.empty()) text += '\n';
    text += found->get<std::string>();
  }
  return Json(std::move(text));
}

Result<void> read_content(Json& message, const std::string& where) {
  const auto found = message.find("content");
  if (found == message.end() || found->is_null()) {
    message["content"] = "";
    return {};
  }
  if (found->is_string()) return {};
  if (!found->is_array()) {
    return invalid_argument(where + ".content is " + shown(*found),
                            "content is a text, null, or a list of text parts");
  }
  PARING_TRY(*found, joined_parts(*found, where + ".content"));
  return {};
}

Result<void> read_call(Json& call, const std::string& where) {
  const auto function = call.is_object() ? call.find("function") : call.end();
  if (!call.is_object() || function == call.end() || !function->is_object() ||
      !function->contains("name") || !(*function)["name"].is_string()) {
    return invalid_argument(
        where + " is " + shown(call),
        "a tool call is {\"type\": \"function\", \"function\": {\"name\": ..., \"arguments\": "
        "...}}");
  }
  if (!function->contains("arguments") || (*function)["arguments"].is_null()) {
    (*function)["arguments"] = Json::object();
    return {};
  }
  Json& arguments = (*function)["arguments"];
  if (arguments.is_object()) return {};
  if (arguments.is_string()) {
    const std::string json = arguments.get<std::string>();
    PARING_TRY(Json object, json.empty() ? Result<Json>(Json::object())
                                         : parsed(json, "the arguments of a tool call"));
    if (object.is_object()) {
      arguments = std::move(object);
      return {};
    }
  }
  return invalid_argument(where + ".function.arguments is " + shown(arguments),
                          "arguments are a JSON object, or one written as a text");
}

Result<void> read_message(Json& message, const std::string& where) {
  if (!message.is_object()) return invalid_argument(where + " is not an object");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    return invalid_argument(where + " has no role", "use system, user, assistant or tool");
  }
  PARING_TRY_VOID(read_content(message, where));
  const auto calls = message.find("tool_calls");
  if (calls == message.end()) return {};
  if (calls->is_null()) {
    message.erase(calls);  // templates ask whether the field is there
    return {};
  }
  if (!calls->is_array()) return invalid_argument(where + ".tool_calls is not a list");
  for (std::size_t i = 0; i < calls->size(); ++i) {
    PARING_TRY_VOID(read_call((*calls)[i], where + ".tool_calls[" + std::to_string(i) + "]"));
  }
  return {};
}

Result<void> check_tools(const Json& tools) {
  if (!tools.is_array()) return invalid_argument("the tools of the chat are not a list");
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const Json& tool = tools[i];
    const bool has_function = tool.is_object() && tool.contains("function") &&
                              tool["function"].is_object() && tool["function"].contains("name") &&
                              tool["function"]["name"].is_string();
    if (has_function) continue;
    return invalid_argument(
        "tools[" + std::to_string(i) + "] is " + shown(tool),
        "a tool is {\"type\": \"function\", \"function\": {\"name\": ..., ...}}");
  }
  return {};
}

// The parts of a request as values; null: absent.
struct Parts {
  Json messages, tools, variables;
};

Result<void> take_request(Json&& request, Parts& parts) {
  const std::array<std::pair<const char*, Json*>, 3> fields = {
      {{"messages", &parts.messages},
       {"tools", &parts.tools},
       {"chat_template_kwargs", &parts.variables}}};
  for (auto& [key, value] : request.items()) {
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& row) { return row.first == key; });
    if (field == fields.end()) {
      return invalid_argument(
          "the conversation has a field \"" + key.substr(0, kShownBytesMax) + "\"",
          "known are messages, tools and chat_template_kwargs");
    }
    if (!field->second->is_null()) {
      return invalid_argument(key + " is given twice", "give it in one place");
    }
    *field->second = std::move(value);
  }
  if (parts.messages.is_null()) return invalid_argument("the conversation has no messages");
  return {};
}

// Fields that templates ask for by name, in messages, tools and JSON schemas.
bool is_structure_name(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "anyOf",    "arguments", "content",  "default",    "description", "enum",
      "function", "id",        "items",    "name",       "parameters",  "properties",
      "return",   "required",  "response", "tool_calls", "type",        "tool_call_id"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// Strings of `value` and the names of its fields.
void change_strings(Json& value, const ChangeString& change) {
  if (value.is_string()) {
    value = change(value.get_ref<const std::string&>());
  } else if (value.is_array()) {
    for (Json& item : value) change_strings(item, change);
  } else if (value.is_object()) {
    Json changed = Json::object();
    for (auto& [key, item] : value.items()) {
      change_strings(item, change);
      changed[is_structure_name(key) ? key : change(key)] = std::move(item);
    }
    value = std::move(changed);
  }
}

std::string dumped(const Json& value) { return value.is_null() ? std::string() : value.dump(); }

}  // namespace

namespace {

// `outcome` with the name of the file in front of its place.
Result<void> named(Result<void> outcome, const std::string& name) {
  if (outcome) return {};
  return std::move(outcome.error()).with_context(name);
}

// Everything of a conversation that is JSON.
Result<void> check_parts(Parts& parts, const ChatNames& names) {
  if (!parts.messages.is_array() || parts.messages.empty()) {
    return invalid_argument(names.messages + ": not a list of at least one message",
                            "give [{\"role\": \"user\", \"content\": \"...\"}]");
  }
  if (parts.messages.size() > kChatMessagesMax) {
    return invalid_argument(names.messages + ": the chat has " +
                            std::to_string(parts.messages.size()) + " messages, the limit is " +
                            std::to_string(kChatMessagesMax));
  }
  for (std::size_t i = 0; i < parts.messages.size(); ++i) {
    PARING_TRY_VOID(named(read_message(parts.messages[i], "messages[" + std::to_string(i) + "]"),
                          names.messages));
  }
  if (!parts.tools.is_null()) PARING_TRY_VOID(named(check_tools(parts.tools), names.tools));
  if (parts.tools.is_array() && parts.tools.empty()) parts.tools = nullptr;
  if (!parts.variables.is_null() && !parts.variables.is_object()) {
    return invalid_argument(names.variables + ": not an object");
  }
  return {};
}

}  // namespace

Result<ChatInput> read_chat(const ChatInput& given, const ChatNames& names) {
  Parts parts;
  if (!given.tools.empty()) {
    PARING_TRY(parts.tools, parsed(given.tools, names.tools));
  }
  if (!given.variables.empty()) {
    PARING_TRY(parts.variables, parsed(given.variables, names.variables));
  }
  PARING_TRY(Json messages, parsed(given.messages, names.messages));
  if (messages.is_object()) {
    PARING_TRY_VOID(named(take_request(std::move(messages), parts), names.messages));
  } else {
    parts.messages = std::move(messages);
  }
  PARING_TRY_VOID(check_parts(parts, names));
  return ChatInput{dumped(parts.messages), dumped(parts.tools), dumped(parts.variables)};
}

ChatInput chat_of(std::span<const ChatMessage> messages) {
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  // Bytes that are not UTF-8 become U+FFFD, as everywhere where text comes in.
  return {list.dump(-1, ' ', false, Json::error_handler_t::replace), "", ""};
}

ChatInput with_strings_changed(const ChatInput& chat, const ChangeString& change) {
  ChatInput changed;
  Json messages = Json::parse(chat.messages);
  for (Json& message : messages) {
    for (auto& [key, value] : message.items()) {
      if (key != "role") change_strings(value, change);
    }
  }
  changed.messages = messages.dump();
  if (!chat.tools.empty()) {
    Json tools = Json::parse(chat.tools);
    change_strings(tools, change);
    changed.tools = tools.dump();
  }
  if (!chat.variables.empty()) {
    Json variables = Json::parse(chat.variables);
    for (auto& [key, value] : variables.items()) change_strings(value, change);
    changed.variables = variables.dump();
  }
  return changed;
}

std::vector<std::string> roles_of(const ChatInput& chat) {
  std::vector<std::string> roles;
  for (const Json& message : Json::parse(chat.messages)) {
    roles.push_back(message.at("role").get<std::string>());
  }
  return roles;
}

}  // namespace paring::text
