// SPDX-License-Identifier: Apache-2.0
#include "text/answer_parser.h"

#include <gtest/gtest.h>

#include <random>

#include "text/constraint_for_test.h"

namespace paring::text {
namespace {

// Templates by what tells them apart; the rest of a real one does not matter here.
constexpr const char* kHermes =
    "{% if tools %}<tool_call>\n{\"name\": ...}\n</tool_call>{% endif %}";
constexpr const char* kQwen3 =
    "{{ tools }}<tool_call></tool_call>{{ content.split('</think>')[-1] }}";
constexpr const char* kLlama =
    "<|start_header_id|>{{ tools }}{\"name\": function name, \"parameters\": dictionary}";
constexpr const char* kMistral = "[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS][";
constexpr const char* kMistralNew = "{{ tools }}[TOOL_CALLS]name[ARGS]{}";
constexpr const char* kGranite = "{{ tools }}<|tool_call|>[";
constexpr const char* kPhi = "{{ tools }}functools[";
constexpr const char* kDeepSeek =
    "{{ tools }}<think></think><\uff5ctool\u2581calls\u2581begin\uff5c>";

AnswerParserOptions options_of(const char* chat_template, const char* prompt = "") {
  const AnswerFormat format = answer_format_of(chat_template);
  return {.format = format, .reasoning = reasoning_behind(format, prompt), .finds_calls = true};
}

// One line an event, neighbours of one kind joined: how the text was cut must not show.
std::string shown(const std::vector<AnswerEvent>& events) {
  std::vector<AnswerEvent> joined;
  for (const AnswerEvent& event : events) {
    const bool is_delta =
        event.kind <= AnswerEventKind::kReasoning || event.kind == AnswerEventKind::kCallArguments;
    if (is_delta && !joined.empty() && joined.back().kind == event.kind &&
        joined.back().call == event.call) {
      joined.back().text += event.text;
    } else {
      joined.push_back(event);
    }
  }
  static constexpr const char* kKinds[] = {"text", "think", "call", "args", "end", "malformed"};
  std::string out;
  for (const AnswerEvent& event : joined) {
    out += kKinds[static_cast<std::size_t>(event.kind)];
    if (event.kind == AnswerEventKind::kCallBegin) out += " " + event.id;
    if (event.kind == AnswerEventKind::kCallEnd && !event.is_complete) out += " cut";
    if (!event.text.empty()) out += ":" + event.text;
    out += "\n";
  }
  return out;
}

std::string parsed(const AnswerParserOptions& options, const std::vector<std::string>& pieces) {
  AnswerParser parser(options);
  std::vector<AnswerEvent> events;
  for (const std::string& piece : pieces) {
    for (AnswerEvent& event : parser.feed(piece)) {
      if (event.kind != AnswerEventKind::kCallEnd) {
        EXPECT_TRUE(!event.text.empty()) << "an event without text";
      }
      events.push_back(std::move(event));
    }
  }
  for (AnswerEvent& event : parser.finish()) events.push_back(std::move(event));
  return shown(events);
}

// The events of the text in one piece, which every other cut has to give too.
std::string parsed_in_every_cut(const AnswerParserOptions& options, const std::string& text) {
  std::string whole = parsed(options, {text});
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  EXPECT_EQ(parsed(options, bytes), whole) << text;
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(parsed(options, {text.substr(0, cut), text.substr(cut)}), whole) << text << cut;
  }
  std::mt19937 draw(29);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> pieces;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + draw() % 9;
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    EXPECT_EQ(parsed(options, pieces), whole) << text;
  }
  return whole;
}

struct Case {
  const char* chat_template;
  const char* text;
  const char* events;
};

