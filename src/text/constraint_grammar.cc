// SPDX-License-Identifier: Apache-2.0
#include "text/constraint_grammar.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "text/answer_format.h"
#include "text/unicode.h"

namespace paring::text {
namespace {

Error too_long(const std::string& what, std::size_t count, const std::string& unit,
               std::size_t limit) {
  return invalid_argument(what + " has " + std::to_string(count) + " " + unit + ", the limit is " +
                          std::to_string(limit));
}

// A text as a Lark string: the escapes of JSON.
std::string lark_text(const std::string& text) { return nlohmann::json(text).dump(); }

Result<std::string> choice_grammar(const std::vector<std::string>& choices) {
  if (choices.empty()) return invalid_argument("the list of choices is empty");
  if (choices.size() > kChoicesMax) {
    return too_long("the list of choices", choices.size(), "entries", kChoicesMax);
  }
  std::size_t bytes = 0;
  std::string lark = "start: CHOICE\nCHOICE: ";
  for (const std::string& choice : choices) {
    bytes += choice.size();
    if (choice.empty()) return invalid_argument("a choice is empty", "leave it out");
    if (!is_well_formed_utf8(choice)) return invalid_argument("a choice is not valid UTF-8");
    if (&choice != &choices.front()) lark += " | ";
    lark += lark_text(choice);
  }
  if (bytes > kConstraintBytesMax) {
    return too_long("the list of choices", bytes, "bytes", kConstraintBytesMax);
  }
  return lark + "\n";
}

// "/" and line ends would end a regular expression in Lark.
std::string regex_grammar(const std::string& regex) {
  std::string lark = "start: /";
  bool is_escaped = false;
  for (const char c : regex) {
    if (c == '/' && !is_escaped) lark += '\\';
    if (c == '\n' || c == '\r') {
      if (!is_escaped) lark += '\\';
      lark += c == '\n' ? 'n' : 'r';
    } else {
      lark += c;
    }
    is_escaped = c == '\\' && !is_escaped;
  }
  return lark + "/\n";
}

// A text inside a regular expression.
std::string literal_regex(std::string_view text) {
  std::string regex;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}/").find(c) != std::string_view::npos) regex += '\\';
    if (c == '\n') {
      regex += "\\n";
    } else {
      regex += c;
    }
  }
  return regex;
}

// The grammar of calls, of text around them, and of what triggers them.
class ToolGrammar {
 public:
  ToolGrammar(const ToolCallSpec& spec, const Tokenizer& tokenizer)
      : spec_(spec), tokenizer_(tokenizer) {
    const auto id = tokenizer.find(spec.form.trigger);
    is_special_ = id && tokenizer.is_special(*id);
  }

  Result<std::vector<GrammarPart>> parts() {
    PARING_TRY_VOID(check());
    trigger_ = terms(spec_.form.trigger);
    std::vector<GrammarPart> parts(1);
    std::string call = "call: ";
    for (std::size_t i = 0; i < spec_.tools.size(); ++i) {
      const ToolChoice& tool = spec_.tools[i];
      const std::string name = "arguments-" + std::to_string(i);
      call += (i == 0 ? "" : "\n    | ") + terms(spec_.form.call_begin) +
              lark_text(spec_.form.quotes_name ? lark_text(tool.name) : tool.name) + " " +
              terms(spec_.form.call_middle) + " @" + name + " " + terms(spec_.form.call_end);
      parts.push_back(
          {name, tool.schema.empty() ? R"({"type": "object"})" : tool.schema, /*is_schema=*/true});
    }
    parts[0].name = "tools";
    parts[0].source = start() + "\n" + behind_trigger() + "\n" + call + "\n" + text();
    return parts;
  }

 private:
  Result<void> check() const {
    if (spec_.tools.empty()) return invalid_argument("the list of tools is empty");
    if (spec_.tools.size() > kToolsMax) {
      return too_long("the list of tools", spec_.tools.size(), "entries", kToolsMax);
    }
    std::size_t bytes = 0;
    for (const ToolChoice& tool : spec_.tools) {
      bytes += tool.name.size() + tool.schema.size();
      if (tool.name.empty()) return invalid_argument("a tool has no name");
      if (!is_well_formed_utf8(tool.name) || !is_well_formed_utf8(tool.schema)) {
        return invalid_argument("a tool is not valid UTF-8");
      }
    }
    if (bytes > kConstraintBytesMax)
      return too_long("the tools", bytes, "bytes", kConstraintBytesMax);
    return {};
  }

  // A text in which special tokens are spelled out, as terms of a grammar. Plain stretches stay
  // whole: how they are cut is the model's matter.
  std::string terms(const std::string& text) const {
    std::string out;
    std::string plain;
    const auto flush = [&] {
      if (!plain.empty()) out += lark_text(plain) + " ";
      plain.clear();
    };
    for (std::size_t at = 0; at < text.size();) {
      const auto [id, size] = special_token_at(tokenizer_, text, at);
      if (size == 0) {
        plain += text[at++];
        continue;
      }
      flush();
      out += "<[" + std::to_string(id) + "]> ";
      at += size;
    }
    flush();
    return out;
  }

