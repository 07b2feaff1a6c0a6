// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/ollama.h"

#include <utility>

#include "base/clock.h"

#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/ollama_fields.h"
#include "serve/wire/detail/ollama_writer.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr const char* kTextOnly = "this server reads text only";

Shape images() {
  Shape none = list(text(), 0, 0);
  none.hint = kTextOnly;
  return none;
}

Shape ollama_message() {
  const Shape call =
      object({ignored("id", text(0, kNameCharactersMax), "Results refer to the function's name."),
              ignored("type", name_of({"function"}), "Functions are the only tools."),
              required("function",
                       object({required("name", text(1, kNameCharactersMax), "The function."),
                               required("arguments", open_object(), "Its arguments."),
                               ignored("index", integer(0, kTokensMax), "Of streams.")}),
                       "What was called.")});
  return object({required("role", name_of({"system", "user", "assistant", "tool"}), "Who speaks."),
                 field("content", text(), "What is said."),
                 field("thinking", text(), "What the model thought."),
                 field("tool_calls", list(call, 0, kToolsMax), "What it called."),
                 field("tool_name", text(0, kNameCharactersMax), "Which function's result it is."),
                 field("tool_call_id", text(0, kNameCharactersMax), "Which call's result it is."),
                 ignored("images", images(), "Text only.")});
}

Shape ollama_tool() {
  const Shape function = object({required("name", text(1, kNameCharactersMax), "Its name."),
                                 field("description", text(), "What it does."),
                                 field("parameters", open_object(), "A JSON schema.")});
  return object({field("type", name_of({"function"}), "Functions are the only tools."),
                 required("function", function, "What the model may call."),
                 ignored("items", any_json(), "Of no concern to the model.")});
}

std::vector<Field> common_fields() {
  return {
      required("model", text(1, kNameCharactersMax), "The model."),
      field("stream", boolean(), "Send the answer as it is made; absent: true."),
      field("format", one_of({name_of({"", "json"}), open_object()}),
            "json, or the JSON schema that the answer follows."),
      field("options", ollama_options(), "Of the model."),
      field("think", one_of({boolean(), name_of({"low", "medium", "high", "max"})}),
            "Given to the chat template as enable_thinking and reasoning_effort."),
      field("logprobs", boolean(), "Tell the log-probability of each token."),
      field("top_logprobs", integer(0, kTopLogprobsMax), "And those of this many likeliest ones."),
      keep_alive_field(),
  };
}

std::vector<Field> chat_only_fields() {
  return {field("messages", list(ollama_message(), 0, kMessagesMax),
                "The conversation so far; none: the model is loaded, or unloaded with a keep_alive "
                "of 0."),
          field("tools", list(ollama_tool(), 0, kToolsMax), "Functions that the model may call.")};
}

std::vector<Field> generate_only_fields() {
  return {field("prompt", text(),
                "What is asked; nothing: the model is loaded, or unloaded with a keep_alive of 0."),
          field("system", text(), "What the model is to know first."),
          field("raw", boolean(), "The prompt is continued as it is."),
          ignored("images", images(), "Text only."),
          refused("suffix", "models here go on from a text, they do not fill gaps"),
          refused("template", "the model's own template is used"),
          refused("context", "send the conversation to /api/chat"),
          refused("width", kTextOnly),
          refused("height", kTextOnly),
          refused("steps", kTextOnly)};
}

Json template_messages_of(const Json& given) {
  Json messages = Json::array();
  for (const Json& each : given) {
    Json message = {{"role", each["role"]}, {"content", text_of(each, "content")}};
    const std::string thoughts = text_of(each, "thinking");
    if (!thoughts.empty()) message["reasoning_content"] = thoughts;
    if (const Json* calls = field_of(each, "tool_calls"); calls != nullptr && !calls->empty()) {
      message["tool_calls"] = Json::array();
      for (const Json& call : *calls) {
        const Json& function = call["function"];
        message["tool_calls"].push_back(
            tool_of({{"name", function["name"]}, {"arguments", function["arguments"]}}));
      }
    }
    if (const Json* name = field_of(each, "tool_name")) message["name"] = *name;
    if (const Json* id = field_of(each, "tool_call_id")) message["tool_call_id"] = *id;
    messages.push_back(std::move(message));
  }
  return messages;
}

