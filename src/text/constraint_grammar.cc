// SPDX-License-Identifier: Apache-2.0
#include "text/constraint_grammar.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "text/unicode.h"

namespace paring::text {
namespace {

Error too_long(const std::string& what, std::size_t count, const std::string& unit,
               std::size_t limit) {
  return invalid_argument(what + " has " + std::to_string(count) + " " + unit + ", the limit is " +
                          std::to_string(limit));
}

// A text as a Lark string: the escapes of JSON.
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

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
    lark += quoted(choice);
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

}  // namespace

Result<std::vector<GrammarPart>> grammar_parts(const ConstraintSpec& spec) {
  if (spec.source.size() > kConstraintBytesMax) {
    return too_long("the constraint", spec.source.size(), "bytes", kConstraintBytesMax);
  }
  if (!is_well_formed_utf8(spec.source)) {
    return invalid_argument("the constraint is not valid UTF-8");
  }
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
    case ConstraintKind::kChoice: {
      PARING_TRY(std::string lark, choice_grammar(spec.choices));
      return std::vector{GrammarPart{"choice", std::move(lark)}};
    }
  }
  return invalid_argument("the kind of the constraint is unknown");
}

}  // namespace paring::text
