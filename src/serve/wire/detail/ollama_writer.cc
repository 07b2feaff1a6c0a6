// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/ollama_writer.h"

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/ollama.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;

std::int64_t nanoseconds(double seconds) {
  return static_cast<std::int64_t>(seconds * kNanosecondsPerSecond);
}

// Arguments are made by a model; what is no object is kept as text.
void append_call(std::string& out, const ToolCallDelta& call) {
  ApiResult<Json> arguments = read_json_object(call.arguments);
  append(out, "{\"id\":", json_string(call.id), ",\"function\":{\"index\":", call.index,
         ",\"name\":", json_string(call.name), ",\"arguments\":");
  if (arguments) {
    out += json_of(*arguments);
  } else if (call.arguments.empty()) {
    out += "{}";
  } else {
    append(out, "{\"arguments\":", json_string(call.arguments), '}');
  }
  out += "}}";
}

class OllamaWriter : public AnswerWriter {
 public:
  OllamaWriter(const AnswerLabel& label, const OllamaStyle& style) : style_(style) {
    append(head_, "{\"model\":", json_string(label.model),
           ",\"created_at\":", json_string(format_utc(static_cast<double>(label.created))), ',');
  }

  const char* content_type(bool streams) const override {
    return streams ? "application/x-ndjson" : "application/json";
  }

  std::string begin(std::size_t /*choices*/) override { return {}; }

  std::string delta(std::size_t /*choice*/, const AnswerDelta& delta) override {
    if (is_over_) return {};
    std::vector<ToolCallDelta> calls;
    for (const ToolCallDelta& call : delta.tool_calls) add_call(call, calls);
    const bool is_empty =
        delta.content.empty() && delta.reasoning.empty() && calls.empty() && delta.tokens.empty();
    if (is_empty) return {};
    return line(delta.content, delta.reasoning, calls, delta.tokens);
  }

  std::string end(std::size_t /*choice*/, const AnswerEnding& ending) override {
    if (is_over_) return {};
    if (ending.error) return fail(*ending.error);
    ending_ = ending;
    if (!has_call_) return {};
    has_call_ = false;
    return line("", "", {std::exchange(call_, {})}, {});
  }

  std::string finish(const AnswerUsage& usage) override {
    if (is_over_) return {};
    is_over_ = true;
    std::string out = head_;
    append_answer(out, "", "", {}, {});
    append_end(out, ending_, usage);
    return out + "}\n";
  }

  std::string fail(const ApiError& error) override {
    if (is_over_) return {};
    is_over_ = true;
    return ollama_error_body(error) + "\n";
  }

  std::string whole(const std::vector<AnswerChoice>& choices, const AnswerUsage& usage) override {
    if (const ApiError* error = first_error(choices)) return ollama_error_body(*error);
    const AnswerChoice none;
    const AnswerChoice& choice = choices.empty() ? none : choices.front();
    std::string out = head_;
    append_answer(out, choice.content, choice.reasoning, choice.tool_calls, choice.tokens);
    append_end(out, choice.ending, usage);
    return out + '}';
  }

 private:
  // Calls are sent whole: the one that is being made is kept until the next begins.
  void add_call(const ToolCallDelta& call, std::vector<ToolCallDelta>& done) {
    if (has_call_ && call.index != call_.index) done.push_back(std::exchange(call_, {}));
    if (!has_call_ || !call.id.empty() || !call.name.empty()) {
      call_.index = call.index;
      call_.id = call.id;
      call_.name = call.name;
    }
    has_call_ = true;
    call_.arguments += call.arguments;
  }

  std::string line(const std::string& content, const std::string& thinking,
                   const std::vector<ToolCallDelta>& calls,
                   const std::vector<TokenDetail>& tokens) const {
    std::string out = head_;
    append_answer(out, content, thinking, calls, tokens);
    return out + ",\"done\":false}\n";
  }

