// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/openai_chat_writer.h"

#include <utility>
#include <vector>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/detail/openai_stream.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

// {"content": [...], "refusal": null}
void append_logprobs(std::string& out, const std::vector<TokenDetail>& tokens) {
  out += "{\"content\":";
  append_token_details(out, tokens);
  out += ",\"refusal\":null}";
}

// {"name": ..., "arguments": ...}; in a stream a name comes once.
void append_function(std::string& out, const ToolCallDelta& call) {
  out += '{';
  if (!call.name.empty()) append(out, "\"name\":", json_string(call.name), ',');
  out += "\"arguments\":";
  append_json_string(out, call.arguments);
  out += '}';
}

constexpr OpenAiObjects kObjects = {"chatcmpl-", "chat.completion", "chat.completion.chunk"};

class OpenAiChatWriter : public OpenAiStreamWriter {
 public:
  OpenAiChatWriter(const AnswerLabel& label, const OpenAiChatStyle& style)
      : OpenAiStreamWriter(label, kObjects, style.includes_usage), style_(style) {}

  std::string delta(std::size_t choice, const AnswerDelta& delta) override {
    std::string out;
    const bool is_empty = delta.content.empty() && delta.reasoning.empty() &&
                          delta.tool_calls.empty() && delta.tokens.empty();
    if (is_over() || is_empty) return out;
    out.reserve(head().size() + delta.content.size() + delta.reasoning.size() + kChunkBytes);
    const char* separator = "";
    out += head();
    open(out, choice);
    if (!delta.content.empty() || (delta.reasoning.empty() && delta.tool_calls.empty())) {
      out += "\"content\":";
      append_json_string(out, delta.content);
      separator = ",";
    }
    if (!delta.reasoning.empty()) {
      append(out, separator, "\"reasoning_content\":");
      append_json_string(out, delta.reasoning);
      separator = ",";
    }
    if (!delta.tool_calls.empty()) {
      out += separator;
      append_call_deltas(out, delta.tool_calls);
    }
    out += "},\"logprobs\":";
    if (delta.tokens.empty()) {
      out += "null";
    } else {
      append_logprobs(out, delta.tokens);
    }
    append(out, ",\"finish_reason\":null}", tail());
    return out;
  }

 protected:
  void append_first(std::string& out, std::size_t choice) override {
    out += head();
    open(out, choice);
    append(out, "\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,",
           "\"finish_reason\":null}", tail());
  }

  void append_last(std::string& out, std::size_t choice, const AnswerEnding& ending) override {
    open(out, choice);
    append(out, "},\"logprobs\":null,\"finish_reason\":\"", finish_reason(ending), "\"}");
  }

  void append_whole(std::string& out, std::size_t index, const AnswerChoice& choice) override {
    append(out, "{\"index\":", index, ",\"message\":{\"role\":\"assistant\",\"content\":");
    if (choice.content.empty() && !choice.tool_calls.empty()) {
      out += "null";
    } else {
      append_json_string(out, choice.content);
    }
    out += ",\"refusal\":null";
    if (!choice.reasoning.empty()) {
      append(out, ",\"reasoning_content\":", json_string(choice.reasoning));
    }
    if (!choice.tool_calls.empty()) append_calls(out, choice.tool_calls);
    out += "},\"logprobs\":";
    if (style_.has_logprobs) {
      append_logprobs(out, choice.tokens);
    } else {
      out += "null";
    }
    append(out, ",\"finish_reason\":\"", finish_reason(choice.ending), "\"}");
  }

 private:
  static constexpr std::size_t kChunkBytes = 160;  // of a chunk beside its texts

  // Up to the fields of the delta.
  static void open(std::string& out, std::size_t choice) {
    append(out, "{\"index\":", choice, ",\"delta\":{");
  }

  const char* finish_reason(const AnswerEnding& ending) const {
    if (style_.calls_are_functions && ending.end == AnswerEnd::kToolCalls) return "function_call";
    return openai_finish_reason(ending);
  }

  void append_call_deltas(std::string& out, const std::vector<ToolCallDelta>& calls) const {
    if (style_.calls_are_functions) {
      out += "\"function_call\":";
      append_function(out, calls.front());
      return;
    }
    out += "\"tool_calls\":[";
    const char* separator = "";
    for (const ToolCallDelta& call : calls) {
      append(out, std::exchange(separator, ","), "{\"index\":", call.index, ',');
      if (!call.id.empty()) append(out, "\"id\":", json_string(call.id), ",\"type\":\"function\",");
      out += "\"function\":";
      append_function(out, call);
      out += '}';
    }
    out += ']';
  }

