// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/anthropic_messages.h"

#include <utility>

#include "serve/wire/detail/anthropic_writer.h"
#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kTextOnly = "this server reads text only";
constexpr std::int64_t kThinkingTokensMin = 1024;  // as Anthropic

Field type_is(const char* name) { return required("type", name_of({name}), "The kind of block."); }
Field cached() { return ignored("cache_control", open_object(), "Prefixes are kept anyway."); }

Shape text_block() {
  return object({type_is("text"), required("text", text(), "The text."), cached(),
                 ignored("citations", any_json(), "Of no concern to the model.")});
}

Shape blocks(std::vector<Shape> kinds) {
  Shape block = one_of_by("type", std::move(kinds));
  block.hint = kTextOnly;
  return one_of({text(), list(std::move(block), 0, kMessagesMax)});
}

Shape tool_result() {
  return object({type_is("tool_result"),
                 required("tool_use_id", text(1, kNameCharactersMax), "Which call it is of."),
                 field("content", blocks({text_block()}), "What the call gave."),
                 field("is_error", boolean(), "Given to the template."), cached(),
                 ignored("toolset_name", text(0, kNameCharactersMax), "Names are whole.")});
}

Shape tool_use() {
  return object({type_is("tool_use"), required("id", text(1, kNameCharactersMax), "Of the call."),
                 required("name", text(1, kNameCharactersMax), "The tool."),
                 required("input", open_object(), "Its arguments."), cached(),
                 ignored("caller", any_json(), "Of no concern to the model."),
                 ignored("toolset_name", text(0, kNameCharactersMax), "Names are whole.")});
}

Shape thinking_block() {
  return object({type_is("thinking"), required("thinking", text(), "What the model thought."),
                 ignored("signature", text(), "Thoughts are not signed.")});
}

Shape redacted_block() {
  return object({type_is("redacted_thinking"), ignored("data", text(), "Cannot be read.")});
}

Shape message_shape() {
  const auto said_by = [](const char* who, Shape content) {
    return object({required("role", name_of({who}), "Who speaks."),
                   required("content", std::move(content), "What is said.")});
  };
  return one_of_by(
      "role",
      {said_by("user", blocks({text_block(), tool_result()})),
       said_by("assistant", blocks({text_block(), tool_use(), thinking_block(), redacted_block()})),
       said_by("system", blocks({text_block()}))});
}

Shape tool_shape() {
  return object(
      {required("name", text(1, kNameCharactersMax), "What it is called by."),
       required("input_schema", open_object(), "The JSON schema of its arguments."),
       field("description", text(), "What it does, for the model."),
       field("type", name_of({"custom"}, "tools of Anthropic's servers are not here"),
             "The kind of tool."),
       field("strict", boolean(), "Arguments follow the schema exactly."), cached(),
       ignored("input_examples", any_json(), "Put examples into the description."),
       ignored("eager_input_streaming", boolean(), "Arguments are streamed as they are made."),
       ignored("defer_loading", only(false, "all tools are in the prompt"), "Not offered."),
       ignored("allowed_callers", list(name_of({"direct"}), 0, 1), "The model calls.")});
}

Shape choice_shape() {
  const Field serial = field("disable_parallel_tool_use", boolean(), "One call at most.");
  return one_of_by(
      "type",
      {object({required("type", name_of({"auto", "any"}), "Whether one is called."), serial}),
       object({type_is("tool"), required("name", text(1, kNameCharactersMax), "Which."), serial}),
       object({type_is("none")})});
}

Shape thinking_shape() {
  const Field shown = ignored("display", text(0, kNameCharactersMax), "Thoughts are shown whole.");
  return one_of_by(
      "type",
      {object({type_is("enabled"),
               required("budget_tokens", integer(kThinkingTokensMin, kTokensMax),
                        "Given to the chat template as thinking_budget; max_tokens is the limit."),
               shown}),
       object({required("type", name_of({"disabled", "adaptive", "between_tools"}), "Whether."),
               shown})});
}