  // What stands behind a trigger: one call, or a list of them.
  std::string behind_trigger() const {
    const ToolCallForm& form = spec_.form;
    const bool has_more = !form.triggers_each_call && !spec_.is_single;
    const std::string more = has_more ? " (" + terms(form.separator) + " call)*" : "";
    return "calls: " + terms(form.list_begin) + " call" + more + " " + terms(form.list_end);
  }

  std::string start() const {
    const ToolCallForm& form = spec_.form;
    const bool repeats = form.triggers_each_call && !spec_.is_single;
    if (spec_.is_required) {
      const std::string unit = trigger_ + " calls";
      if (!repeats) return "start: " + unit;
      return "start: " + unit + " (" + terms(form.separator) + " " + unit + ")*";
    }
    if (form.trigger.empty()) return "start: calls | TEXT";
    if (repeats) return "start: (lead calls)* TEXT";
    return "start: lead calls | TEXT";
  }

  // Free text: never a trigger, so that a call can only be written by its grammar.
  std::string text() const {
    const ToolCallForm& form = spec_.form;
    if (spec_.is_required) return "";
    if (is_special_) return "lead: TEXT " + trigger_ + "\nTEXT: /(?s:.*)/\n";
    if (!form.trigger.empty()) {
      const std::string trigger = literal_regex(form.trigger);
      return "lead[lazy]: /(?s:.*)" + trigger + "/\nTEXT: /(?s:.*)/ & ~/(?s:.*)" + trigger +
             "(?s:.*)/\n";
    }
    const std::string begin = form.list_begin + form.call_begin;
    return "TEXT: /([^" + literal_regex(begin.substr(0, 1)) + "\\s](?s:.*))?/\n";
  }

  const ToolCallSpec& spec_;
  const Tokenizer& tokenizer_;
  bool is_special_ = false;  // the trigger
  std::string trigger_;      // as terms of the grammar
};

Result<std::vector<GrammarPart>> body_parts(const ConstraintSpec& spec,
                                            const Tokenizer& tokenizer) {
  switch (spec.kind) {
    case ConstraintKind::kJsonSchema:
      return std::vector{GrammarPart{"json", spec.source, true}};
    case ConstraintKind::kJsonObject:
      return std::vector{GrammarPart{"json", R"({"type": "object"})", true}};
    case ConstraintKind::kRegex:
      if (spec.source.size() > kRegexBytesMax) {
        return too_long("the regular expression", spec.source.size(), "bytes", kRegexBytesMax);
      }
      return std::vector{GrammarPart{"regex", regex_grammar(spec.source)}};
    case ConstraintKind::kLark:
      return std::vector{GrammarPart{.name = "grammar", .source = spec.source, .is_foreign = true}};
    case ConstraintKind::kChoice: {
      PARING_TRY(std::string lark, choice_grammar(spec.choices));
      return std::vector{GrammarPart{"choice", std::move(lark)}};
    }
    case ConstraintKind::kTools:
      return ToolGrammar(spec.tools, tokenizer).parts();
  }
  return invalid_argument("the kind of the constraint is unknown");
}

// Reasoning, if any, and then the body.
std::string reasoning_grammar(const ReasoningForm& form, const std::string& body) {
  const std::string text = "(?s:.*)" + literal_regex(form.end);
  if (form.is_open) {
    return "start: reasoning SPACE @" + body + "\nreasoning[lazy]: /" + text + "/\nSPACE: /\\s*/\n";
  }
  return "start: @" + body + " | reasoning SPACE @" + body + "\nreasoning[lazy]: /" +
         literal_regex(form.begin) + text + "/\nSPACE: /\\s*/\n";
}

}  // namespace

Result<std::vector<GrammarPart>> grammar_parts(const ConstraintSpec& spec,
                                               const Tokenizer& tokenizer) {
  if (spec.source.size() > kConstraintBytesMax) {
    return too_long("the constraint", spec.source.size(), "bytes", kConstraintBytesMax);
  }
  if (!is_well_formed_utf8(spec.source)) {
    return invalid_argument("the constraint is not valid UTF-8");
  }
  PARING_TRY(std::vector<GrammarPart> parts, body_parts(spec, tokenizer));
  if (!spec.reasoning) return parts;
  if (spec.reasoning->end.empty() || (spec.reasoning->begin.empty() && !spec.reasoning->is_open)) {
    return invalid_argument("the form of the reasoning has no begin or no end");
  }
  parts.insert(parts.begin(), {"answer", reasoning_grammar(*spec.reasoning, parts.front().name)});
  return parts;
}

}  // namespace paring::text
