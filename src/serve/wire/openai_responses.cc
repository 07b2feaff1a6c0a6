// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_responses.h"

#include <utility>

#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/openai_responses_writer.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kTextOnly = "this server reads text only";
constexpr const char* kStateless = "this server keeps no responses; send the whole conversation";

Field type_is(const char* name) { return required("type", name_of({name}), "The kind."); }

std::vector<Field> item_labels() {
  return {ignored("id", text(0, kNameCharactersMax), "Items are not kept."),
          ignored("status", name_of({"in_progress", "completed", "incomplete"}), "Of no concern.")};
}

Shape part(const char* type, const char* name) {
  return object({type_is(type), required(name, text(), "The text."),
                 ignored("annotations", any_json(), "Of no concern to the model."),
                 ignored("logprobs", any_json(), "Of no concern to the model."),
                 ignored("prompt_cache_breakpoint", open_object(), "Prefixes are kept anyway.")});
}

Shape content_shape(std::vector<Shape> kinds) {
  Shape each = one_of_by("type", std::move(kinds));
  each.hint = kTextOnly;
  return one_of({text(), list(std::move(each), 0, kMessagesMax)});
}

Shape item_shape() {
  const Shape message = object(joined(
      item_labels(),
      {field("type", name_of({"message"}), "Absent: a message."),
       required("role", name_of({"user", "assistant", "system", "developer"}), "Who speaks."),
       required("content",
                content_shape({part("input_text", "text"), part("output_text", "text"),
                               part("refusal", "refusal")}),
                "What is said."),
       ignored("phase", text(0, kNameCharactersMax), "Of no concern to the model.")}));
  const Shape call = object(joined(
      item_labels(), {type_is("function_call"),
                      required("call_id", text(1, kNameCharactersMax), "For its output."),
                      required("name", text(1, kNameCharactersMax), "The function."),
                      required("arguments", text(), "A JSON object in a text."),
                      ignored("caller", any_json(), "Of no concern to the model."),
                      ignored("async", only(false, "calls are waited for"), "Not offered.")}));
  const Shape output = object(joined(
      item_labels(),
      {type_is("function_call_output"),
       required("call_id", text(1, kNameCharactersMax), "Which call it is of."),
       required("output", content_shape({part("input_text", "text")}), "What the call gave."),
       ignored("name", text(0, kNameCharactersMax), "Known from the call."),
       ignored("caller", any_json(), "Of no concern to the model.")}));
  const auto thoughts = [](const char* type) {
    return list(object({type_is(type), required("text", text(), "The thought.")}), 0, kMessagesMax);
  };
  const Shape reasoning = object(joined(
      item_labels(), {type_is("reasoning"), field("summary", thoughts("summary_text"), "Thoughts."),
                      field("content", thoughts("reasoning_text"), "Thoughts."),
                      ignored("encrypted_content", text(), "Cannot be read.")}));
  Shape item = one_of_by("type", {message, call, output, reasoning}, "message");
  item.hint = kStateless;
  return item;
}

Shape responses_tool() {
  return object(
      {required("type", name_of({"function"}, "functions are the only tools"), "The kind of tool."),
       required("name", text(1, kNameCharactersMax), "What it is called by."),
       field("description", text(), "What it does, for the model."),
       field("parameters", open_object(), "The JSON schema of its arguments."),
       field("strict", boolean(), "Arguments follow the schema exactly."),
       ignored("output_schema", open_object(), "Of no concern to the model."),
       ignored("defer_loading", only(false, "all tools are in the prompt"), "Not offered."),
       ignored("allowed_callers", list(name_of({"direct"}), 0, 1), "The model calls."),
       ignored("async", only(false, "calls are waited for"), "Not offered.")});
}

Shape responses_choice() {
  const Shape named =
      object({type_is("function"), required("name", text(1, kNameCharactersMax), "Which.")});
  const Shape allowed =
      object({type_is("allowed_tools"),
              required("mode", name_of({"auto", "required"}), "Whether one is called."),
              required("tools", list(named, 1, kToolsMax), "Which.")});
  return one_of({name_of({"none", "auto", "required"}), one_of_by("type", {named, allowed})});
}