// What a prompt is made of: of messages and of counts.
std::vector<Field> prompt_fields() {
  const Shape format =
      object({type_is("json_schema"), required("schema", open_object(), "The answer follows it.")});
  return {
      required("model", text(1, kNameCharactersMax), "The model."),
      required("messages", list(message_shape(), 1, kMessagesMax), "The conversation so far."),
      field("system", blocks({text_block()}), "What the model is to know first."),
      field("tools", list(tool_shape(), 0, kToolsMax), "Functions that the model may call."),
      field("tool_choice", choice_shape(), "Whether it calls one, and which."),
      field("thinking", thinking_shape(), "Given to the template as enable_thinking."),
      field("output_config",
            object({field("effort", name_of({"low", "medium", "high", "xhigh", "max"}),
                          "Given to the chat template as reasoning_effort."),
                    field("format", format, "What the answer must be.")}),
            "How the model answers."),
      cached(),
      ignored("speed", name_of({"standard", "fast"}), "There is one speed."),
      ignored("user_profile_id", text(0, kNameCharactersMax), "Of no concern here."),
      ignored("workspace_id", text(0, kNameCharactersMax), "Of no concern here."),
      refused("mcp_servers", "this server calls no others"),
      ignored("context_management", open_object(), "All messages that are sent are read."),
  };
}

std::vector<Field> answer_fields() {
  return {
      required("max_tokens", integer(1, kTokensMax), "Of the answer, thinking included."),
      field("stop_sequences", list(text(1, kStopCharactersMax), 0, kStopsMax),
            "Texts that end the answer and are no part of it."),
      field("stream", boolean(), "Send the answer as it is made."),
      field("temperature", number(0, 1), "0: always the most likely token."),
      field("top_p", number(0, 1), "Draw from the likeliest tokens of this much probability."),
      field("top_k", integer(0, kTokensMax), "Draw from this many tokens; 0: from all."),
      field("metadata", object({field("user_id", text(0, kNameCharactersMax), "Who asks.")}),
            "For the server's records."),
      ignored("service_tier", name_of({"auto", "standard_only"}), "There is one tier."),
      ignored("inference_geo", text(0, kNameCharactersMax), "The server is where it is."),
      ignored("diagnostics", any_json(), "Of no concern here."),
      refused("container", "this server runs no code"),
  };
}

// Text blocks as OpenAI's parts; everything else left out.
Json text_parts(const Json& content) {
  if (content.is_string()) return content;
  Json parts = Json::array();
  for (const Json& block : content) {
    if (text_of(block, "type") != "text") continue;
    parts.push_back({{"type", "text"}, {"text", block["text"]}});
  }
  return parts;
}

void add_user(const Json& content, Json& messages) {
  if (content.is_array()) {
    for (const Json& block : content) {
      if (text_of(block, "type") != "tool_result") continue;
      const Json* const given = field_of(block, "content");
      Json message = {{"role", "tool"},
                      {"tool_call_id", block["tool_use_id"]},
                      {"content", given == nullptr ? Json("") : text_parts(*given)}};
      if (boolean_of(block, "is_error").value_or(false)) message["is_error"] = true;
      messages.push_back(std::move(message));
    }
  }
  Json said = text_parts(content);
  const bool is_silent = said.is_array() && said.empty();
  if (!is_silent || content.empty()) {
    messages.push_back({{"role", "user"}, {"content", is_silent ? Json("") : std::move(said)}});
  }
}

void add_assistant(const Json& content, Json& messages) {
  Json message = {{"role", "assistant"}, {"content", text_parts(content)}};
  if (content.is_array()) {
    std::string thoughts;
    Json calls = Json::array();
    for (const Json& block : content) {
      const std::string type = text_of(block, "type");
      if (type == "thinking") thoughts += text_of(block, "thinking");
      if (type != "tool_use") continue;
      calls.push_back({{"id", block["id"]},
                       {"type", "function"},
                       {"function", {{"name", block["name"]}, {"arguments", block["input"]}}}});
    }
    if (message["content"].empty()) message["content"] = "";
    if (!thoughts.empty()) message["reasoning_content"] = thoughts;
    if (!calls.empty()) message["tool_calls"] = std::move(calls);
  }
  messages.push_back(std::move(message));
}