  void append_calls(std::string& out, const std::vector<ToolCallDelta>& calls) const {
    if (style_.calls_are_functions) {
      out += ",\"function_call\":";
      append_function(out, calls.front());
      return;
    }
    out += ",\"tool_calls\":[";
    const char* separator = "";
    for (const ToolCallDelta& call : calls) {
      append(out, std::exchange(separator, ","), "{\"id\":", json_string(call.id),
             ",\"type\":\"function\",\"function\":");
      append_function(out, call);
      out += '}';
    }
    out += ']';
  }

  OpenAiChatStyle style_;
};

Shape token_fields(bool has_top) {
  const Shape bytes = list(integer(0, 255), 0, kBodyValuesMax);
  std::vector<Field> fields = {required("token", text(), "Its text."),
                               required("logprob", number(-1e300, 0), "Natural logarithm."),
                               required("bytes", bytes, "Its bytes: it may be half a character.")};
  if (has_top) {
    fields.push_back(required("top_logprobs", list(token_fields(false), 0, kTopLogprobsMax),
                              "The likeliest tokens."));
  }
  return object(std::move(fields));
}

Shape logprobs_shape() {
  return object({required("content", list(token_fields(true), 0, kBodyValuesMax), "Each token."),
                 field("refusal", any_json(), "Always null.")});
}

Shape function_of(bool is_delta) {
  const Shape name = text();
  return object({is_delta ? field("name", name, "Once.") : required("name", name, "The function."),
                 required("arguments", text(), "A JSON object in a text.")});
}

Shape call_shape() {
  return object({required("id", text(), "For the result."),
                 required("type", name_of({"function"}), "The kind of tool."),
                 required("function", function_of(false), "What to call.")});
}

Shape call_delta_shape() {
  return object({required("index", integer(0, kTokensMax), "Of the call in the answer."),
                 field("id", text(), "Once."), field("type", name_of({"function"}), "Once."),
                 required("function", function_of(true), "What is new.")});
}

Shape finish_reason_shape() { return name_of({"stop", "length", "tool_calls", "function_call"}); }

}  // namespace

std::unique_ptr<AnswerWriter> openai_chat_writer(const AnswerLabel& label,
                                                 const OpenAiChatStyle& style) {
  return std::make_unique<OpenAiChatWriter>(label, style);
}

const Shape& openai_chat_answer() {
  static const Shape shape = [] {
    const Shape message =
        object({required("role", name_of({"assistant"}), "The model."),
                field("content", text(), "The answer."), field("refusal", text(), "Always null."),
                field("reasoning_content", text(), "What the model thought first."),
                field("tool_calls", list(call_shape(), 1, kToolsMax), "What it wants called."),
                field("function_call", function_of(false), "The same for \"functions\".")});
    const Shape choice = object({required("index", integer(0, kTokensMax), "Of the choice."),
                                 required("message", message, "The answer."),
                                 field("logprobs", logprobs_shape(), "If asked for."),
                                 required("finish_reason", finish_reason_shape(), "Why it ends.")});
    return object(joined(openai_head_fields("chat.completion"),
                         {required("choices", list(choice, 1, kAnswersMax), "The answers."),
                          required("usage", usage_shape(), "What it cost."),
                          required("timings", timings_shape(), "How long it took.")}));
  }();
  return shape;
}

const Shape& openai_chat_chunk() {
  static const Shape shape = [] {
    const Shape delta = object(
        {field("role", name_of({"assistant"}), "Once."), field("content", text(), "New text."),
         field("reasoning_content", text(), "New thoughts."),
         field("tool_calls", list(call_delta_shape(), 1, kToolsMax), "What is new of calls."),
         field("function_call", function_of(true), "The same, older.")});
    const Shape choice = object({required("index", integer(0, kTokensMax), "Of the choice."),
                                 required("delta", delta, "What is new."),
                                 field("logprobs", logprobs_shape(), "If asked for."),
                                 field("finish_reason", finish_reason_shape(), "Why it ends.")});
    return object(joined(openai_head_fields("chat.completion.chunk"),
                         {required("choices", list(choice, 0, 1), "None in the last, with usage."),
                          field("usage", usage_shape(), "What it cost."),
                          field("timings", timings_shape(), "How long it took, at the end.")}));
  }();
  return shape;
}

}  // namespace paring::serve::wire