Shape text_config() {
  const Shape format = one_of_by(
      "type", {object({type_is("text")}), object({type_is("json_object")}),
               object({type_is("json_schema"),
                       required("name", text(0, kNameCharactersMax), "For the model."),
                       required("schema", open_object(), "The answer follows it."),
                       field("description", text(), "For the model."),
                       field("strict", boolean(), "Answers follow the schema either way.")})});
  return object({field("format", format, "What the answer must be."),
                 field("verbosity", name_of({"low", "medium", "high"}), "Given to the template.")});
}

Shape reasoning_config() {
  const Shape summary = name_of({"auto", "concise", "detailed"});
  return object(
      {field("effort", reasoning_effort_shape(), "Given to the chat template."),
       ignored("summary", summary, "Thoughts come whole."),
       ignored("generate_summary", summary, "Thoughts come whole."),
       ignored("context", name_of({"auto", "current_turn", "all_turns"}), "As the template does."),
       ignored("mode", name_of({"standard"}), "There is one mode.")});
}

std::vector<Field> responses_fields() {
  return {
      required("input", one_of({text(), list(item_shape(), 1, kMessagesMax)}), "What is asked."),
      field("model", model_name(), "Absent: the server's default."),
      field("instructions", text(), "What the model is to know first."),
      field("max_output_tokens", integer(1, kTokensMax), "Of the answer, reasoning included."),
      field("temperature", number(0, 2), "0: always the most likely token."),
      field("top_p", number(0, 1), "Draw from the likeliest tokens of this much probability."),
      field("top_logprobs", integer(0, kTopLogprobsMax), "Likeliest tokens that are told."),
      field("include",
            list(name_of({"message.output_text.logprobs", "reasoning.encrypted_content"}), 0, 2),
            "Log-probabilities of the answer's tokens; thoughts come as they are."),
      field("tools", list(responses_tool(), 0, kToolsMax), "Functions that the model may call."),
      field("tool_choice", responses_choice(), "Whether it calls one, and which."),
      field("parallel_tool_calls", boolean(), "false: one call in an answer at most."),
      field("text", text_config(), "What the answer must be."),
      field("reasoning", reasoning_config(), "How the model thinks."),
      field("truncation", name_of({"auto", "disabled"}),
            "auto: the oldest part of a prompt that is too long is left out."),
      field("stream", boolean(), "Send the answer as it is made."),
      ignored("stream_options", object({ignored("include_obfuscation", boolean(), "Not padded.")}),
              "Nothing is padded."),
      ignored("background", only(false, "answers are waited for"), "Not offered."),
      refused("moderation", "this server does not moderate"),
      refused("previous_response_id", kStateless),
      refused("conversation", kStateless),
      refused("prompt", "this server keeps no prompts; send the text"),
      refused("context_management", kStateless),
      refused("max_tool_calls", "this server calls no tools itself"),
      refused("background_options", "answers are waited for"),
      refused("image", kTextOnly),
      refused("access_programs", "this server has none"),
  };
}

// "content" of a message or output as chat messages have it.
Json chat_content(const Json& content) {
  if (content.is_string()) return content;
  Json parts = Json::array();
  for (const Json& each : content) {
    const bool is_refusal = text_of(each, "type") == "refusal";
    parts.push_back({{"type", "text"}, {"text", each[is_refusal ? "refusal" : "text"]}});
  }
  if (parts.empty()) return "";
  return parts;
}

// Items as messages: thoughts, text and calls of one turn are one message of the assistant.
class Conversation {
 public:
  void add_instructions(const std::string& text) {
    if (!text.empty()) messages_.push_back({{"role", "system"}, {"content", text}});
  }