Json template_messages_of(const Json& body) {
  Json messages = Json::array();
  const auto add_system = [&](const Json& content) {
    Json said = text_parts(content);
    if (!said.empty()) messages.push_back({{"role", "system"}, {"content", std::move(said)}});
  };
  if (const Json* system = field_of(body, "system")) add_system(*system);
  for (const Json& message : body["messages"]) {
    const std::string role = text_of(message, "role");
    if (role == "system") add_system(message["content"]);
    if (role == "user") add_user(message["content"], messages);
    if (role == "assistant") add_assistant(message["content"], messages);
  }
  return messages;
}

ApiResult<Json> template_tools(const Json& body, ToolUse& use) {
  Json tools = Json::array();
  if (const Json* given = field_of(body, "tools")) {
    for (const Json& tool : *given) {
      Json function = {{"name", tool["name"]}};
      for (const char* name : {"description", "strict"}) {
        if (const Json* value = field_of(tool, name)) function[name] = *value;
      }
      function["parameters"] = tool["input_schema"];
      tools.push_back(tool_of(function));
    }
  }
  if (const Json* choice = field_of(body, "tool_choice")) {
    const std::string type = text_of(*choice, "type");
    if (type == "none") use.choice = ToolUse::Choice::kNone;
    if (type == "any") use.choice = ToolUse::Choice::kRequired;
    if (type == "tool") use.choice = ToolUse::Choice::kNamed;
    use.name = text_of(*choice, "name");
    use.is_parallel = !boolean_of(*choice, "disable_parallel_tool_use").value_or(false);
  }
  if (auto error = check_choice(tools, use)) return std::move(*error);
  return tools;
}

Json variables_of(const Json& body) {
  Json variables = Json::object();
  if (const Json* thinking = field_of(body, "thinking")) {
    const std::string type = text_of(*thinking, "type");
    if (type == "enabled") {
      variables["enable_thinking"] = true;
      variables["thinking_budget"] = (*thinking)["budget_tokens"];
    }
    if (type == "disabled") variables["enable_thinking"] = false;
  }
  if (const Json* config = field_of(body, "output_config")) {
    const Json* const effort = field_of(*config, "effort");
    if (effort != nullptr) variables["reasoning_effort"] = *effort;
  }
  return variables;
}

std::optional<ApiError> read_prompt(const Json& body, GenerateRequest& request) {
  request.model = text_of(body, "model");
  ApiResult<Json> tools = template_tools(body, request.tools);
  if (!tools) return tools.error();
  auto chat = chat_input_of(template_messages_of(body), *tools, variables_of(body));
  if (!chat) return chat.error();
  request.tools.tools = chat->tools;
  request.prompts.emplace_back(std::move(*chat));
  if (const Json* config = field_of(body, "output_config")) {
    const Json* const format = field_of(*config, "format");
    if (format != nullptr) request.format = schema_format((*format)["schema"]);
  }
  return std::nullopt;
}

}  // namespace

const Shape& anthropic_messages_request() {
  static const Shape shape = object(joined(prompt_fields(), answer_fields()));
  return shape;
}

const Shape& anthropic_count_request() {
  static const Shape shape = object(prompt_fields());
  return shape;
}

ApiResult<GenerateCall> read_anthropic_messages(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, anthropic_messages_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  GenerateRequest& request = call.request;
  if (auto error = read_prompt(*json, request)) return std::move(*error);
  request.max_tokens = static_cast<std::size_t>(*integer_of(*json, "max_tokens"));
  request.temperature = number_of(*json, "temperature");
  request.top_p = number_of(*json, "top_p");
  if (const auto top_k = integer_of(*json, "top_k")) {
    request.top_k = static_cast<std::size_t>(*top_k);
  }
  if (const Json* stops = field_of(*json, "stop_sequences")) {
    request.stop = stops->get<std::vector<std::string>>();
  }
  if (const Json* metadata = field_of(*json, "metadata")) {
    request.user = text_of(*metadata, "user_id");
  }
  request.streams = boolean_of(*json, "stream").value_or(false);
  call.writer = [](const AnswerLabel& label) { return anthropic_writer(label); };
  return call;
}

ApiResult<GenerateRequest> read_anthropic_count(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, anthropic_count_request(), rules);
  if (!json) return json.error();
  GenerateRequest request;
  if (auto error = read_prompt(*json, request)) return std::move(*error);
  return request;
}

}  // namespace paring::serve::wire