  void append_answer(std::string& out, const std::string& content, const std::string& thinking,
                     const std::vector<ToolCallDelta>& calls,
                     const std::vector<TokenDetail>& tokens) const {
    out += style_.is_chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"response\":";
    append_json_string(out, content);
    if (!thinking.empty()) append(out, ",\"thinking\":", json_string(thinking));
    if (!calls.empty()) {
      out += ",\"tool_calls\":[";
      for (std::size_t i = 0; i < calls.size(); ++i) {
        if (i > 0) out += ',';
        append_call(out, calls[i]);
      }
      out += ']';
    }
    if (style_.is_chat) out += '}';
    if (style_.has_logprobs && !tokens.empty()) {
      out += ",\"logprobs\":";
      append_token_details(out, tokens);
    }
  }

  static void append_end(std::string& out, const AnswerEnding& ending, const AnswerUsage& usage) {
    const bool is_cut = ending.end == AnswerEnd::kLength || ending.end == AnswerEnd::kCancelled;
    const double total = usage.queue_seconds + usage.prefill_seconds + usage.decode_seconds;
    append(out, ",\"done\":true,\"done_reason\":\"", is_cut ? "length" : "stop",
           "\",\"total_duration\":", nanoseconds(total),
           ",\"load_duration\":0,\"prompt_eval_count\":", usage.prompt_tokens,
           ",\"prompt_eval_duration\":", nanoseconds(usage.prefill_seconds),
           ",\"eval_count\":", usage.completion_tokens,
           ",\"eval_duration\":", nanoseconds(usage.decode_seconds));
  }

  OllamaStyle style_;
  std::string head_;
  ToolCallDelta call_;  // that is being made
  bool has_call_ = false;
  AnswerEnding ending_;
  bool is_over_ = false;
};

Shape answer_shape(bool is_chat) {
  const Shape count = integer(0, std::numeric_limits<std::int64_t>::max());
  const Shape call =
      object({required("id", text(), "Of the call."),
              required("function",
                       object({required("index", integer(0, kTokensMax), "Of the call."),
                               required("name", text(), "The function."),
                               required("arguments", open_object(), "Its arguments.")}),
                       "What to call.")});
  const Field thinking = field("thinking", text(), "What the model thought.");
  std::vector<Field> fields = {required("model", text(), "As the request named it."),
                               required("created_at", text(), "When.")};
  if (is_chat) {
    const Shape message = object({required("role", name_of({"assistant"}), "The model."),
                                  required("content", text(), "The answer."), thinking,
                                  field("tool_calls", list(call, 1, kToolsMax), "Its calls.")});
    fields.push_back(required("message", message, "The answer."));
  } else {
    fields.push_back(required("response", text(), "The answer."));
    fields.push_back(thinking);
  }
  return object(joined(
      std::move(fields),
      {field("logprobs", any_json(), "If asked for."),
       required("done", boolean(), "Whether it is the last."),
       field("done_reason", name_of({"stop", "length"}), "Why it ends."),
       field("total_duration", count, "Nanoseconds."), field("load_duration", count, "Always 0."),
       field("prompt_eval_count", count, "Tokens of the prompt."),
       field("prompt_eval_duration", count, "Nanoseconds."),
       field("eval_count", count, "Tokens of the answer."),
       field("eval_duration", count, "Nanoseconds.")}));
}

}  // namespace

std::unique_ptr<AnswerWriter> ollama_writer(const AnswerLabel& label, const OllamaStyle& style) {
  return std::make_unique<OllamaWriter>(label, style);
}

const Shape& ollama_chat_answer() {
  static const Shape shape = answer_shape(true);
  return shape;
}

const Shape& ollama_generate_answer() {
  static const Shape shape = answer_shape(false);
  return shape;
}

const Shape& ollama_error_shape() {
  static const Shape shape = object({required("error", text(), "What is wrong, and what to do.")});
  return shape;
}

}  // namespace paring::serve::wire
