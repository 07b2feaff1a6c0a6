// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/openai_responses_writer.h"

#include <limits>
#include <utility>
#include <vector>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/openai_responses.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

// One entry of a response's "output".
struct Item {
  enum class Kind : std::uint8_t { kReasoning, kMessage, kCall };
  Kind kind = Kind::kMessage;
  std::string id;
  std::string text;  // what was thought or said, or the arguments
  std::string call_id;
  std::string name;
  std::size_t call = 0;  // its index in the answer
  std::vector<TokenDetail> tokens;
};

void append_token(std::string& out, const TokenText& token) {
  append(out, "{\"token\":", json_string(token.bytes), ",\"bytes\":");
  append_bytes(out, token.bytes);
  append(out, ",\"logprob\":", shown_logprob(token.logprob));
}

void append_logprobs(std::string& out, const std::vector<TokenDetail>& tokens) {
  out += '[';
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_token(out, tokens[i].token);
    out += ",\"top_logprobs\":[";
    for (std::size_t j = 0; j < tokens[i].top.size(); ++j) {
      if (j > 0) out += ',';
      append_token(out, tokens[i].top[j]);
      out += '}';
    }
    out += "]}";
  }
  out += ']';
}

// The only part of a message or of thoughts.
void append_part(std::string& out, const Item& item) {
  if (item.kind == Item::Kind::kReasoning) {
    append(out, "{\"type\":\"reasoning_text\",\"text\":", json_string(item.text), '}');
    return;
  }
  append(out, "{\"type\":\"output_text\",\"text\":", json_string(item.text),
         ",\"annotations\":[],\"logprobs\":");
  append_logprobs(out, item.tokens);
  out += '}';
}

// `status`: in_progress, when its content is not shown yet, completed or incomplete.
void append_item(std::string& out, const Item& item, const std::string& status) {
  const bool has_begun = status != "in_progress";
  append(out, "{\"id\":", json_string(item.id), ",\"status\":\"", status, '"');
  if (item.kind == Item::Kind::kCall) {
    append(out, ",\"type\":\"function_call\",\"call_id\":", json_string(item.call_id),
           ",\"name\":", json_string(item.name),
           ",\"arguments\":", has_begun ? json_string(item.text) : "\"\"", '}');
    return;
  }
  out += item.kind == Item::Kind::kMessage
             ? ",\"type\":\"message\",\"role\":\"assistant\",\"content\":["
             : ",\"type\":\"reasoning\",\"summary\":[],\"content\":[";
  if (has_begun) append_part(out, item);
  out += "]}";
}

