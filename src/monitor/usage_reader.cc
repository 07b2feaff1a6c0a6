// SPDX-License-Identifier: Apache-2.0
#include "monitor/usage_reader.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

namespace paring::monitor {

namespace {

constexpr std::int64_t kTokensMax = 1'000'000'000'000;
constexpr std::string_view kData = "data:";
constexpr std::string_view kDone = "[DONE]";

enum class Fact : std::uint8_t {
  kModel,
  kEnd,
  kStatus,
  kType,
  kText,
  kPromptWhole,
  kPrompt,
  kCompletion,
  kCached,
  kReadBeside,
  kMadeBeside,
  kReasoning,
  kAccepted,
  kRejected,
  kErrorCode,
  kErrorType,
};

// The one list of what is known of answers.
const std::unordered_map<std::string_view, Fact>& facts() {
  static const std::unordered_map<std::string_view, Fact> known = {
      {"model", Fact::kModel},
      {"message.model", Fact::kModel},
      {"response.model", Fact::kModel},
      {"choices.finish_reason", Fact::kEnd},
      {"stop_reason", Fact::kEnd},
      {"delta.stop_reason", Fact::kEnd},
      {"done_reason", Fact::kEnd},
      {"incomplete_details.reason", Fact::kEnd},
      {"response.incomplete_details.reason", Fact::kEnd},
      {"status", Fact::kStatus},
      {"response.status", Fact::kStatus},
      {"type", Fact::kType},
      // OpenAI's chat and completions, with the names that engines have for thoughts.
      {"choices.delta.content", Fact::kText},
      {"choices.delta.content.text", Fact::kText},
      {"choices.delta.reasoning_content", Fact::kText},
      {"choices.delta.reasoning", Fact::kText},
      {"choices.delta.refusal", Fact::kText},
      {"choices.delta.tool_calls.function.name", Fact::kText},
      {"choices.delta.tool_calls.function.arguments", Fact::kText},
      {"choices.delta.function_call.arguments", Fact::kText},
      {"choices.text", Fact::kText},
      {"delta", Fact::kText},  // OpenAI's responses
      {"delta.text", Fact::kText},
      {"delta.thinking", Fact::kText},
      {"delta.partial_json", Fact::kText},
      {"message.content", Fact::kText},  // Ollama's
      {"message.thinking", Fact::kText},
      {"response", Fact::kText},
      {"usage.prompt_tokens", Fact::kPromptWhole},
      {"usage.input_tokens", Fact::kPrompt},
      {"message.usage.input_tokens", Fact::kPrompt},
      {"response.usage.input_tokens", Fact::kPrompt},
      {"prompt_eval_count", Fact::kPrompt},
      {"usage.completion_tokens", Fact::kCompletion},
      {"usage.output_tokens", Fact::kCompletion},
      {"message.usage.output_tokens", Fact::kCompletion},
      {"response.usage.output_tokens", Fact::kCompletion},
      {"eval_count", Fact::kCompletion},
      {"usage.prompt_tokens_details.cached_tokens", Fact::kCached},
      {"usage.input_tokens_details.cached_tokens", Fact::kCached},
      {"response.usage.input_tokens_details.cached_tokens", Fact::kCached},
      {"usage.prompt_cache_hit_tokens", Fact::kCached},
      {"usage.cache_read_input_tokens", Fact::kReadBeside},
      {"message.usage.cache_read_input_tokens", Fact::kReadBeside},
      {"usage.cache_creation_input_tokens", Fact::kMadeBeside},
      {"message.usage.cache_creation_input_tokens", Fact::kMadeBeside},
      {"usage.completion_tokens_details.reasoning_tokens", Fact::kReasoning},
      {"usage.output_tokens_details.reasoning_tokens", Fact::kReasoning},
      {"response.usage.output_tokens_details.reasoning_tokens", Fact::kReasoning},
      {"usage.completion_tokens_details.accepted_prediction_tokens", Fact::kAccepted},
      {"usage.completion_tokens_details.rejected_prediction_tokens", Fact::kRejected},
      {"error", Fact::kErrorType},  // a text
      {"error.code", Fact::kErrorCode},
      {"error.type", Fact::kErrorType},
      {"response.error.code", Fact::kErrorCode},
  };
  return known;
}

std::optional<std::int64_t> tokens_in(std::string_view text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0 || value > kTokensMax) return std::nullopt;
  return value;
}

class AskedReader : public JsonScan::Listener {
 public:
  void on_value(std::string_view path, JsonScan::Kind kind, std::string_view text) override {
    if (kind != JsonScan::Kind::kString) return;
    if (path == "model") asked.model = text;
    if (path == "user" || path == "metadata.user_id") asked.user = text;
  }
  AskedFor asked;
};

}  // namespace

AskedFor read_asked_for(std::string_view body) {
  AskedReader reader;
  JsonScan scan(reader);
  scan.read(body);
  return std::move(reader.asked);
}

std::optional<UsageReader::Form> UsageReader::form_of(std::string_view content_type) noexcept {
  if (content_type.starts_with("text/event-stream")) return Form::kEvents;
  if (content_type.starts_with("application/x-ndjson")) return Form::kLines;
  if (content_type.starts_with("application/json")) return Form::kJson;
  return std::nullopt;
}

std::size_t UsageReader::read(std::string_view bytes) {
  new_chunks_ = 0;
  switch (form_) {
    case Form::kJson:
      scan_.read(bytes);
      break;
    case Form::kEvents:
      read_events(bytes);
      break;
    case Form::kLines:
      read_lines(bytes);
      break;
  }
  return new_chunks_;
}

void UsageReader::finish() {
  if (form_ != Form::kJson) {
    end_event();
    return;
  }
  scan_.finish();
  has_ended_ = scan_.is_whole();
}

