// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/anthropic_writer.h"

#include <algorithm>
#include <utility>

#include "serve/wire/anthropic_messages.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

const char* stop_reason(const AnswerEnding& ending) noexcept {
  switch (ending.end) {
    case AnswerEnd::kStop:
      return "end_turn";
    case AnswerEnd::kStopString:
      return "stop_sequence";
    case AnswerEnd::kToolCalls:
      return "tool_use";
    case AnswerEnd::kLength:
    case AnswerEnd::kCancelled:  // it is not whole either
      break;
  }
  return "max_tokens";
}

// "stop_reason": ..., "stop_sequence": ...
void append_stop(std::string& out, const AnswerEnding& ending) {
  append(out, "\"stop_reason\":\"", stop_reason(ending), "\",\"stop_sequence\":");
  if (ending.end == AnswerEnd::kStopString) {
    append_json_string(out, ending.stop_string);
  } else {
    out += "null";
  }
}

// Tokens from the cache are counted apart from those of the input.
void append_usage(std::string& out, const AnswerUsage& usage) {
  const std::size_t cached = std::min(usage.cached_tokens, usage.prompt_tokens);
  append(out, "{\"input_tokens\":", usage.prompt_tokens - cached,
         ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":", cached,
         ",\"output_tokens\":", usage.completion_tokens, '}');
}

// Arguments are made by a model; what is no object is kept as text.
void append_input(std::string& out, const std::string& arguments) {
  ApiResult<Json> input = read_json_object(arguments);
  if (input) {
    out += json_of(*input);
  } else if (arguments.empty()) {
    out += "{}";
  } else {
    append(out, "{\"arguments\":", json_string(arguments), '}');
  }
}

class AnthropicWriter : public AnswerWriter {
 public:
  explicit AnthropicWriter(const AnswerLabel& label) {
    append(head_, "{\"id\":", json_string("msg_" + label.id),
           ",\"type\":\"message\",\"role\":\"assistant\",\"model\":", json_string(label.model),
           ",\"content\":[");
  }

  const char* content_type(bool streams) const override {
    return streams ? "text/event-stream" : "application/json";
  }

