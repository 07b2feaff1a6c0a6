// SPDX-License-Identifier: Apache-2.0
#include "serve/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "base/clock.h"
#include "engine/sampler.h"

namespace paring::serve {

namespace {

// OpenAI's defaults, where a request does not say.
constexpr double kTemperature = 1.0;

std::uint64_t random_seed() {
  thread_local std::mt19937_64 source{std::random_device{}()};
  return source();
}

std::optional<ApiError> check_limits(const GenerateRequest& request, const RequestLimits& limits) {
  if (request.prompts.empty()) return bad_request("prompt", "there is no prompt");
  if (request.prompts.size() > limits.prompts_max) {
    return bad_request("prompt", fmt::format("{} prompts, at most {} are taken in a request",
                                             request.prompts.size(), limits.prompts_max));
  }
  if (request.samples == 0 || request.samples > limits.choices_max / request.prompts.size()) {
    return bad_request(
        "n", fmt::format("n is {}; with {} prompts it must be 1 to {}", request.samples,
                         request.prompts.size(), limits.choices_max / request.prompts.size()));
  }
  if (request.stop.size() > limits.stop_strings_max) {
    return bad_request("stop", fmt::format("{} stop strings, at most {} are taken",
                                           request.stop.size(), limits.stop_strings_max));
  }
  for (const std::string& stop : request.stop) {
    if (stop.size() <= limits.stop_bytes_max) continue;
    return bad_request("stop", fmt::format("a stop string of {} bytes, at most {} are taken",
                                           stop.size(), limits.stop_bytes_max));
  }
  if (request.logprobs.value_or(0) > limits.logprobs_max) {
    return bad_request("top_logprobs", fmt::format("{} likeliest tokens, at most {} are told",
                                                   *request.logprobs, limits.logprobs_max));
  }
  if (request.timeout_seconds &&
      !(*request.timeout_seconds > 0 && *request.timeout_seconds <= limits.timeout_seconds_max)) {
    return bad_request("x-request-timeout",
                       fmt::format("timeout is {} s, it must be more than 0 and at most {}",
                                   *request.timeout_seconds, limits.timeout_seconds_max));
  }
  return std::nullopt;
}

api::Sampling sampling_of(const GenerateRequest& request) {
  api::Sampling sampling;
  sampling.temperature = request.temperature.value_or(kTemperature);
  sampling.top_p = request.top_p.value_or(1.0);
  sampling.min_p = request.min_p.value_or(0.0);
  sampling.top_k = request.top_k.value_or(0);
  sampling.repetition_penalty = request.repetition_penalty.value_or(1.0);
  sampling.frequency_penalty = request.frequency_penalty.value_or(0.0);
  sampling.presence_penalty = request.presence_penalty.value_or(0.0);
  sampling.logit_bias = request.logit_bias;
  sampling.seed = request.seed ? *request.seed : random_seed();
  return sampling;
}

// nullopt: too many for the context, which the length of the text tells: it is not encoded.
using Tokens = std::optional<std::vector<std::int32_t>>;

Result<Tokens> tokens_of(const Prompt& prompt, const ServedModel& model) {
  if (const auto* ids = std::get_if<std::vector<std::int32_t>>(&prompt)) return Tokens(*ids);
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    if (text->size() > model.prompt_bytes_max()) return Tokens();
    PARING_TRY(std::vector<std::int32_t> ids,
               model.tokenizer().encode(*text, {.add_special = true, .parse_special = false}));
    return Tokens(std::move(ids));
  }
  return model.encode_chat_that_may_fit(std::get<text::ChatInput>(prompt));
}

// What the oldest turns of a conversation end at, behind the system's messages: the messages from
// one of `ends` on follow the first `kept`. What answers a call goes with it, so that they are not
// all messages; the last message stays.
struct Turns {
  std::size_t kept = 0;
  std::vector<std::size_t> ends;
};

Turns turns_of(const nlohmann::ordered_json& messages) {
  const auto is_role = [&](std::size_t i, const char* role) {
    return messages[i].value("role", "") == role;
  };
  Turns turns;
  while (turns.kept < messages.size() && is_role(turns.kept, "system")) ++turns.kept;
  for (std::size_t end = turns.kept + 1; end < messages.size(); ++end) {
    if (end + 1 == messages.size() || is_role(end, "user")) turns.ends.push_back(end);
  }
  return turns;
}

// Shortens a prompt until `room` tokens hold it, as the request allows. Of a conversation the
// fewest of the oldest turns go: found by bisection, since each try renders and encodes what is
// left, and a conversation may have thousands.
Result<std::vector<std::int32_t>> shortened(Prompt prompt, const ServedModel& model,
                                            std::vector<std::int32_t> tokens, std::size_t room) {
  auto* chat = std::get_if<text::ChatInput>(&prompt);
  if (chat == nullptr) {
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(room));
    return tokens;
  }
  const auto messages = nlohmann::ordered_json::parse(chat->messages, nullptr, false);
  if (!messages.is_array()) return tokens;
  const Turns turns = turns_of(messages);
  if (turns.ends.empty()) return tokens;
  const auto without = [&](std::size_t end) {
    auto left = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (i < turns.kept || i >= end) left.push_back(messages[i]);
    }
    chat->messages = left.dump();
    return model.encode_chat(*chat);
  };
  // Turns before `few` are too few to drop; `tokens` are those of dropping all before `enough`.
  std::size_t few = 0;
  std::size_t enough = turns.ends.size() - 1;
  PARING_TRY(tokens, without(turns.ends[enough]));
  while (few < enough && tokens.size() <= room) {
    const std::size_t middle = few + (enough - few) / 2;
    PARING_TRY(std::vector<std::int32_t> tried, without(turns.ends[middle]));
    if (tried.size() > room) {
      few = middle + 1;
    } else {
      enough = middle;
      tokens = std::move(tried);
    }
  }
  return tokens;
}