void append_usage(std::string& out, const AnswerUsage& usage) {
  append(out, "{\"input_tokens\":", usage.prompt_tokens,
         ",\"input_tokens_details\":{\"cached_tokens\":", usage.cached_tokens,
         ",\"cache_write_tokens\":0},\"output_tokens\":", usage.completion_tokens,
         ",\"output_tokens_details\":{\"reasoning_tokens\":", usage.reasoning_tokens,
         "},\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens);
  if (usage.truncated_tokens > 0) append(out, ",\"truncated_tokens\":", usage.truncated_tokens);
  out += '}';
}

bool is_cut(const AnswerEnding& ending) {
  return ending.end == AnswerEnd::kLength || ending.end == AnswerEnd::kCancelled;
}

class OpenAiResponsesWriter : public AnswerWriter {
 public:
  OpenAiResponsesWriter(const AnswerLabel& label, OpenAiResponsesStyle style)
      : label_(label), style_(std::move(style)) {}

  const char* content_type(bool streams) const override {
    return streams ? "text/event-stream" : "application/json";
  }

  std::string begin(std::size_t /*choices*/) override {
    std::string response;
    append_response(response, "in_progress", nullptr, nullptr);
    std::string out;
    for (const char* type : {"response.created", "response.in_progress"}) {
      event(out, type);
      append(out, ",\"response\":", response, "}\n\n");
    }
    return out;
  }

  std::string delta(std::size_t /*choice*/, const AnswerDelta& delta) override {
    std::string out;
    if (is_over_) return out;
    if (!delta.reasoning.empty()) {
      open(out, Item::Kind::kReasoning, {});
      add_text(out, "response.reasoning_text.delta", delta.reasoning, nullptr);
    }
    if (!delta.content.empty() ||
        (!delta.tokens.empty() && delta.reasoning.empty() && delta.tool_calls.empty())) {
      open(out, Item::Kind::kMessage, {});
      add_text(out, "response.output_text.delta", delta.content, &delta.tokens);
    }
    for (const ToolCallDelta& call : delta.tool_calls) add_call(out, call);
    return out;
  }

  std::string end(std::size_t /*choice*/, const AnswerEnding& ending) override {
    if (is_over_) return {};
    if (ending.error) return fail(*ending.error);
    ending_ = ending;
    std::string out;
    close(out);
    return out;
  }

  std::string finish(const AnswerUsage& usage) override {
    if (is_over_) return {};
    is_over_ = true;
    std::string out;
    const char* const status = is_cut(ending_) ? "incomplete" : "completed";
    event(out, is_cut(ending_) ? "response.incomplete" : "response.completed");
    out += ",\"response\":";
    append_response(out, status, &usage, nullptr);
    return out + "}\n\n";
  }

  // Two events: clients that follow responses read the first, and the official ones raise an error
  // at the second, since it has a field "error".
  std::string fail(const ApiError& error) override {
    if (is_over_) return {};
    is_over_ = true;
    std::string out;
    event(out, "response.failed");
    out += ",\"response\":";
    append_response(out, "failed", nullptr, &error);
    out += "}\n\n";
    event(out, "error");
    std::string body;
    append_openai_error(body, error);
    append(out, ",\"code\":", error.code.empty() ? "null" : json_string(error.code),
           ",\"message\":", json_string(error.message),
           ",\"param\":", error.param.empty() ? "null" : json_string(error.param), ',');
    // `body` is {"error": {...}}.
    return out + body.substr(1) + "\n\n";
  }

  std::string whole(const std::vector<AnswerChoice>& choices, const AnswerUsage& usage) override {
    std::string out;
    if (const ApiError* error = first_error(choices)) {
      append_openai_error(out, *error);
      return out;
    }
    if (!choices.empty()) take(choices.front());
    append_response(out, is_cut(ending_) ? "incomplete" : "completed", &usage, nullptr);
    return out;
  }

 private:
  void take(const AnswerChoice& choice) {
    ending_ = choice.ending;
    if (!choice.reasoning.empty()) add_item(Item::Kind::kReasoning, {}).text = choice.reasoning;
    if (!choice.content.empty() || choice.tool_calls.empty()) {
      Item& item = add_item(Item::Kind::kMessage, {});
      item.text = choice.content;
      if (style_.has_logprobs) item.tokens = choice.tokens;
    }
    for (const ToolCallDelta& call : choice.tool_calls) {
      add_item(Item::Kind::kCall, call).text = call.arguments;
    }
  }

  Item& add_item(Item::Kind kind, const ToolCallDelta& call) {
    constexpr const char* kPrefixes[] = {"rs_", "msg_", "fc_"};
    Item item;
    item.kind = kind;
    append(item.id, kPrefixes[static_cast<std::size_t>(kind)], label_.id, '_', items_.size());
    item.call_id = call.id;
    item.name = call.name;
    item.call = call.index;
    items_.push_back(std::move(item));
    return items_.back();
  }

  // "event: TYPE\ndata: {"type": ..., "sequence_number": ..."
  void event(std::string& out, const char* type) {
    append(out, "event: ", type, "\ndata: {\"type\":\"", type,
           "\",\"sequence_number\":", sequence_++);
  }

  // An event of the last item; its fields follow.
  void item_event(std::string& out, const char* type) {
    event(out, type);
    append(out, ",\"output_index\":", items_.size() - 1);
  }

  void text_event(std::string& out, const char* type) {
    item_event(out, type);
    append(out, ",\"item_id\":", json_string(items_.back().id));
    if (items_.back().kind != Item::Kind::kCall) out += ",\"content_index\":0";
  }

  // Ends the last item unless it is what goes on, and begins the next.
  void open(std::string& out, Item::Kind kind, const ToolCallDelta& call) {
    const bool goes_on = is_open_ && items_.back().kind == kind &&
                         (kind != Item::Kind::kCall || items_.back().call == call.index);
    if (goes_on) return;
    close(out);
    const Item& item = add_item(kind, call);
    is_open_ = true;
    item_event(out, "response.output_item.added");
    out += ",\"item\":";
    append_item(out, item, "in_progress");
    out += "}\n\n";
    if (kind == Item::Kind::kCall) return;
    text_event(out, "response.content_part.added");
    out += ",\"part\":";
    append_part(out, item);
    out += "}\n\n";
  }

  void close(std::string& out) {
    if (!is_open_) return;
    is_open_ = false;
    const Item& item = items_.back();
    if (item.kind == Item::Kind::kCall) {
      text_event(out, "response.function_call_arguments.done");
      append(out, ",\"name\":", json_string(item.name), ",\"arguments\":", json_string(item.text),
             "}\n\n");
    } else {
      const bool is_message = item.kind == Item::Kind::kMessage;
      text_event(out, is_message ? "response.output_text.done" : "response.reasoning_text.done");
      append(out, ",\"text\":", json_string(item.text));
      if (is_message) {
        out += ",\"logprobs\":";
        append_logprobs(out, item.tokens);
      }
      out += "}\n\n";
      text_event(out, "response.content_part.done");
      out += ",\"part\":";
      append_part(out, item);
      out += "}\n\n";
    }
    item_event(out, "response.output_item.done");
    out += ",\"item\":";
    append_item(out, item, is_cut(ending_) ? "incomplete" : "completed");
    out += "}\n\n";
  }

  void add_text(std::string& out, const char* type, const std::string& text,
                const std::vector<TokenDetail>* tokens) {
    Item& item = items_.back();
    item.text += text;
    text_event(out, type);
    out += ",\"delta\":";
    append_json_string(out, text);
    if (tokens != nullptr) {
      out += ",\"logprobs\":";
      append_logprobs(out, *tokens);
      item.tokens.insert(item.tokens.end(), tokens->begin(), tokens->end());
    }
    out += "}\n\n";
  }

  void add_call(std::string& out, const ToolCallDelta& call) {
    open(out, Item::Kind::kCall, call);
    if (call.arguments.empty()) return;
    add_text(out, "response.function_call_arguments.delta", call.arguments, nullptr);
  }

  void append_response(std::string& out, const char* status, const AnswerUsage* usage,
                       const ApiError* error) const {
    append(out, "{\"id\":", json_string("resp_" + label_.id),
           ",\"object\":\"response\",\"created_at\":", label_.created, ",\"status\":\"", status,
           "\",\"model\":", json_string(label_.model), ",\"error\":");
    if (error == nullptr) {
      out += "null";
    } else {
      append(out, "{\"code\":\"", error->status == 429 ? "rate_limit_exceeded" : "server_error",
             "\",\"message\":", json_string(error->message), '}');
    }
    const bool is_incomplete = std::string_view(status) == "incomplete";
    append(out, ",\"incomplete_details\":",
           is_incomplete ? "{\"reason\":\"max_output_tokens\"}" : "null", ",\"output\":[");
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if (i > 0) out += ',';
      const bool is_last = i + 1 == items_.size();
      const bool is_half = is_last && (is_incomplete || error != nullptr);
      append_item(out, items_[i], is_half ? "incomplete" : "completed");
    }
    append(out, "],", style_.repeated, ",\"system_fingerprint\":", json_string(label_.variant),
           ",\"usage\":");
    if (usage == nullptr) {
      out += "null";
    } else {
      append_usage(out, *usage);
      out += ",\"timings\":";
      append_timings(out, *usage);
    }
    out += '}';
  }

  AnswerLabel label_;
  OpenAiResponsesStyle style_;
  std::vector<Item> items_;
  bool is_open_ = false;  // the last item
  std::size_t sequence_ = 0;
  AnswerEnding ending_;
  bool is_over_ = false;
};