TEST(AnswerParser, TakesAnswersApartInEveryCut) {
  const Case cases[] = {
      {kHermes, "Hello < there, <tool and </tool_call>!",
       "text:Hello < there, <tool and </tool_call>!\n"},
      {kHermes, "", ""},
      {kHermes, "  text with space  ", "text:  text with space  \n"},
      {kHermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
       "call call_0:f\nargs:{\"a\": [1, \"}\"]}\nend\n"},
      {kHermes,
       "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n"
       "<tool_call>\n{\"name\": \"g\", \"arguments\": {\"x\": 1}}\n</tool_call>\nDone.",
       "text:Let me see.\ncall call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{\"x\": "
       "1}\nend\ntext:Done.\n"},
      // The tag inside a text of the arguments ends nothing.
      {kHermes,
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call>\\\"\"}}</tool_call>",
       "call call_0:f\nargs:{\"a\": \"</tool_call>\\\"\"}\nend\n"},
      // Arguments before the name, none at all, as a text, with keys that say nothing.
      {kHermes, "<tool_call>{\"arguments\": {\"a\": 1}, \"name\": \"f\"}</tool_call>",
       "call call_0:f\nargs:{\"a\": 1}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\"}</tool_call>", "call call_0:f\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>",
       "call call_0:f\nargs:{}\nend\n"},
      {kHermes,
       "<tool_call>{\"id\": 5, \"x\": [\"]\"], \"name\": \"f\", \"arguments\": "
       "\"{\\\"a\\\": \\\"\\u00e9\\ud83d\\ude00\\\"}\"}</tool_call>",
       "call call_0:f\nargs:{\"a\": \"\u00e9\U0001F600\"}\nend\n"},
      // A line end inside a text is escaped.
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\ny\"}}</tool_call>",
       "call call_0:f\nargs:{\"a\": \"x\\ny\"}\nend\n"},
      // Several in one tag, in a list or behind each other; the end tag may be missing.
      {kHermes, "<tool_call>[{\"name\": \"f\"}, {\"name\": \"g\"}]</tool_call>",
       "call call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\"}\n{\"name\": \"g\"}",
       "call call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\"}</tool", "call call_0:f\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\"}<tool_call>{\"name\": \"g\"}</tool_call>",
       "call call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{}\nend\n"},
      // What is none comes as text, whole.
      {kHermes, "Write <tool_call> first",
       "text:Write\nmalformed:call of a tool: no JSON object\ntext: <tool_call> first\n"},
      {kHermes, "A\n<tool_call>{\"nam\": 1}</tool_call> B",
       "text:A\nmalformed:call of a tool: it has no name\ntext:\n<tool_call>{\"nam\": "
       "1}</tool_call> B\n"},
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}",
       "malformed:call of a tool: the arguments are no object, or stand there twice\n"
       "text:<tool_call>{\"name\": \"f\", \"arguments\": [1]}\n"},
      {kHermes, "<tool_call><tool_call>{\"name\": \"f\"}</tool_call>",
       "malformed:call of a tool: no JSON object\ntext:<tool_call>\ncall call_0:f\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1]}}</tool_call> B",
       "call call_0:f\nargs:{\"a\": 1\nend cut\nmalformed:call of a tool: a bracket does not "
       "match\n"
       "text:]}}</tool_call> B\n"},
      // Cut off by a limit of tokens.
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x",
       "call call_0:f\nargs:{\"a\": \"x\nend cut\n"},
      {kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {}", "call call_0:f\nargs:{}\nend\n"},
      {kHermes, "<tool_call>{\"na",
       "malformed:call of a tool: the answer ends before its arguments "
       "begin\ntext:<tool_call>{\"na\n"},
      {kHermes, "Yes <tool_ca", "text:Yes <tool_ca\n"},

      {kQwen3, "<think>\nHm, <tool_call> or </thin.\n</think>\n\nYes.",
       "think:Hm, <tool_call> or </thin.\ntext:Yes.\n"},
      {kQwen3, "<think>\n\n</think>\n\nYes.", "text:Yes.\n"},
      {kQwen3, "No <think>tags</think>", "text:No <think>tags</think>\n"},
      {kQwen3, "</think>Yes.", "text:Yes.\n"},
      {kQwen3, "\n<think>cut </th", "think:cut </th\n"},
      {kQwen3, "<thi", "text:<thi\n"},
      {kQwen3, "<think>a</think>\n<tool_call>{\"name\": \"f\"}</tool_call>",
       "think:a\ncall call_0:f\nargs:{}\nend\n"},

      {kLlama, "{\"name\": \"f\", \"parameters\": {\"a\": 1}}",
       "call call_0:f\nargs:{\"a\": 1}\nend\n"},
      {kLlama,
       "\n<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": "
       "\"g\"}",
       "call call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kLlama, "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
       "call call_0:f\nargs:{}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kLlama, "Text {\"name\": \"f\"}", "text:Text {\"name\": \"f\"}\n"},
      {kLlama, " {\"answer\": {\"name\": \"f\"}}", "text: {\"answer\": {\"name\": \"f\"}}\n"},
      {kLlama, "{ not JSON", "text:{ not JSON\n"},

      {kMistral,
       "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": []}, \"id\": \"abc\"}, {\"name\": "
       "\"g\", \"arguments\": {}}]",
       "call call_0:f\nargs:{\"a\": []}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kMistral, "[TOOL] [x]", "text:[TOOL] [x]\n"},
      {kMistralNew, "Now.[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[CALL_ID]abc[ARGS]{}",
       "text:Now.\ncall call_0:f\nargs:{\"a\": 1}\nend\ncall call_1:g\nargs:{}\nend\n"},
      {kMistralNew, "[TOOL_CALLS]f[ARGS]1",
       "malformed:call of a tool: the arguments are no object, or stand there twice\n"
       "text:[TOOL_CALLS]f[ARGS]1\n"},
      {kGranite, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]\n",
       "call call_0:f\nargs:{}\nend\n"},
      {kPhi, "functools[{\"name\": \"f\", \"arguments\": {\"a\": 1}}]",
       "call call_0:f\nargs:{\"a\": 1}\nend\n"},
      {kDeepSeek,
       "<think>hm</"
       "think>So:<\uff5ctool\u2581calls\u2581begin\uff5c><\uff5ctool\u2581call\u2581begin\uff5c>"
       "function"
       "<\uff5ctool\u2581sep\uff5c>f\n```json\n{\"a\": "
       "\"```\"}\n```<\uff5ctool\u2581call\u2581end\uff5c>\n"
       "<\uff5ctool\u2581call\u2581begin\uff5c>function<\uff5ctool\u2581sep\uff5c>g\n```json\n{}\n`"
       "``"
       "<\uff5ctool\u2581call\u2581end\uff5c><\uff5ctool\u2581calls\u2581end\uff5c>",
       "think:hm\ntext:So:\ncall call_0:f\nargs:{\"a\": \"```\"}\nend\ncall "
       "call_1:g\nargs:{}\nend\n"},
  };
  for (const Case& each : cases) {
    EXPECT_EQ(parsed_in_every_cut(options_of(each.chat_template), each.text), each.events)
        << each.text;
  }
}