// What text::ConstraintSpec calls the format; nullopt: plain text.
std::optional<text::ConstraintSpec> constraint_of(const OutputFormat& format) {
  using Kind = OutputFormat::Kind;
  text::ConstraintSpec spec{.source = format.definition, .choices = format.choices};
  switch (format.kind) {
    case Kind::kText:
      return std::nullopt;
    case Kind::kJsonObject:
      spec.kind = text::ConstraintKind::kJsonObject;
      break;
    case Kind::kJsonSchema:
      spec.kind = text::ConstraintKind::kJsonSchema;
      break;
    case Kind::kRegex:
      spec.kind = text::ConstraintKind::kRegex;
      break;
    case Kind::kChoice:
      spec.kind = text::ConstraintKind::kChoice;
      break;
    case Kind::kGrammar:
      spec.kind = text::ConstraintKind::kLark;
      break;
  }
  return spec;
}

// The tools of a request by name; those that may be called. Their JSON was read before.
std::vector<text::ToolChoice> callable_tools(const ToolUse& use) {
  std::vector<text::ToolChoice> tools;
  const auto list = nlohmann::ordered_json::parse(use.tools, nullptr, false);
  if (!list.is_array()) return tools;
  for (const auto& entry : list) {
    if (!entry.is_object() || !entry.contains("function")) continue;
    const auto& function = entry["function"];
    text::ToolChoice tool{.name = function.value("name", ""), .schema = {}};
    if (function.contains("parameters") && function["parameters"].is_object()) {
      tool.schema = function["parameters"].dump();
    }
    if (use.choice != ToolUse::Choice::kNamed || tool.name == use.name) {
      tools.push_back(std::move(tool));
    }
  }
  return tools;
}