  std::optional<ApiError> add(const Json& item, const std::string& param) {
    const std::string type = text_of(item, "type");
    if (type == "reasoning") {
      add_thoughts(item);
    } else if (type == "function_call") {
      return add_call(item, param);
    } else if (type == "function_call_output") {
      messages_.push_back({{"role", "tool"},
                           {"tool_call_id", item["call_id"]},
                           {"content", chat_content(item["output"])}});
    } else {
      add_message(item);
    }
    return std::nullopt;
  }

  Json messages() && { return std::move(messages_); }

 private:
  // The message of the assistant that is being collected.
  Json& turn() {
    const bool is_open = !messages_.empty() && messages_.back()["role"] == "assistant";
    if (!is_open) messages_.push_back({{"role", "assistant"}, {"content", ""}});
    return messages_.back();
  }

  void add_thoughts(const Json& item) {
    std::string thoughts;
    // The summary is of the same thoughts.
    for (const char* name : {"content", "summary"}) {
      const Json* const list = field_of(item, name);
      if (list == nullptr || !thoughts.empty()) continue;
      for (const Json& each : *list) thoughts += text_of(each, "text");
    }
    // Thoughts begin a turn.
    messages_.push_back({{"role", "assistant"}, {"content", ""}, {"reasoning_content", thoughts}});
  }

  std::optional<ApiError> add_call(const Json& item, const std::string& param) {
    auto arguments = arguments_of(text_of(item, "arguments"), param + ".arguments");
    if (!arguments) return arguments.error();
    Json& message = turn();
    if (!message.contains("tool_calls")) message["tool_calls"] = Json::array();
    message["tool_calls"].push_back(
        {{"id", item["call_id"]},
         {"type", "function"},
         {"function", {{"name", item["name"]}, {"arguments", std::move(*arguments)}}}});
    return std::nullopt;
  }

  void add_message(const Json& item) {
    const std::string role = text_of(item, "role");
    Json content = chat_content(item["content"]);
    if (role == "assistant" && !messages_.empty()) {
      Json& last = messages_.back();
      if (last["role"] == "assistant" && last["content"] == "" && !last.contains("tool_calls")) {
        last["content"] = std::move(content);
        return;
      }
    }
    messages_.push_back(
        {{"role", role == "developer" ? "system" : role}, {"content", std::move(content)}});
  }

  Json messages_ = Json::array();
};

ApiResult<Json> messages_of(const Json& body) {
  Conversation conversation;
  conversation.add_instructions(text_of(body, "instructions"));
  const Json& input = body["input"];
  if (input.is_string()) {
    conversation.add({{"role", "user"}, {"content", input}}, "input");
  } else {
    for (std::size_t i = 0; i < input.size(); ++i) {
      auto error = conversation.add(input[i], "input[" + std::to_string(i) + "]");
      if (error) return std::move(*error);
    }
  }
  return std::move(conversation).messages();
}

// The tools and the choice in the words of chat completions.
Json chat_tools(const Json& body) {
  Json result = Json::object();
  const auto function_of = [](const Json& tool) {
    Json function = Json::object();
    for (const char* name : {"name", "description", "parameters", "strict"}) {
      if (const Json* value = field_of(tool, name)) function[name] = *value;
    }
    return tool_of(function);
  };
  if (const Json* tools = field_of(body, "tools")) {
    result["tools"] = Json::array();
    for (const Json& tool : *tools) result["tools"].push_back(function_of(tool));
  }
  if (const Json* parallel = field_of(body, "parallel_tool_calls")) {
    result["parallel_tool_calls"] = *parallel;
  }
  const Json* const choice = field_of(body, "tool_choice");
  if (choice == nullptr) return result;
  if (!choice->is_object()) {
    result["tool_choice"] = *choice;
  } else if (text_of(*choice, "type") == "allowed_tools") {
    Json allowed = {{"mode", (*choice)["mode"]}, {"tools", Json::array()}};
    for (const Json& tool : (*choice)["tools"]) allowed["tools"].push_back(function_of(tool));
    result["tool_choice"] = {{"type", "allowed_tools"}, {"allowed_tools", std::move(allowed)}};
  } else {
    result["tool_choice"] = function_of(*choice);
  }
  return result;
}