Json variables_of(const Json& body) {
  Json variables = Json::object();
  const Json* const think = field_of(body, "think");
  if (think == nullptr) return variables;
  variables["enable_thinking"] = think->is_string() || think->get<bool>();
  if (think->is_string()) variables["reasoning_effort"] = *think;
  return variables;
}

std::optional<ApiError> read_common(const Json& body, GenerateRequest& request) {
  request.model = text_of(body, "model");
  request.streams = boolean_of(body, "stream").value_or(true);
  ApiResult<std::optional<double>> keep_alive = keep_alive_of(body);
  if (!keep_alive) return keep_alive.error();
  request.keep_alive_seconds = *keep_alive;
  if (const Json* format = field_of(body, "format")) {
    if (format->is_object()) request.format = schema_format(*format);
    if (*format == "json") request.format.kind = OutputFormat::Kind::kJsonObject;
  }
  read_ollama_options(body, request);
  const auto top = integer_of(body, "top_logprobs");
  if (boolean_of(body, "logprobs").value_or(false)) {
    request.logprobs = static_cast<std::size_t>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    return ApiError{400, "invalid_value", "top_logprobs needs \"logprobs\": true", "top_logprobs"};
  }
  return std::nullopt;
}

// What Ollama answers where there is nothing to write.
void set_load_answer(GenerateCall& call, bool is_chat) {
  const char* const reason =
      call.request.keep_alive_seconds == std::optional<double>(0) ? "unload" : "load";
  call.load_answer = [is_chat, reason](const AnswerLabel& label) {
    std::string out = "{\"model\":";
    append(
        out, json_string(label.model),
        ",\"created_at\":", json_string(format_utc(static_cast<double>(label.created))),
        is_chat ? ",\"message\":{\"role\":\"assistant\",\"content\":\"\"}" : ",\"response\":\"\"",
        ",\"done\":true,\"done_reason\":\"", reason, "\"}\n");
    return out;
  };
}

void set_writer(GenerateCall& call, bool is_chat) {
  const OllamaStyle style{is_chat, call.request.logprobs.has_value()};
  call.writer = [style](const AnswerLabel& label) { return ollama_writer(label, style); };
}

std::optional<ApiError> add_chat(const Json& messages, const Json& tools, const Json& body,
                                 GenerateRequest& request) {
  auto chat = chat_input_of(messages, tools, variables_of(body));
  if (!chat) return chat.error();
  request.tools.tools = chat->tools;
  request.prompts.emplace_back(std::move(*chat));
  return std::nullopt;
}

}  // namespace

const Shape& ollama_chat_request() {
  static const Shape shape = object(joined(common_fields(), chat_only_fields()));
  return shape;
}

const Shape& ollama_generate_request() {
  static const Shape shape = object(joined(common_fields(), generate_only_fields()));
  return shape;
}

ApiResult<GenerateCall> read_ollama_chat(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, ollama_chat_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  if (auto error = read_common(*json, call.request)) return std::move(*error);
  const Json* const conversation = field_of(*json, "messages");
  if (conversation == nullptr || conversation->empty()) {
    set_load_answer(call, true);
    return call;
  }
  Json tools = Json::array();
  if (const Json* given = field_of(*json, "tools")) {
    for (const Json& tool : *given) tools.push_back(tool_of(tool["function"]));
  }
  if (auto error = check_choice(tools, call.request.tools)) return std::move(*error);
  const Json messages = template_messages_of(*conversation);
  if (auto error = add_chat(messages, tools, *json, call.request)) return std::move(*error);
  set_writer(call, true);
  return call;
}

ApiResult<GenerateCall> read_ollama_generate(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, ollama_generate_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  if (auto error = read_common(*json, call.request)) return std::move(*error);
  const std::string prompt = text_of(*json, "prompt");
  const std::string system = text_of(*json, "system");
  if (prompt.empty()) {
    set_load_answer(call, false);
    return call;
  }
  if (boolean_of(*json, "raw").value_or(false)) {
    if (!system.empty()) {
      return ApiError{400, "invalid_value", "a raw prompt has no place for system", "system"};
    }
    call.request.prompts.emplace_back(prompt);
  } else {
    Json messages = Json::array();
    if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
    messages.push_back({{"role", "user"}, {"content", prompt}});
    if (auto error = add_chat(messages, Json::array(), *json, call.request)) {
      return std::move(*error);
    }
  }
  set_writer(call, false);
  return call;
}

std::string ollama_error_body(const ApiError& error) {
  return "{\"error\":" + json_string(error.message) + '}';
}

}  // namespace paring::serve::wire
