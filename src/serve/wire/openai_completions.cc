// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/openai_completions.h"

#include <cmath>
#include <set>
#include <utility>

#include "serve/wire/detail/chat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_answer.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/openai_stream.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

constexpr OpenAiObjects kObjects = {"cmpl-", "text_completion", "text_completion"};

std::vector<Field> completion_fields() {
  const Shape tokens = list(integer(0, kTokenIdMax), 1, kBodyValuesMax);
  const Shape prompt =
      one_of({text(), list(text(), 1, kPromptsMax), tokens, list(tokens, 1, kPromptsMax)});
  return {
      required("prompt", prompt, "Text to go on from, or token ids; also several of them."),
      field("model", model_name(), "Absent: the server's default."),
      field("max_tokens", integer(0, kTokensMax), "Of each answer; absent: 16."),
      field("echo", boolean(), "Begin each answer with its prompt."),
      field("logprobs", integer(0, kTopLogprobsMax),
            "Tell the log-probability of each token and of this many likeliest ones."),
      field("best_of", integer(1, kSamplesMax), "As many as n: all answers are given."),
      field("response_format", response_format_shape(), "What the answer must be."),
      field("add_special_tokens", only(true, "give token ids to have nothing added"),
            "The tokenizer's own tokens are added to texts."),
      refused("suffix", "models here go on from a text, they do not fill gaps"),
  };
}

void add_prompts(const Json& prompt, std::vector<Prompt>& prompts) {
  if (prompt.is_string()) {
    prompts.emplace_back(prompt.get<std::string>());
  } else if (prompt.front().is_number()) {
    prompts.emplace_back(prompt.get<std::vector<std::int32_t>>());
  } else {
    for (const Json& each : prompt) add_prompts(each, prompts);
  }
}

std::optional<ApiError> read_counts(const Json& body, GenerateRequest& request) {
  const auto best_of = integer_of(body, "best_of");
  if (best_of && *best_of != static_cast<std::int64_t>(request.samples)) {
    return ApiError{400, "unsupported_value",
                    "best_of is " + std::to_string(*best_of) + " and n " +
                        std::to_string(request.samples) +
                        "; every answer that is made is given, so they must be the same",
                    "best_of"};
  }
  const std::size_t answers = request.prompts.size() * request.samples;
  if (answers <= kAnswersMax) return std::nullopt;
  return ApiError{400, "invalid_value",
                  std::to_string(request.prompts.size()) + " prompts with " +
                      std::to_string(request.samples) + " answers each are " +
                      std::to_string(answers) + ", the limit is " + std::to_string(kAnswersMax),
                  "n"};
}

// A token as the legacy format shows it: what is no text is spelt in bytes, so that names of
// objects stay apart.
std::string legacy_token(const std::string& bytes) {
  if (valid_utf8(bytes) == bytes) return bytes;
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text = "bytes:";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    append(text, "\\x", kDigits[byte >> 4U], kDigits[byte & 15U]);
  }
  return text;
}

std::size_t characters_in(const std::string& bytes) {
  std::size_t count = 0;
  for (const char c : bytes) count += (static_cast<unsigned char>(c) & 0xc0U) != 0x80U ? 1 : 0;
  return count;
}

void append_logprob(std::string& out, float logprob) {
  if (std::isnan(logprob)) {
    out += "null";
  } else {
    append_number(out, shown_logprob(logprob));
  }
}

void append_top(std::string& out, const TokenDetail& token) {
  if (std::isnan(token.token.logprob)) {
    out += "null";
    return;
  }
  std::set<std::string> names;  // tokens of the same text are one
  out += '{';
  for (const TokenText& each : token.top) {
    const std::string name = legacy_token(each.bytes);
    if (!names.insert(name).second) continue;
    append(out, names.size() > 1 ? "," : "", json_string(name), ':');
    append_logprob(out, each.logprob);
  }
  out += '}';
}

template <typename Append>
void append_list(std::string& out, const char* name, const std::vector<TokenDetail>& tokens,
                 const Append& append_item) {
  append(out, '"', name, "\":[");
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_item(tokens[i]);
  }
  out += ']';
}

class OpenAiCompletionsWriter : public OpenAiStreamWriter {
 public:
  OpenAiCompletionsWriter(const AnswerLabel& label, bool includes_usage, bool has_logprobs)
      : OpenAiStreamWriter(label, kObjects, includes_usage), has_logprobs_(has_logprobs) {}

  std::string begin(std::size_t choices) override {
    offsets_.assign(choices, 0);
    return OpenAiStreamWriter::begin(choices);
  }