void UsageReader::read_events(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const char c = bytes[at];
    if (c == '\r' || c == '\n') {
      const bool is_second = c == '\n' && was_return_;
      was_return_ = c == '\r';
      ++at;
      if (is_second) continue;
      if (line_ == Line::kBegin && line_bytes_ == 0) end_event();
      if (line_ == Line::kData) scan_.read("\n");
      line_ = Line::kBegin;
      line_bytes_ = 0;
      continue;
    }
    was_return_ = false;
    if (line_ == Line::kBegin) {
      if (line_bytes_ < kData.size() && c == kData[line_bytes_]) {
        if (++line_bytes_ == kData.size()) line_ = Line::kData;
        ++at;
        continue;
      }
      line_ = Line::kSkip;
    }
    const std::size_t end = std::min(bytes.find_first_of("\r\n", at), bytes.size());
    if (line_ == Line::kData) {
      const std::string_view data = bytes.substr(at, end - at);
      has_data_ = true;
      if (word_.size() <= kDone.size() + 1) word_ += data.substr(0, kDone.size() + 2);
      scan_.read(data);
    }
    at = end;
  }
}

void UsageReader::read_lines(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    if (end > at) {
      has_data_ = true;
      scan_.read(bytes.substr(at, end - at));
    }
    if (end < bytes.size()) end_event();
    at = end + 1;
  }
}

void UsageReader::end_event() {
  if (!has_data_) return;
  scan_.finish();
  const std::size_t begin = word_.find_first_not_of(' ');
  if (begin != std::string::npos && std::string_view(word_).substr(begin) == kDone) {
    has_ended_ = true;
  }
  if (has_text_) {
    ++chunks_;
    ++new_chunks_;
  }
  has_text_ = false;
  has_data_ = false;
  word_.clear();
  scan_.reset();
}

void UsageReader::on_value(std::string_view path, JsonScan::Kind kind, std::string_view text) {
  const auto found = facts().find(path);
  if (found == facts().end()) return;
  const bool is_text = kind == JsonScan::Kind::kString;
  const auto count_to = [&](std::int64_t& count) {
    if (const auto tokens = tokens_in(text)) count = *tokens;
  };
  switch (found->second) {
    case Fact::kModel:
      if (is_text && model_.empty()) model_ = text;
      break;
    case Fact::kEnd:
      if (is_text) set_end(text);
      break;
    case Fact::kStatus:
      // Of OpenAI's responses; others call other things a status.
      if (is_text && (text == "completed" || text == "failed" || text == "cancelled" ||
                      (text == "incomplete" && end_.empty()))) {
        set_end(text);
      }
      break;
    case Fact::kType:
      if (text == "message_stop" || text == "response.completed" || text == "response.incomplete" ||
          text == "response.failed") {
        has_ended_ = true;
      }
      break;
    case Fact::kText:
      has_text_ = has_text_ || (is_text && !text.empty());
      break;
    case Fact::kPromptWhole:
      is_prompt_whole_ = true;
      [[fallthrough]];
    case Fact::kPrompt:
      if (const auto tokens = tokens_in(text)) prompt_ = tokens;
      break;
    case Fact::kCompletion:
      if (const auto tokens = tokens_in(text)) completion_ = tokens;
      break;
    case Fact::kCached:
      is_prompt_whole_ = true;
      count_to(cached_);
      break;
    case Fact::kReadBeside:
      count_to(read_beside_);
      break;
    case Fact::kMadeBeside:
      count_to(made_beside_);
      break;
    case Fact::kReasoning:
      count_to(reasoning_);
      break;
    case Fact::kAccepted:
      count_to(accepted_);
      break;
    case Fact::kRejected:
      count_to(rejected_);
      break;
    case Fact::kErrorCode:
      if (text != "null") set_error(text, /*is_type=*/false);
      break;
    case Fact::kErrorType:
      if (is_text) set_error(text, /*is_type=*/true);
      break;
  }
}

void UsageReader::set_end(std::string_view reason) {
  static const std::unordered_map<std::string_view, const char*> known = {
      {"stop", "stop"},
      {"end_turn", "stop"},
      {"stop_sequence", "stop"},
      {"pause_turn", "stop"},
      {"completed", "stop"},
      {"length", "length"},
      {"max_tokens", "length"},
      {"max_output_tokens", "length"},
      {"model_context_window_exceeded", "length"},
      {"incomplete", "length"},
      {"tool_calls", "tool_calls"},
      {"tool_use", "tool_calls"},
      {"function_call", "tool_calls"},
      {"failed", "error"},
      {"cancelled", "cancelled"},
  };
  const auto found = known.find(reason);
  end_ = found == known.end() ? std::string(reason) : found->second;
}

void UsageReader::set_error(std::string_view code, bool is_type) {
  if (code.empty()) return;
  if (is_type && !error_code_.empty() && !is_error_type_) return;
  error_code_ = code;
  is_error_type_ = is_type;
}

store::TrafficTokens UsageReader::tokens() const {
  const std::int64_t beside = is_prompt_whole_ ? 0 : read_beside_ + made_beside_;
  const std::int64_t prompt = prompt_.value_or(0) + beside;
  const std::int64_t cached = std::min(prompt, is_prompt_whole_ ? cached_ : read_beside_);
  const std::int64_t completion = completion_.value_or(chunks_);
  const std::int64_t reasoning = std::min(reasoning_, completion);
  return {.prompt_fresh = prompt - cached,
          .prompt_cached = cached,
          .answer_visible = completion - reasoning,
          .answer_reasoning = reasoning,
          .drafted = accepted_ + rejected_,
          .accepted = accepted_};
}

}  // namespace paring::monitor
