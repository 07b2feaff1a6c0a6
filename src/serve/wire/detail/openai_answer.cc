// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/openai_answer.h"

#include <algorithm>
#include <limits>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/openai_chat.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {
namespace {

constexpr double kMillisecondsPerSecond = 1000;

// 0 where nothing was done.
double per(double amount, double count) { return count > 0 ? amount / count : 0; }

void append_phase(std::string& out, const char* name, std::size_t tokens, double seconds) {
  const double ms = seconds * kMillisecondsPerSecond;
  const auto count = static_cast<double>(tokens);
  append(out, '"', name, "_n\":", tokens, ",\"", name, "_ms\":", ms, ",\"", name,
         "_per_token_ms\":", per(ms, count), ",\"", name, "_per_second\":", per(count, seconds));
}

Shape count() { return integer(0, kTokensMax); }
Shape measure() { return number(0, std::numeric_limits<double>::max()); }

}  // namespace

std::string openai_head(const AnswerLabel& label, const char* prefix, const char* object) {
  std::string head;
  append(head, "{\"id\":", json_string(prefix + label.id), ",\"object\":\"", object,
         "\",\"created\":", label.created, ",\"model\":", json_string(label.model),
         ",\"system_fingerprint\":", json_string(label.variant));
  return head;
}

void append_openai_usage(std::string& out, const AnswerUsage& usage) {
  append(out, "{\"prompt_tokens\":", usage.prompt_tokens,
         ",\"completion_tokens\":", usage.completion_tokens,
         ",\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens,
         ",\"prompt_tokens_details\":{\"cached_tokens\":", usage.cached_tokens,
         "},\"completion_tokens_details\":{\"reasoning_tokens\":", usage.reasoning_tokens, '}');
  if (usage.truncated_tokens > 0) append(out, ",\"truncated_tokens\":", usage.truncated_tokens);
  out += '}';
}

void append_timings(std::string& out, const AnswerUsage& usage) {
  const std::size_t computed =
      usage.prompt_tokens - std::min(usage.prompt_tokens, usage.cached_tokens);
  append(out, "{\"cache_n\":", usage.cached_tokens,
         ",\"queue_ms\":", usage.queue_seconds * kMillisecondsPerSecond, ',');
  append_phase(out, "prompt", computed, usage.prefill_seconds);
  out += ',';
  append_phase(out, "predicted", usage.completion_tokens, usage.decode_seconds);
  if (usage.drafted_tokens > 0) {
    append(out, ",\"draft_n\":", usage.drafted_tokens,
           ",\"draft_n_accepted\":", usage.accepted_tokens);
  }
  out += '}';
}

void append_openai_error(std::string& out, const ApiError& error) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? std::string("null") : json_string(text);
  };
  append(out, "{\"error\":{\"message\":", json_string(error.message), ",\"type\":\"",
         openai_error_type(error.status), "\",\"param\":", text_or_null(error.param),
         ",\"code\":", text_or_null(error.code), "}}");
}

std::string openai_error_body(const ApiError& error) {
  std::string body;
  append_openai_error(body, error);
  return body;
}

float shown_logprob(float logprob) noexcept { return std::max(logprob, -9999.0F); }

void append_bytes(std::string& out, const std::string& bytes) {
  out += '[';
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    append_integer(out, std::uint64_t{static_cast<unsigned char>(bytes[i])});
  }
  out += ']';
}

void append_token_details(std::string& out, const std::vector<TokenDetail>& tokens) {
  const auto append_token = [&out](const TokenText& token) {
    append(out, "\"token\":", json_string(token.bytes),
           ",\"logprob\":", shown_logprob(token.logprob), ",\"bytes\":");
    append_bytes(out, token.bytes);
  };
  out += '[';
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    out += i > 0 ? ",{" : "{";
    append_token(tokens[i].token);
    out += ",\"top_logprobs\":[";
    for (std::size_t j = 0; j < tokens[i].top.size(); ++j) {
      out += j > 0 ? ",{" : "{";
      append_token(tokens[i].top[j]);
      out += '}';
    }
    out += "]}";
  }
  out += ']';
}

const char* openai_finish_reason(const AnswerEnding& ending) noexcept {
  switch (ending.end) {
    case AnswerEnd::kStop:
    case AnswerEnd::kStopString:
      return "stop";
    case AnswerEnd::kToolCalls:
      return "tool_calls";
    case AnswerEnd::kLength:
    case AnswerEnd::kCancelled:  // it is not whole either
      break;
  }
  return "length";
}

const ApiError* first_error(const std::vector<AnswerChoice>& choices) noexcept {
  for (const AnswerChoice& choice : choices) {
    if (choice.ending.error) return &*choice.ending.error;
  }
  return nullptr;
}

std::vector<Field> openai_head_fields(const char* object) {
  return {required("id", text(), "Of the answer."),
          required("object", name_of({object}), "The kind of object."),
          required("created", integer(0, std::numeric_limits<std::int64_t>::max()),
                   "Seconds since 1970."),
          required("model", text(), "As the request named it."),
          required("system_fingerprint", text(), "What computed it: the variant.")};
}

Shape usage_shape() {
  return object(
      {required("prompt_tokens", count(), "Of the prompt, once for all choices."),
       required("completion_tokens", count(), "Of all choices."),
       required("total_tokens", count(), "Both."),
       required("prompt_tokens_details",
                object({required("cached_tokens", count(), "Not computed again.")}),
                "Of the prompt."),
       required("completion_tokens_details",
                object({required("reasoning_tokens", count(), "In reasoning sections.")}),
                "Of the choices."),
       field("truncated_tokens", count(), "Left out of the prompt, as the request allowed.")});
}

Shape timings_shape() {
  return object({required("cache_n", count(), "Tokens of the prompt that were not computed."),
                 required("queue_ms", measure(), "Waited."),
                 required("prompt_n", count(), "Tokens of the prompt that were computed."),
                 required("prompt_ms", measure(), "The time that took."),
                 required("prompt_per_token_ms", measure(), "For each."),
                 required("prompt_per_second", measure(), "Tokens a second."),
                 required("predicted_n", count(), "Tokens of the answer."),
                 required("predicted_ms", measure(), "The time they took."),
                 required("predicted_per_token_ms", measure(), "For each."),
                 required("predicted_per_second", measure(), "Tokens a second."),
                 field("draft_n", count(), "Tokens that were guessed and checked."),
                 field("draft_n_accepted", count(), "Of those, right.")});
}

Shape openai_error_shape() {
  return object({required("error",
                          object({required("message", text(), "What is wrong, and what to do."),
                                  required("type", text(), "Its class, by the status."),
                                  field("param", text(), "The field that is wrong."),
                                  field("code", text(), "What is wrong, for programs.")}),
                          "The error.")});
}

}  // namespace paring::serve::wire
