// SPDX-License-Identifier: Apache-2.0
#include "text/answer_format.h"

#include <algorithm>
#include <array>
#include <utility>

namespace paring::text {
namespace {

// Fullwidth bars and U+2581 between words, as DeepSeek's tags have them.
constexpr const char* kDeepSeekCalls = "<\uff5ctool\u2581calls\u2581begin\uff5c>";
constexpr const char* kDeepSeekCallsEnd = "<\uff5ctool\u2581calls\u2581end\uff5c>";
constexpr const char* kDeepSeekCall =
    "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>";
constexpr const char* kDeepSeekCallEnd = "<\uff5ctool\u2581call\u2581end\uff5c>";

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// {"name": "x", "arguments": {...}} as json.dumps writes it.
ToolCallForm json_form(const char* arguments_key) {
  return {.call_begin = "{\"name\": ",
          .call_middle = std::string(", \"") + arguments_key + "\": ",
          .call_end = "}"};
}

ToolCallForm list_form(std::string trigger, std::string end) {
  ToolCallForm form = json_form("arguments");
  form.trigger = std::move(trigger);
  form.list_begin = "[";
  form.separator = ", ";
  form.list_end = "]" + end;
  return form;
}

ToolCallForm hermes_form() {
  ToolCallForm form = json_form("arguments");
  form.trigger = "<tool_call>";
  form.list_begin = "\n";
  form.separator = "\n";
  form.list_end = "\n</tool_call>";
  form.triggers_each_call = true;
  return form;
}

ToolCallForm deepseek_form() {
  return {.trigger = kDeepSeekCalls,
          .call_begin = kDeepSeekCall,
          .call_middle = "\n```json\n",
          .call_end = std::string("\n```") + kDeepSeekCallEnd,
          .separator = "\n",
          .list_end = kDeepSeekCallsEnd,
          .quotes_name = false};
}

// Order matters: what is more particular comes first.
ToolSyntax syntax_of(std::string_view jinja) {
  if (has(jinja, kDeepSeekCalls)) return ToolSyntax::kDeepSeek;
  if (has(jinja, "[TOOL_CALLS]")) {
    return has(jinja, "[ARGS]") ? ToolSyntax::kMistralArguments : ToolSyntax::kMistral;
  }
  if (has(jinja, "<tool_call>")) {
    // Qwen3-Coder's tags inside of it are another language.
    return has(jinja, "<function=") ? ToolSyntax::kNone : ToolSyntax::kHermes;
  }
  if (has(jinja, "<|tool_call|>")) return ToolSyntax::kToolCallList;
  if (has(jinja, "functools[")) return ToolSyntax::kFunctools;
  const bool is_llama = has(jinja, "<|python_tag|>") || has(jinja, "<|start_header_id|>");
  if (is_llama && has(jinja, "\"parameters\"")) return ToolSyntax::kLlama;
  return has(jinja, "tools") ? ToolSyntax::kJson : ToolSyntax::kNone;
}

ToolCallForm form_of(ToolSyntax syntax, std::string_view jinja) {
  switch (syntax) {
    case ToolSyntax::kHermes:
      return hermes_form();
    case ToolSyntax::kLlama: {
      ToolCallForm form = json_form("parameters");
      form.separator = "; ";
      return form;
    }
    case ToolSyntax::kMistral:
      return list_form("[TOOL_CALLS]", "");
    case ToolSyntax::kMistralArguments:
      return {.trigger = "[TOOL_CALLS]",
              .call_middle = "[ARGS]",
              .triggers_each_call = true,
              .quotes_name = false};
    case ToolSyntax::kFunctools:
      return list_form("functools", "");
    case ToolSyntax::kToolCallList:
      return list_form("<|tool_call|>", has(jinja, "<|/tool_call|>") ? "<|/tool_call|>" : "");
    case ToolSyntax::kDeepSeek:
      return deepseek_form();
    case ToolSyntax::kJson: {
      ToolCallForm form = json_form("arguments");
      form.separator = "\n";
      return form;
    }
    case ToolSyntax::kNone:
      break;
  }
  return {};
}

std::optional<ReasoningForm> reasoning_of(std::string_view jinja) {
  static constexpr std::array<std::pair<const char*, const char*>, 3> kTags = {
      {{"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"<seed:think>", "</seed:think>"}}};
  for (const auto& [begin, end] : kTags) {
    // Qwen's templates often name the end alone, to cut what earlier turns thought.
    if (has(jinja, end)) return ReasoningForm{.begin = begin, .end = end};
  }
  return std::nullopt;
}

}  // namespace

const char* tool_syntax_name(ToolSyntax syntax) noexcept {
  static constexpr std::array<const char*, 9> kNames = {
      "none",      "hermes",         "llama",    "mistral", "mistral_arguments",
      "functools", "tool_call_list", "deepseek", "json"};
  return kNames[static_cast<std::size_t>(syntax)];
}

AnswerFormat answer_format_of(std::string_view chat_template) {
  AnswerFormat format;
  format.syntax = syntax_of(chat_template);
  format.form = form_of(format.syntax, chat_template);
  format.reasoning = reasoning_of(chat_template);
  if (!format.form.trigger.empty()) format.triggers.push_back(format.form.trigger);
  if (format.syntax == ToolSyntax::kLlama) format.triggers.emplace_back("<|python_tag|>");
  if (format.syntax == ToolSyntax::kToolCallList) format.triggers.emplace_back("<tool_call>");
  return format;
}

std::optional<ReasoningForm> reasoning_behind(const AnswerFormat& format, std::string_view prompt) {
  if (!format.reasoning) return std::nullopt;
  ReasoningForm form = *format.reasoning;
  const std::size_t last = prompt.find_last_not_of(" \t\r\n");
  prompt = prompt.substr(0, last == std::string_view::npos ? 0 : last + 1);
  if (prompt.ends_with(form.end)) return std::nullopt;
  form.is_open = prompt.ends_with(form.begin);
  return form;
}

std::pair<std::int32_t, std::size_t> special_token_at(const Tokenizer& tokenizer,
                                                      std::string_view text, std::size_t at) {
  constexpr std::size_t kTagBytesMax = 64;
  if (text[at] != '<' && text[at] != '[') return {0, 0};
  for (std::size_t size = std::min(text.size() - at, kTagBytesMax); size > 2; --size) {
    const char last = text[at + size - 1];
    if (last != '>' && last != ']') continue;
    const auto id = tokenizer.find(text.substr(at, size));
    if (id && tokenizer.is_special(*id)) return {*id, size};
  }
  return {0, 0};
}

std::vector<std::int32_t> tag_tokens(const AnswerFormat& format, const Tokenizer& tokenizer) {
  std::vector<std::string> texts = format.triggers;
  const ToolCallForm& form = format.form;
  texts.insert(texts.end(), {form.list_begin, form.call_begin, form.call_middle, form.call_end,
                             form.separator, form.list_end});
  if (format.reasoning) texts.insert(texts.end(), {format.reasoning->begin, format.reasoning->end});
  std::vector<std::int32_t> ids;
  for (const std::string& text : texts) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      const auto [id, size] = special_token_at(tokenizer, text, at);
      if (size == 0) continue;
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
      at += size - 1;
    }
  }
  return ids;
}

Result<ToolCallSpec> tool_calls_of(const AnswerFormat& format, std::vector<ToolChoice> tools,
                                   ToolMode mode, bool is_parallel) {
  if (format.syntax == ToolSyntax::kNone) {
    return unsupported("the model's chat template has no form for calls of tools that is known",
                       "leave out tools, or serve a model whose template has one");
  }
  if (mode == ToolMode::kNamed && tools.size() != 1) {
    return invalid_argument("a named tool_choice needs exactly one tool, " +
                            std::to_string(tools.size()) + " are given");
  }
  return ToolCallSpec{.form = format.form,
                      .tools = std::move(tools),
                      .is_required = mode != ToolMode::kAuto,
                      .is_single = mode == ToolMode::kNamed || !is_parallel};
}

}  // namespace paring::text