// What the calls of an answer must look like; nullopt: the request has no tools to call.
ApiResult<std::optional<text::ToolCallSpec>> tool_calls_of(const ToolUse& use,
                                                           const ServedModel& model) {
  using Choice = ToolUse::Choice;
  const bool is_forced = use.choice == Choice::kRequired || use.choice == Choice::kNamed;
  if (use.choice == Choice::kNone) return std::optional<text::ToolCallSpec>();
  std::vector<text::ToolChoice> tools = callable_tools(use);
  if (tools.empty()) {
    if (!is_forced) return std::optional<text::ToolCallSpec>();
    return bad_request("tool_choice", use.choice == Choice::kNamed
                                          ? fmt::format("there is no tool '{}'", use.name)
                                          : "a call is required and there are no tools");
  }
  const text::ToolMode mode = use.choice == Choice::kNamed      ? text::ToolMode::kNamed
                              : use.choice == Choice::kRequired ? text::ToolMode::kRequired
                                                                : text::ToolMode::kAuto;
  auto spec = text::tool_calls_of(model.answer_format(), std::move(tools), mode, use.is_parallel);
  if (!spec) return api_error(spec.error(), "tools");
  return std::optional<text::ToolCallSpec>(std::move(*spec));
}

// How much of a prompt's end tells whether it began a section of reasoning.
constexpr std::size_t kPromptEndTokens = 64;

// How the answers to the conversations of a plan are taken apart.
void find_sections(AnswerPlan& plan, const ServedModel& model,
                   const std::optional<text::ToolCallSpec>& calls) {
  const text::AnswerFormat& format = model.answer_format();
  if (!calls && !format.reasoning) return;
  std::vector<std::string> names;
  if (calls) {
    for (const text::ToolChoice& tool : calls->tools) names.push_back(tool.name);
  }
  for (const engine::SequenceRequest& sequence : plan.sequences) {
    const std::size_t end = std::min(kPromptEndTokens, sequence.prompt.size());
    const auto text =
        model.tokenizer().decode(std::span(sequence.prompt).last(end), {.skip_special = false});
    plan.parsers.push_back(
        {.format = format,
         .reasoning = text ? text::reasoning_behind(format, *text) : std::nullopt,
         .finds_calls = calls.has_value(),
         .tool_names = names});
  }
}

// Limits every sequence of the plan to the format, or to calls of tools where it calls any.
std::optional<ApiError> constrain(AnswerPlan& plan, const GenerateRequest& request,
                                  const ServedModel& model, MaskPool& masks,
                                  const std::optional<text::ToolCallSpec>& calls) {
  std::optional<text::ConstraintSpec> spec = constraint_of(request.format);
  const char* param =
      request.format.kind == OutputFormat::Kind::kGrammar ? "guided_grammar" : "response_format";
  if (calls) {
    if (spec) {
      return bad_request("response_format",
                         "a format and tools that may be called exclude each other; "
                         "set tool_choice to \"none\" or leave the format out");
    }
    spec = text::ConstraintSpec{.kind = text::ConstraintKind::kTools, .tools = *calls};
    param = "tools";
  }
  if (!spec) return std::nullopt;
  if (!plan.parsers.empty()) spec->reasoning = plan.parsers.front().reasoning;
  auto factory = model.constraints();
  if (!factory) return api_error(factory.error(), param);
  auto compiled = (*factory)->compile(*spec);
  if (!compiled) return api_error(compiled.error(), param);
  const OutputFormat& format = request.format;
  plan.format_key = fmt::format("{}:{}:{}:{}:{}", static_cast<int>(format.kind), format.definition,
                                static_cast<int>(request.tools.choice), request.tools.is_parallel,
                                calls ? request.tools.name + ":" + request.tools.tools : "");
  for (const std::string& choice : format.choices) {
    plan.format_key += fmt::format(":{}:{}", choice.size(), choice);
  }
  for (engine::SequenceRequest& sequence : plan.sequences) {
    sequence.constraint = [&masks, compiled = *compiled, words = (*factory)->mask_words()](
                              std::size_t) { return masks.start(compiled, words); };
  }
  return std::nullopt;
}

// LiteLLM and others know this error by OpenAI's words, "maximum context length".
ApiError context_exceeded(std::string message) {
  return {.status = 400,
          .code = "context_length_exceeded",
          .message = std::move(message),
          .param = "messages"};
}