Json variables_of(const Json& body) {
  Json variables = Json::object();
  if (const Json* reasoning = field_of(body, "reasoning")) {
    const std::string effort = text_of(*reasoning, "effort");
    if (!effort.empty()) {
      variables["reasoning_effort"] = effort;
      variables["enable_thinking"] = effort != "none";
    }
  }
  if (const Json* config = field_of(body, "text")) {
    const Json* const verbosity = field_of(*config, "verbosity");
    if (verbosity != nullptr) variables["verbosity"] = *verbosity;
  }
  return variables;
}

OutputFormat format_of(const Json& body) {
  OutputFormat result;
  const Json* const config = field_of(body, "text");
  const Json* const format = config == nullptr ? nullptr : field_of(*config, "format");
  if (format == nullptr) return result;
  const std::string type = text_of(*format, "type");
  if (type == "json_schema") return schema_format((*format)["schema"]);
  if (type == "json_object") result.kind = OutputFormat::Kind::kJsonObject;
  return result;
}

bool includes_logprobs(const Json& body) {
  const Json* const include = field_of(body, "include");
  if (include == nullptr) return false;
  for (const Json& name : *include) {
    if (name == "message.output_text.logprobs") return true;
  }
  return false;
}

// What a response says of its request, in OpenAI's order.
std::string repeated_fields(const Json& body) {
  Json fields = Json::object();
  const auto copy = [&](const char* name, const Json& otherwise) {
    const Json* const value = field_of(body, name);
    fields[name] = value == nullptr ? otherwise : *value;
  };
  fields["background"] = false;
  copy("instructions", nullptr);
  copy("max_output_tokens", nullptr);
  copy("metadata", Json::object());
  copy("parallel_tool_calls", true);
  fields["previous_response_id"] = nullptr;
  copy("reasoning", {{"effort", nullptr}, {"summary", nullptr}});
  copy("safety_identifier", nullptr);
  fields["store"] = false;
  copy("temperature", nullptr);
  copy("text", {{"format", {{"type", "text"}}}});
  copy("tool_choice", "auto");
  copy("tools", Json::array());
  copy("top_logprobs", 0);
  copy("top_p", nullptr);
  copy("truncation", "disabled");
  copy("user", nullptr);
  const std::string text = json_of(fields);
  return text.substr(1, text.size() - 2);
}

}  // namespace

const Shape& openai_responses_request() {
  static const Shape shape = object(joined(responses_fields(), openai_ignored_fields()));
  return shape;
}

ApiResult<GenerateCall> read_openai_responses(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, openai_responses_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  GenerateRequest& request = call.request;
  request.model = text_of(*json, "model");
  request.user = text_of(*json, "user");
  request.temperature = number_of(*json, "temperature");
  request.top_p = number_of(*json, "top_p");
  if (const auto limit = integer_of(*json, "max_output_tokens")) {
    request.max_tokens = static_cast<std::size_t>(*limit);
  }
  const auto top = integer_of(*json, "top_logprobs");
  if (includes_logprobs(*json) || top.value_or(0) > 0) {
    request.logprobs = static_cast<std::size_t>(top.value_or(0));
  }
  if (text_of(*json, "truncation") == "auto") request.truncation = Truncation::kDropOldest;
  request.streams = boolean_of(*json, "stream").value_or(false);
  request.format = format_of(*json);
  ApiResult<Json> tools = read_tools(chat_tools(*json), request.tools);
  if (!tools) return tools.error();
  ApiResult<Json> messages = messages_of(*json);
  if (!messages) return messages.error();
  auto chat = chat_input_of(*messages, *tools, variables_of(*json));
  if (!chat) return chat.error();
  request.tools.tools = chat->tools;
  request.prompts.emplace_back(std::move(*chat));
  OpenAiResponsesStyle style{repeated_fields(*json), request.logprobs.has_value()};
  call.writer = [style = std::move(style)](const AnswerLabel& label) {
    return openai_responses_writer(label, style);
  };
  return call;
}

}  // namespace paring::serve::wire