TEST(AnswerParser, ReasoningThatThePromptBeginsIsOpen) {
  const auto options = options_of(kQwen3, "<|im_start|>assistant\n<think>\n");
  EXPECT_EQ(parsed_in_every_cut(options, "\nHm.\n</think>\n\nYes."), "think:Hm.\ntext:Yes.\n");
  EXPECT_EQ(parsed_in_every_cut(options, "<think>Hm.</think>Yes."), "think:Hm.\ntext:Yes.\n");
  EXPECT_EQ(parsed_in_every_cut(options, "</think>Yes."), "text:Yes.\n");
  EXPECT_EQ(parsed_in_every_cut(options, "Hm"), "think:Hm\n");
  const auto closed = options_of(kQwen3, "<|im_start|>assistant\n<think>\n\n</think>\n\n");
  EXPECT_FALSE(closed.reasoning.has_value());
  EXPECT_EQ(parsed_in_every_cut(closed, "<think>x</think>"), "text:<think>x</think>\n");
}

TEST(AnswerParser, SaysWhetherItIsInReasoning) {
  AnswerParser parser(options_of(kQwen3, "<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(parser.is_in_reasoning());  // it may be closed at once
  for (const auto& [piece, is_in] :
       {std::pair("Hm", true), {" <thi", true}, {"</th", true}, {"ink>", false}, {"Yes", false}}) {
    parser.feed(piece);
    EXPECT_EQ(parser.is_in_reasoning(), is_in) << piece;
  }
}

TEST(AnswerParser, OnlyToolsOfTheRequestAreCalled) {
  auto options = options_of(kHermes);
  options.tool_names = {"f"};
  EXPECT_EQ(parsed_in_every_cut(options, "<tool_call>{\"name\": \"g\"}</tool_call>"),
            "malformed:call of a tool: there is no tool \"g\"\n"
            "text:<tool_call>{\"name\": \"g\"}</tool_call>\n");
  options.finds_calls = false;
  EXPECT_EQ(parsed_in_every_cut(options, "<tool_call>{\"name\": \"f\"}"),
            "text:<tool_call>{\"name\": \"f\"}\n");
}

// Random bits of tags, JSON and text: no cut shows, and nothing that is no tag is lost.
TEST(AnswerParser, NoCutOfAnyTextShows) {
  const char* parts[] = {"<tool_call>",
                         "</tool_call>",
                         "<think>",
                         "</think>",
                         "{\"name\": \"f\"",
                         ", \"arguments\": {",
                         "\"a\": 1",
                         "}",
                         "}}",
                         "]",
                         "[",
                         "\"",
                         "\\",
                         "\n",
                         " ",
                         "text",
                         "[TOOL_CALLS]",
                         "[ARGS]",
                         "<|python_tag|>",
                         "null",
                         ":",
                         "<tool",
                         "\u00e9"};
  std::mt19937 draw(31);
  for (const char* jinja : {kHermes, kQwen3, kLlama, kMistral, kMistralNew, kGranite, kDeepSeek}) {
    for (int round = 0; round < 150; ++round) {
      std::string text;
      for (int i = 0; i < 12; ++i) text += parts[draw() % std::size(parts)];
      const auto options = options_of(jinja);
      const std::string whole = parsed(options, {text});
      std::vector<std::string> pieces;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t size = 1 + draw() % 7;
        pieces.push_back(text.substr(at, size));
        at += size;
      }
      ASSERT_EQ(parsed(options, pieces), whole) << jinja << "\n" << text;
    }
  }
}

TEST(AnswerParser, TextIsHeldBackOnlyWhileItCouldBeATag) {
  AnswerParser parser(options_of(kHermes));
  EXPECT_EQ(shown(parser.feed("Hello <tool")), "text:Hello\n");
  EXPECT_EQ(shown(parser.feed("box")), "text: <toolbox\n");
  EXPECT_EQ(shown(parser.feed(" <tool_call>{\"name\": \"f\", \"arguments\": {\"a\"")),
            "call call_0:f\nargs:{\"a\"\n");
  EXPECT_EQ(shown(parser.feed(": 1")), "args:: 1\n");
}

TEST(AnswerParser, WhatIsHeldForACallIsBounded) {
  const std::string text = "<tool_call>{\"x\": \"" + std::string(2 * kHeldCallBytesMax, 'a');
  const std::string events = parsed(options_of(kHermes), {text});
  EXPECT_TRUE(events.starts_with("malformed:")) << events.substr(0, 100);
  EXPECT_EQ(events.size() - events.find("text:"), text.size() + 6);
  std::string deep = "<tool_call>{\"name\": \"f\", \"arguments\": ";
  for (std::size_t i = 0; i < kArgumentsDepthMax + 1; ++i) deep += "{\"a\":";
  EXPECT_NE(parsed(options_of(kHermes), {deep}).find("end cut"), std::string::npos);
}

TEST(AnswerFormat, IsReadOffTheTemplate) {
  const std::pair<const char*, ToolSyntax> cases[] = {
      {kHermes, ToolSyntax::kHermes},
      {kQwen3, ToolSyntax::kHermes},
      {kLlama, ToolSyntax::kLlama},
      {kMistral, ToolSyntax::kMistral},
      {kMistralNew, ToolSyntax::kMistralArguments},
      {kGranite, ToolSyntax::kToolCallList},
      {kPhi, ToolSyntax::kFunctools},
      {kDeepSeek, ToolSyntax::kDeepSeek},
      {"{% for tool in tools %}{{ tool }}{% endfor %}", ToolSyntax::kJson},
      {"{{ messages }}", ToolSyntax::kNone},
      {"{{ tools }}<tool_call>\n<function=x>", ToolSyntax::kNone},
      {"", ToolSyntax::kNone},
  };
  for (const auto& [jinja, syntax] : cases) {
    EXPECT_STREQ(tool_syntax_name(answer_format_of(jinja).syntax), tool_syntax_name(syntax))
        << jinja;
  }
  EXPECT_TRUE(answer_format_of(kQwen3).reasoning.has_value());
  EXPECT_FALSE(answer_format_of(kHermes).reasoning.has_value());
}

// What the grammar of a form lets through, the parser reads as the calls that were meant.
TEST(AnswerFormat, TheParserReadsWhatTheGrammarForces) {
  constexpr const char* kSchema =
      R"({"type": "object", "properties": {"zone": {"enum": ["UTC", "CET"]}}, "required": ["zone"],
          "additionalProperties": false})";
  for (const char* jinja : {kHermes, kLlama, kMistral, kMistralNew, kGranite, kPhi, kDeepSeek,
                            "{% for tool in tools %}{{ tool }}{% endfor %}"}) {
    const AnswerFormat format = answer_format_of(jinja);
    const auto calls =
        tool_calls_of(format, {{"get_time", kSchema}}, ToolMode::kNamed, /*is_parallel=*/true);
    ConstraintState state = started(
        {.kind = ConstraintKind::kTools, .tools = calls.value(), .space = JsonSpace::kCompact});
    std::string text;
    for (int step = 0; step < 200 && !state.may_end().value(); ++step) {
      const std::int32_t id = text_tokens(mask_of(state)).front();
      ASSERT_TRUE(state.accept(id));
      text += smollm2()->token_bytes(id);
    }
    ASSERT_TRUE(state.may_end().value()) << jinja << text;
    const std::string events = parsed_in_every_cut(options_of(jinja), text);
    EXPECT_TRUE(events.starts_with("call call_0:get_time\nargs:{\"zone\":\"")) << text << "\n"
                                                                               << events;
    EXPECT_TRUE(events.ends_with("\"}\nend\n")) << text << "\n" << events;
  }
}