  std::string begin(std::size_t /*choices*/) override {
    std::string out;
    // The prompt's tokens are told at the end, when it is known how many came from the cache.
    append(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":", head_,
           "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    append_usage(out, {});
    return out + "}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n";
  }

  std::string delta(std::size_t /*choice*/, const AnswerDelta& delta) override {
    std::string out;
    if (is_over_) return out;
    if (!delta.reasoning.empty()) {
      open(out, Block::kThinking, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
      piece(out, "thinking_delta", "thinking", delta.reasoning);
    }
    if (!delta.content.empty()) {
      open(out, Block::kText, "{\"type\":\"text\",\"text\":\"\"}");
      piece(out, "text_delta", "text", delta.content);
    }
    for (const ToolCallDelta& call : delta.tool_calls) add_call(out, call);
    return out;
  }

  std::string end(std::size_t /*choice*/, const AnswerEnding& ending) override {
    if (is_over_) return {};
    if (ending.error) return fail(*ending.error);
    std::string out;
    close(out);
    ending_ = ending;
    return out;
  }

  std::string finish(const AnswerUsage& usage) override {
    if (is_over_) return {};
    is_over_ = true;
    std::string out = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{";
    append_stop(out, ending_);
    out += "},\"usage\":";
    append_usage(out, usage);
    return out + "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  }

  std::string fail(const ApiError& error) override {
    if (is_over_) return {};
    is_over_ = true;
    return "event: error\ndata: " + anthropic_error_body(error) + "\n\n";
  }

  std::string whole(const std::vector<AnswerChoice>& choices, const AnswerUsage& usage) override {
    if (const ApiError* error = first_error(choices)) return anthropic_error_body(*error);
    std::string out = head_;
    const AnswerChoice none;
    const AnswerChoice& choice = choices.empty() ? none : choices.front();
    const char* separator = "";
    if (!choice.reasoning.empty()) {
      append(out, std::exchange(separator, ","),
             "{\"type\":\"thinking\",\"thinking\":", json_string(choice.reasoning),
             ",\"signature\":\"\"}");
    }
    if (!choice.content.empty()) {
      append(out, std::exchange(separator, ","),
             "{\"type\":\"text\",\"text\":", json_string(choice.content), '}');
    }
    for (const ToolCallDelta& call : choice.tool_calls) {
      append(out, std::exchange(separator, ","),
             "{\"type\":\"tool_use\",\"id\":", json_string(call.id),
             ",\"name\":", json_string(call.name), ",\"input\":");
      append_input(out, call.arguments);
      out += '}';
    }
    out += "],";
    append_stop(out, choice.ending);
    out += ",\"usage\":";
    append_usage(out, usage);
    return out + '}';
  }

 private:
  enum class Block : std::uint8_t { kNone, kThinking, kText, kCall };

  // Ends the block that is open, unless it is such a one, and begins it.
  void open(std::string& out, Block block, const std::string& begin) {
    if (block_ == block) return;
    close(out);
    block_ = block;
    append(out,
           "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":", index_,
           ",\"content_block\":", begin, "}\n\n");
  }

  void close(std::string& out) {
    if (block_ == Block::kNone) return;
    block_ = Block::kNone;
    append(out,
           "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":", index_++,
           "}\n\n");
  }

  void piece(std::string& out, const char* type, const char* name, const std::string& text) const {
    append(out,
           "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":", index_,
           ",\"delta\":{\"type\":\"", type, "\",\"", name, "\":");
    append_json_string(out, text);
    out += "}}\n\n";
  }

  void add_call(std::string& out, const ToolCallDelta& call) {
    if (block_ == Block::kCall && call.index != call_) close(out);
    call_ = call.index;
    std::string begin;
    append(begin, "{\"type\":\"tool_use\",\"id\":", json_string(call.id),
           ",\"name\":", json_string(call.name), ",\"input\":{}}");
    open(out, Block::kCall, begin);
    if (!call.arguments.empty()) piece(out, "input_json_delta", "partial_json", call.arguments);
  }

  std::string head_;  // of the message, up to its content
  Block block_ = Block::kNone;
  std::size_t index_ = 0;  // of the block
  std::size_t call_ = 0;   // of the call that the block is of
  AnswerEnding ending_;
  bool is_over_ = false;
};

Shape usage_of_messages() {
  const Shape count = integer(0, kTokensMax);
  return object({required("input_tokens", count, "Of the prompt, without those cached."),
                 required("cache_creation_input_tokens", count, "Always 0."),
                 required("cache_read_input_tokens", count, "Of the prompt, not computed again."),
                 required("output_tokens", count, "Of the answer.")});
}

}  // namespace

std::unique_ptr<AnswerWriter> anthropic_writer(const AnswerLabel& label) {
  return std::make_unique<AnthropicWriter>(label);
}

std::string anthropic_count_answer(std::size_t input_tokens) {
  return "{\"input_tokens\":" + std::to_string(input_tokens) + '}';
}

std::string anthropic_error_body(const ApiError& error) {
  std::string body;
  const std::string message = error.param.empty() || error.message.starts_with(error.param)
                                  ? error.message
                                  : error.param + ": " + error.message;
  append(body, "{\"type\":\"error\",\"error\":{\"type\":\"", anthropic_error_type(error.status),
         "\",\"message\":", json_string(message), "}}");
  return body;
}

const Shape& anthropic_messages_answer() {
  static const Shape shape = [] {
    const auto type = [](const char* name) {
      return required("type", name_of({name}), "The kind of block.");
    };
    const Shape block = one_of_by(
        "type", {object({type("text"), required("text", text(), "The answer.")}),
                 object({type("thinking"), required("thinking", text(), "What came first."),
                         required("signature", text(), "Empty.")}),
                 object({type("tool_use"), required("id", text(), "For the result."),
                         required("name", text(), "The tool."),
                         required("input", open_object(), "Its arguments.")})});
    return object(
        {required("id", text(), "Of the answer."),
         required("type", name_of({"message"}), "The kind of object."),
         required("role", name_of({"assistant"}), "The model."),
         required("model", text(), "As the request named it."),
         required("content", list(block, 0, kBodyValuesMax), "The answer."),
         field("stop_reason", name_of({"end_turn", "max_tokens", "stop_sequence", "tool_use"}),
               "Why it ends."),
         field("stop_sequence", text(), "The one that ended it."),
         required("usage", usage_of_messages(), "What it cost.")});
  }();
  return shape;
}

const Shape& anthropic_count_answer_shape() {
  static const Shape shape =
      object({required("input_tokens", integer(0, kTokensMax), "Of the prompt.")});
  return shape;
}

const Shape& anthropic_error_shape() {
  static const Shape shape =
      object({required("type", name_of({"error"}), "The kind of object."),
              required("error",
                       object({required("type", text(), "Its class, by the status."),
                               required("message", text(), "What is wrong, and what to do.")}),
                       "The error.")});
  return shape;
}

}  // namespace paring::serve::wire