Shape output_item() {
  const auto type = [](const char* name) {
    return required("type", name_of({name}), "The kind of item.");
  };
  const Field id = required("id", text(), "Of the item.");
  const Field status = required("status", name_of({"in_progress", "completed", "incomplete"}),
                                "Whether it is whole.");
  const Shape said =
      object({required("type", name_of({"output_text"}), "The kind of part."),
              required("text", text(), "The answer."), required("annotations", any_json(), "None."),
              required("logprobs", any_json(), "If asked for.")});
  const Shape thought = object({required("type", name_of({"reasoning_text"}), "The kind of part."),
                                required("text", text(), "What came first.")});
  return one_of_by(
      "type",
      {object({type("message"), id, status, required("role", name_of({"assistant"}), "The model."),
               required("content", list(said, 0, 1), "What it says.")}),
       object({type("reasoning"), id, status, required("summary", any_json(), "None."),
               required("content", list(thought, 0, 1), "What it thought.")}),
       object({type("function_call"), id, status, required("call_id", text(), "For the output."),
               required("name", text(), "The function."),
               required("arguments", text(), "A JSON object in a text.")})});
}

}  // namespace

std::unique_ptr<AnswerWriter> openai_responses_writer(const AnswerLabel& label,
                                                      const OpenAiResponsesStyle& style) {
  return std::make_unique<OpenAiResponsesWriter>(label, style);
}

const Shape& openai_responses_answer() {
  static const Shape shape = [] {
    const Shape count = integer(0, kTokensMax);
    const Shape usage = object(
        {required("input_tokens", count, "Of the prompt."),
         required("input_tokens_details",
                  object({required("cached_tokens", count, "Not computed again."),
                          required("cache_write_tokens", count, "Always 0.")}),
                  "Of the prompt."),
         required("output_tokens", count, "Of the answer."),
         required("output_tokens_details",
                  object({required("reasoning_tokens", count, "In reasoning sections.")}),
                  "Of the answer."),
         required("total_tokens", count, "Both."),
         field("truncated_tokens", count, "Left out of the prompt, as the request allowed.")});
    return open_object(
        {required("id", text(), "Of the answer."),
         required("object", name_of({"response"}), "The kind of object."),
         required("created_at", integer(0, std::numeric_limits<std::int64_t>::max()),
                  "Seconds since 1970."),
         required("status", name_of({"in_progress", "completed", "incomplete", "failed"}),
                  "Whether it is whole."),
         required("model", text(), "As the request named it."),
         required("output", list(output_item(), 0, kBodyValuesMax), "The answer."),
         required("parallel_tool_calls", boolean(), "As in the request."),
         required("tool_choice", any_json(), "As in the request."),
         required("tools", any_json(), "As in the request."),
         field("usage", usage, "What it cost."), field("timings", timings_shape(), "How long."),
         required("system_fingerprint", text(), "What computed it: the variant.")});
  }();
  return shape;
}

}  // namespace paring::serve::wire