// [TOOL_CALLS] as a special token: decoded as text where the format says so, and forced as that
// one.
TEST(AnswerFormat, TagsThatAreSpecialTokensAreShown) {
  TokenizerSpec spec = smollm2_spec();
  const std::int32_t id = 6;
  spec.tokens[id] = "[TOOL_CALLS]";
  const auto tokenizer = Tokenizer::create(spec).value();
  ASSERT_TRUE(tokenizer->is_special(id));
  const AnswerFormat format = answer_format_of(kMistral);
  EXPECT_EQ(tag_tokens(format, *tokenizer), std::vector{id});
  EXPECT_TRUE(tag_tokens(answer_format_of(kHermes), *tokenizer).empty());
  StreamDecoder hides(tokenizer);
  EXPECT_EQ(hides.push(id), "");
  StreamDecoder shows(tokenizer,
                      {.is_continuation = true, .shown = tag_tokens(format, *tokenizer)});
  EXPECT_EQ(shows.push(id), "[TOOL_CALLS]");
  EXPECT_EQ(shows.push(spec.eos.value()), "");
  const auto factory = ConstraintFactory::create(tokenizer).value();
  const auto calls = tool_calls_of(format, {{"f", ""}}, ToolMode::kRequired, true).value();
  auto state = ConstraintState::start(
                   factory->compile({.kind = ConstraintKind::kTools, .tools = calls}).value())
                   .value();
  std::vector<std::uint32_t> bits(factory->mask_words());
  ASSERT_TRUE(state.mask(bits));
  EXPECT_EQ(text_tokens(bits), std::vector{id});
}

TEST(AnswerFormat, AModelWithoutAFormForCallsRefusesTools) {
  const auto none = tool_calls_of(answer_format_of(""), {{"f", ""}}, ToolMode::kAuto, true);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(
      tool_calls_of(answer_format_of(kHermes), {{"f", ""}, {"g", ""}}, ToolMode::kNamed, true));
  EXPECT_TRUE(
      tool_calls_of(answer_format_of(kHermes), {{"f", ""}}, ToolMode::kAuto, false)->is_single);
}

}  // namespace
}  // namespace paring::text