  std::string delta(std::size_t choice, const AnswerDelta& delta) override {
    std::string out;
    if (is_over() || (delta.content.empty() && delta.tokens.empty())) return out;
    out += head();
    append(out, "{\"index\":", choice, ",\"text\":");
    append_json_string(out, delta.content);
    append_logprobs(out, delta.tokens, offset_of(choice));
    append(out, ",\"finish_reason\":null}", tail());
    return out;
  }

 protected:
  void append_first(std::string& /*out*/, std::size_t /*choice*/) override {}

  void append_last(std::string& out, std::size_t choice, const AnswerEnding& ending) override {
    append(out, "{\"index\":", choice, ",\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"",
           openai_finish_reason(ending), "\"}");
  }

  void append_whole(std::string& out, std::size_t index, const AnswerChoice& choice) override {
    append(out, "{\"index\":", index, ",\"text\":", json_string(choice.content));
    std::size_t offset = 0;
    append_logprobs(out, choice.tokens, offset);
    append(out, ",\"finish_reason\":\"", openai_finish_reason(choice.ending), "\"}");
  }

 private:
  std::size_t& offset_of(std::size_t choice) {
    if (offsets_.size() <= choice) offsets_.resize(choice + 1, 0);
    return offsets_[choice];
  }

  void append_logprobs(std::string& out, const std::vector<TokenDetail>& tokens,
                       std::size_t& offset) const {
    out += ",\"logprobs\":";
    if (!has_logprobs_) {
      out += "null";
      return;
    }
    out += '{';
    append_list(out, "tokens", tokens, [&](const TokenDetail& token) {
      append_json_string(out, legacy_token(token.token.bytes));
    });
    out += ',';
    append_list(out, "token_logprobs", tokens,
                [&](const TokenDetail& token) { append_logprob(out, token.token.logprob); });
    out += ',';
    append_list(out, "top_logprobs", tokens,
                [&](const TokenDetail& token) { append_top(out, token); });
    out += ',';
    append_list(out, "text_offset", tokens, [&](const TokenDetail& token) {
      append_piece(out, offset);
      offset += characters_in(token.token.bytes);
    });
    out += '}';
  }

  bool has_logprobs_ = false;
  std::vector<std::size_t> offsets_;  // of the next token in its text, in characters
};

}  // namespace

const Shape& openai_completions_request() {
  static const Shape shape = object(joined(
      joined(completion_fields(), openai_sampling_fields()),
      joined(joined(vllm_sampling_fields(), vllm_format_fields()), openai_ignored_fields())));
  return shape;
}

const Shape& openai_completions_answer() {
  static const Shape shape = [] {
    const auto of_tokens = [](Shape item) { return list(std::move(item), 0, kBodyValuesMax); };
    const Shape logprob = number(-1e300, 0);
    const Shape logprobs = object(
        {required("tokens", of_tokens(text()), "Their texts."),
         required("token_logprobs", any_json(), "Natural logarithms; null for the first of all."),
         required("top_logprobs", any_json(), "Those of the likeliest tokens, by their texts."),
         required("text_offset", of_tokens(integer(0, kTokensMax)), "In characters.")});
    const Shape choice = object(
        {required("index", integer(0, kTokensMax), "Prompts times n, prompt by prompt."),
         required("text", text(), "The answer."), field("logprobs", logprobs, "If asked for."),
         field("finish_reason", name_of({"stop", "length", "tool_calls"}), "Why it ends.")});
    return object(joined(openai_head_fields("text_completion"),
                         {required("choices", list(choice, 0, kAnswersMax), "The answers."),
                          field("usage", usage_shape(), "What it cost."),
                          field("timings", timings_shape(), "How long it took.")}));
  }();
  return shape;
}

ApiResult<GenerateCall> read_openai_completions(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, openai_completions_request(), rules);
  if (!json) return json.error();
  GenerateCall call;
  GenerateRequest& request = call.request;
  read_sampling(*json, request);
  add_prompts((*json)["prompt"], request.prompts);
  if (auto error = read_counts(*json, request)) return std::move(*error);
  request.max_tokens =
      static_cast<std::size_t>(integer_of(*json, "max_tokens").value_or(kCompletionTokensDefault));
  request.echoes_prompt = boolean_of(*json, "echo").value_or(false);
  if (const auto top = integer_of(*json, "logprobs")) {
    request.logprobs = static_cast<std::size_t>(*top);
  }
  if (const Json* format = field_of(*json, "response_format")) {
    request.format = response_format_of(*format);
  }
  if (auto error = read_vllm_format(*json, request.format)) return std::move(*error);
  call.writer = [includes_usage = request.includes_usage,
                 has_logprobs = request.logprobs.has_value()](const AnswerLabel& label) {
    return std::make_unique<OpenAiCompletionsWriter>(label, includes_usage, has_logprobs);
  };
  return call;
}

}  // namespace paring::serve::wire
