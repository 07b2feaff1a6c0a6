// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_chat.h"

#include <utility>

#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/openai_chat_writer.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

std::vector<Field> chat_fields() {
  return {
      required("messages", list(chat_message(), 1, kMessagesMax), "The conversation so far."),
      field("model", model_name(), "Absent: the server's default."),
      field("max_completion_tokens", integer(1, kTokensMax), "Of each answer, reasoning included."),
      field("max_tokens", integer(1, kTokensMax), "The older name of max_completion_tokens."),
      field("logprobs", boolean(), "Tell the log-probability of each token."),
      field("top_logprobs", integer(0, kTopLogprobsMax), "And those of this many likeliest ones."),
      field("response_format", response_format_shape(), "What the answer must be."),
      field("tools", list(chat_tool(), 0, kToolsMax), "Functions that the model may call."),
      field("tool_choice", tool_choice_shape(), "Whether it calls one, and which."),
      field("parallel_tool_calls", boolean(), "false: one call in an answer at most."),
      field("functions", list(function_shape(), 0, kToolsMax), "The older name of tools."),
      field("function_call", function_call_choice(), "The older name of tool_choice."),
      field("reasoning_effort", reasoning_effort_shape(),
            "Given to the chat template; none also turns enable_thinking off."),
      field("verbosity", name_of({"low", "medium", "high"}), "Given to the chat template."),
      field("chat_template_kwargs", open_object(), "Variables for the chat template."),
      field("add_generation_prompt", only(true, "an answer is the assistant's next turn"),
            "Not offered."),
      field("continue_final_message", only(false, "use /v1/completions to continue a text"),
            "Not offered."),
      ignored("modalities", list(name_of({"text"}, "this server has text only"), 1, 1),
              "Text only."),
      ignored("prediction", open_object(), "A hint for speed; the answer is the same."),
      refused("audio", "this server has text only"),
      refused("web_search_options", "this server does not search the web"),
      refused("moderation", "this server does not moderate"),
      refused("chat_template", "the model's own template is used"),
      refused("documents", "put texts into the messages"),
      refused("echo", "use /v1/completions"),
  };
}

std::optional<ApiError> read_limits(const Json& body, GenerateRequest& request) {
  const auto newer = integer_of(body, "max_completion_tokens");
  const auto older = integer_of(body, "max_tokens");
  if (newer && older && *newer != *older) {
    return ApiError{400, "invalid_value",
                    "max_tokens is " + std::to_string(*older) + " and max_completion_tokens " +
                        std::to_string(*newer) + "; give one of them",
                    "max_tokens"};
  }
  const auto limit = newer ? newer : older;
  if (limit) request.max_tokens = static_cast<std::size_t>(*limit);
  const auto top = integer_of(body, "top_logprobs");
  if (boolean_of(body, "logprobs").value_or(false)) {
    request.logprobs = static_cast<std::size_t>(top.value_or(0));
  } else if (top.value_or(0) > 0) {
    return ApiError{400, "invalid_value", "top_logprobs needs \"logprobs\": true", "top_logprobs"};
  }
  return std::nullopt;
}

// Variables of the chat template; those that are named win.
Json template_variables(const Json& body) {
  Json variables = Json::object();
  const std::string effort = text_of(body, "reasoning_effort");
  if (!effort.empty()) {
    variables["reasoning_effort"] = effort;
    variables["enable_thinking"] = effort != "none";
  }
  const std::string verbosity = text_of(body, "verbosity");
  if (!verbosity.empty()) variables["verbosity"] = verbosity;
  if (const Json* given = field_of(body, "chat_template_kwargs")) {
    for (const auto& [key, value] : given->items()) variables[key] = value;
  }
  return variables;
}

}  // namespace

const Shape& openai_chat_request() {
  static const Shape shape = object(joined(
      joined(chat_fields(), openai_sampling_fields()),
      joined(joined(vllm_sampling_fields(), vllm_format_fields()), openai_ignored_fields())));
  return shape;
}

ApiResult<GenerateCall> read_openai_chat(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, openai_chat_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  GenerateRequest& request = call.request;
  read_sampling(*json, request);
  if (auto error = read_limits(*json, request)) return std::move(*error);
  if (const Json* format = field_of(*json, "response_format")) {
    request.format = response_format_of(*format);
  }
  if (auto error = read_vllm_format(*json, request.format)) return std::move(*error);
  ApiResult<Json> tools = read_tools(*json, request.tools);
  if (!tools) return tools.error();
  ApiResult<Json> messages = template_messages((*json)["messages"]);
  if (!messages) return messages.error();
  auto chat = chat_input_of(*messages, *tools, template_variables(*json));
  if (!chat) return chat.error();
  request.tools.tools = chat->tools;
  request.prompts.emplace_back(std::move(*chat));
  OpenAiChatStyle style;
  style.includes_usage = request.includes_usage;
  style.has_logprobs = request.logprobs.has_value();
  style.calls_are_functions = field_of(*json, "functions") != nullptr;
  call.writer = [style](AnswerLabel label) { return openai_chat_writer(std::move(label), style); };
  return call;
}

}  // namespace paring::serve::wire