ApiError too_long(std::size_t prompt_tokens, std::optional<std::size_t> max_tokens,
                  std::size_t context) {
  const std::string answer =
      max_tokens ? fmt::format(" and max_tokens asks for {} more", *max_tokens) : "";
  return context_exceeded(
      fmt::format("the prompt has {} tokens{}, and this model's maximum context length is {} "
                  "tokens; shorten it, or start the server with a larger --context-tokens",
                  prompt_tokens, answer, context));
}

ApiError too_many_bytes(const ServedModel& model) {
  return context_exceeded(fmt::format(
      "the prompt has more than {} bytes, and this model's maximum context length is {} tokens; "
      "shorten it",
      model.prompt_bytes_max(), model.context_tokens()));
}

}  // namespace

ApiResult<AnswerPlan> prepare(const GenerateRequest& request, const ModelUse& use,
                              const RequestLimits& limits, MaskPool& masks) {
  const ServedModel& model = *use;
  if (model.is_encoder()) {
    return bad_request(
        "model",
        fmt::format("'{}' embeds or classifies texts, it does not write any", model.name()));
  }
  if (auto error = check_limits(request, limits)) return *error;
  if (request.context_tokens_min && *request.context_tokens_min > model.context_tokens()) {
    return bad_request("options.num_ctx",
                       fmt::format("{} tokens of context are asked for, the server has {}; start "
                                   "it with a larger --context-tokens",
                                   *request.context_tokens_min, model.context_tokens()));
  }
  const api::Sampling sampling = sampling_of(request);
  if (const auto checked = engine::check_sampling(sampling); !checked) {
    return api_error(checked.error());
  }
  AnswerPlan plan;
  plan.stop = request.stop;
  plan.ignores_end = request.ignores_end;
  plan.echoes_prompt = request.echoes_prompt;
  plan.is_reproducible = sampling.temperature == 0 || request.seed.has_value();
  plan.uses_cache = request.uses_cache;
  const std::size_t context = model.context_tokens();
  for (std::size_t p = 0; p < request.prompts.size(); ++p) {
    auto encoded = tokens_of(request.prompts[p], model);
    if (!encoded) return api_error(encoded.error(), "messages");
    // Also where it may be shortened: what goes is counted, which takes encoding it.
    if (!*encoded) return too_many_bytes(model);
    Result<std::vector<std::int32_t>> tokens(std::move(**encoded));
    const std::size_t wanted = request.max_tokens.value_or(1);
    if (wanted >= context) return too_long(tokens->size(), request.max_tokens, context);
    if (tokens->size() + wanted > context && request.truncation == Truncation::kDropOldest) {
      const std::size_t before = tokens->size();
      tokens = shortened(request.prompts[p], model, std::move(*tokens), context - wanted);
      if (!tokens) return api_error(tokens.error(), "messages");
      plan.truncated_tokens += before - std::min(before, tokens->size());
    }
    if (tokens->size() + wanted > context) {
      return too_long(tokens->size(), request.max_tokens, context);
    }
    engine::SequenceRequest sequence;
    sequence.id = p;
    sequence.max_tokens = request.max_tokens.value_or(context - tokens->size());
    sequence.prompt = std::move(*tokens);
    sequence.samples = request.samples;
    sequence.sampling = sampling;
    sequence.priority = request.priority;
    sequence.adapter = use.lora();
    if (request.timeout_seconds) {
      sequence.deadline = system_clock().monotonic_seconds() + *request.timeout_seconds;
    }
    sequence.logprobs = request.logprobs;
    if (request.echoes_prompt && request.logprobs) sequence.scored_from = 0;
    plan.sequences.push_back(std::move(sequence));
  }
  auto calls = tool_calls_of(request.tools, model);
  if (!calls) return calls.error();
  if (std::holds_alternative<text::ChatInput>(request.prompts.front())) {
    find_sections(plan, model, *calls);
  }
  if (auto error = constrain(plan, request, model, masks, *calls)) return *error;
  return plan;
}

}  // namespace paring::serve
