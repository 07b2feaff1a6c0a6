// SPDX-License-Identifier: Apache-2.0
// Chat templates against Jinja2 (tools/make_chat_golden.py), and templates that mean harm.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "text/chat_template.h"
#include "text/fixture_for_test.h"

namespace paring::text {
namespace {

using Template = std::shared_ptr<const ChatTemplate>;

Template made(std::string_view source) {
  auto created = ChatTemplate::create(source, "<BOS>", "<EOS>");
  EXPECT_TRUE(created.has_value()) << created.error().text();
  return created.has_value() ? *created : nullptr;
}

Result<std::string> rendered(std::string_view source) {
  auto created = ChatTemplate::create(source, "<BOS>", "<EOS>");
  if (!created.has_value()) return created.error();
  const ChatMessage message{"user", "hi"};
  return (*created)->render_at({&message, 1}, true, 0);
}

void expect_error(std::string_view source, ErrorCode code, const std::string& part) {
  const Result<std::string> text = rendered(source);
  ASSERT_FALSE(text.has_value()) << source;
  EXPECT_EQ(text.error().code, code) << text.error().text();
  EXPECT_NE(text.error().message.find(part), std::string::npos) << text.error().text();
}

TEST(ChatTemplate, RendersAsJinja2) {
  setenv("TZ", "UTC", 1);
  tzset();
  const auto golden = nlohmann::json::parse(read_test_file("chat/golden.json"));
  int equal = 0;
  for (const auto& item : golden.at("cases")) {
    const std::string name = item.at("template");
    const auto chat_template = made(golden.at("templates").at(name).get<std::string>());
    ASSERT_NE(chat_template, nullptr);
    std::vector<ChatMessage> messages;
    for (const auto& message : golden.at("chats").at(item.at("chat").get<std::string>())) {
      messages.push_back({message.at("role"), message.at("content")});
    }
    const auto text = chat_template->render_at(messages, item.at("add_generation_prompt"),
                                               golden.at("now").get<std::int64_t>());
    const std::string what = name + " " + item.at("chat").get<std::string>();
    if (item.contains("error")) {
      ASSERT_FALSE(text.has_value()) << what;
      EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(text.error().message.find(item.at("error").get<std::string>()), std::string::npos)
          << text.error().text();
    } else {
      ASSERT_TRUE(text.has_value()) << what << ": " << text.error().text();
      EXPECT_EQ(*text, item.at("text").get<std::string>()) << what;
    }
    ++equal;
  }
  EXPECT_GE(equal, 80);
  std::printf("  %d renderings compared\n", equal);
}

TEST(ChatTemplate, RendersToolsAsTransformers) {
  setenv("TZ", "UTC", 1);
  tzset();
  const auto golden = nlohmann::ordered_json::parse(read_test_file("chat/tools.json"));
  int equal = 0;
  for (const auto& item : golden.at("cases")) {
    const auto chat_template =
        made(golden.at("templates").at(item.at("template").get<std::string>()).get<std::string>());
    ASSERT_NE(chat_template, nullptr);
    const auto& tools = golden.at("tools").at(item.at("tools").get<std::string>());
    const ChatInput chat{golden.at("chats").at(item.at("chat").get<std::string>()).dump(),
                         tools.is_null() ? "" : tools.dump(), ""};
    const auto text = chat_template->render_at(chat, item.at("add_generation_prompt"),
                                               golden.at("now").get<std::int64_t>());
    if (item.contains("error")) {
      ASSERT_FALSE(text.has_value()) << item.dump();
      EXPECT_NE(text.error().message.find(item.at("error").get<std::string>()), std::string::npos)
          << text.error().text();
    } else {
      ASSERT_TRUE(text.has_value()) << item.dump() << text.error().text();
      EXPECT_EQ(*text, item.at("text").get<std::string>());
    }
    ++equal;
  }
  EXPECT_GE(equal, 90);
  std::printf("  %d renderings with tools compared\n", equal);
}

TEST(ChatTemplate, RefusesChatsThatAreNotJson) {
  const Template chat_template = made("{{ messages[0].content }}{{ extra }}");
  const ChatInput good{R"([{"role": "user", "content": "hi"}])", "", R"({"extra": 1})"};
  EXPECT_EQ(chat_template->render(good, false).value(), "hi1");
  ChatInput bad = good;
  for (const char* messages : {"", "{}", "[", R"([], "tools": [1])", "[]]"}) {
    bad.messages = messages;
    EXPECT_FALSE(chat_template->render(bad, false).has_value()) << messages;
  }
  bad = good;
  bad.variables = R"({"messages": []})";  // does not replace them
  EXPECT_EQ(chat_template->render(bad, false).value(), "hi");
  bad.variables = "[]";
  EXPECT_FALSE(chat_template->render(bad, false).has_value());
  bad = good;
  bad.tools = std::string(200, '[') + std::string(200, ']');
  EXPECT_FALSE(chat_template->render(bad, false).has_value());
}

TEST(ChatTemplate, StopsEndlessWork) {
  expect_error("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
               ErrorCode::kExhausted, "template instructions");
  expect_error("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", ErrorCode::kInvalidArgument,
               "recursion");
  expect_error("{% for a in range(3000) %}{{ 'x' * 10000 }}{% endfor %}", ErrorCode::kExhausted,
               "longer than");
  expect_error("{{ 'x' * 999999999 }}", ErrorCode::kExhausted, "repeats constants");
  expect_error("{{ range(999999999) | list }}", ErrorCode::kInvalidArgument, "range");
}

// Memory that no output shows: strings, lists and captures in variables.
TEST(ChatTemplate, StopsValuesThatGrow) {
  const std::string loop = "{% for i in range(99) %}";
  const std::string set = "{% set ns = namespace(s='xxxxxxxx', l=[1, 2]) %}";
  const std::string end = "{% endfor %}";
  for (const std::string& source :
       {set + loop + "{% set ns.s = ns.s ~ ns.s %}" + end,
        set + loop + "{% set ns.s = ns.s + ns.s %}" + end,
        set + loop + "{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}" + end,
        set + "{% macro d(s) %}{{ s }}{{ s }}{% endmacro %}" + loop + "{% set ns.s = d(ns.s) %}" +
            end,
        set + loop + "{% set ns.l = ns.l + ns.l %}" + end,
        set + loop + "{% set ns.l = [ns.l, ns.l] %}" + end,
        set + loop + "{% set ns.s = ns.s | replace('', ns.s) %}" + end,
        set + loop + "{% set ns.s = ns.s.replace('x', ns.s) %}" + end,
        set + loop + "{% set ns.s = ns.s.join(['a', ns.s, 'b']) %}" + end,
        set + loop + "{% set ns.s = '%s%s' | format(ns.s, ns.s) %}" + end,
        set + loop + "{% set ns.s = ns.l | tojson ~ ns.s ~ ns.s %}" + end,
        std::string("{% set n = 1000000000 %}{{ 'x' * n }}"),
        std::string("{% set n = 1000000000 %}{{ [1] * n }}"),
        std::string("{{ '%1000000000d' | format(1) }}"),
        std::string("{% set n = 1000000000 %}{{ 'a' | indent(n, true) }}")}) {
    const auto begin = std::chrono::steady_clock::now();
    expect_error(source, ErrorCode::kExhausted, "134217728 bytes");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << source;
  }
}

// What makes nothing but reads all there is, once an instruction or once for each item of a list.
TEST(ChatTemplate, StopsLongReading) {
  const std::string texts =
      "{% set k = 10000000 %}{% set a = 'a' * k %}{% set b = 'a' * k %}{% for i in range(99999) %}";
  const std::string lists = "{% set k = 1000000 %}{% set t = 'a' * k %}{% set a = [t] * k %}";
  const std::string numbers = "{% set k = 40 %}{% set a = range(20000) | list * k %}";
  std::vector<std::string> sources;
  for (const char* expression :
       {"a.count('aab')", "a.endswith(b)", "a | length", "a >= b", "a <= b <= a", "a is eq b",
        "a is lower", "'b' in a", "a[9999999]", "a | int(0)", "loop.changed(a)"}) {
    sources.push_back(texts + "{% set x = " + expression + " %}{% endfor %}");
  }
  sources.push_back(texts + "{% for c in a %}{% break %}{% endfor %}{% endfor %}");
  sources.push_back("{% set k = 1000000 %}{% set a = 'a' * k %}{{ a.strip('b' * k ~ 'a') }}");
  for (const char* expression : {"a | max", "a | sort", "a | unique | list", "'x'.startswith(a)",
                                 "a | map(attribute=t) | list"}) {
    sources.push_back(lists + "{{ " + expression + " }}");
  }
  sources.push_back(numbers + "{{ a | select('in', a) | list }}");
  for (const std::string& source : sources) {
    const std::clock_t begin = std::clock();
    expect_error(source, ErrorCode::kExhausted, "134217728 bytes");
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, 5) << source;
  }
}

// A slice of a text counts its characters from the beginning; nothing else bounds that.
TEST(ChatTemplate, StopsForWantOfTime) {
  expect_error(
      "{% set k = 10000000 %}{% set a = 'a' * k %}{% for i in range(99999) %}"
      "{% set x = a[9999998:] %}{% endfor %}",
      ErrorCode::kExhausted, "s of processor time");
}

TEST(ChatTemplate, DividesByNothing) {
  expect_error("{{ 4 is divisibleby(0) }}", ErrorCode::kInvalidArgument, "zero");
  EXPECT_EQ(*rendered("{{ 4 is divisibleby(2) }} {{ 4 is divisibleby(3) }}"), "True False");
  expect_error("{{ 4 % 0 }}", ErrorCode::kInvalidArgument, "failed");
  expect_error("{{ 4 // 0 }}", ErrorCode::kInvalidArgument, "failed");
}

TEST(ChatTemplate, StopsDeepNesting) {
  const auto repeated = [](const std::string& part, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += part;
    return text;
  };
  expect_error("{{ " + repeated("1+", 60000) + "1 }}", ErrorCode::kCorrupt, "tokens in one tag");
  expect_error("{{ 1" + repeated("|abs", 60000) + " }}", ErrorCode::kCorrupt, "tokens in one tag");
  expect_error(repeated("{% if x %}", 10000), ErrorCode::kCorrupt, "does not parse");
  EXPECT_TRUE(rendered("{% if x %}" + repeated("{% elif x %}", 20000) + "{% endif %}").has_value());
  expect_error(
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}"
      "{% endfor %}",
      ErrorCode::kExhausted, "134217728 bytes");
}

// A cycle of counted references would never be freed: LeakSanitizer sees what these leave.
TEST(ChatTemplate, RefusesANamespaceInANamespace) {
  const std::string two = "{% set a = namespace() %}{% set b = namespace(x=a) %}";
  for (const std::string& source :
       {two + "{% set a.x = a %}", two + "{% set a.x = b %}", two + "{% set a.x = [1, [a]] %}",
        two + "{% set a.x = {'k': a} %}", two + "{% set a.x = [a] | batch(1) %}",
        two + "{% set a.x = {'k': a}.items() %}",
        two + "{% for i in [a, b] %}{% set a.x = loop %}{% endfor %}"}) {
    expect_error(source, ErrorCode::kInvalidArgument, "a namespace cannot be kept in a namespace");
  }
  EXPECT_EQ(
      rendered("{% set a = namespace() %}{% set b = namespace(x=a) %}{% set a.y = [{'k': 'v'}] %}"
               "{{ b.x.y[0].k }}")
          .value(),
      "v");
  // Through a macro, which the engine's own clean-up frees.
  EXPECT_TRUE(rendered("{% set a = namespace() %}{% macro m() %}{{ a.x }}{% endmacro %}"
                       "{% set a.x = m %}")
                  .has_value());
}

TEST(ChatTemplate, RefusesWhatIsNotATemplate) {
  expect_error("{% if %}", ErrorCode::kCorrupt, "does not parse");
  expect_error("{{ unclosed", ErrorCode::kCorrupt, "does not parse");
  expect_error("{% for x in y %}", ErrorCode::kCorrupt, "does not parse");
  expect_error("{% include 'other' %}", ErrorCode::kInvalidArgument, "failed");
  expect_error("{{ messages[0].content.no_such_method() }}", ErrorCode::kInvalidArgument, "failed");
  expect_error("{{ messages | no_such_filter }}", ErrorCode::kInvalidArgument, "no_such_filter");
  expect_error("\xFF{{ 1 }}", ErrorCode::kInvalidArgument, "UTF-8");
  expect_error(std::string(kTemplateBytesMax + 1, 'x'), ErrorCode::kInvalidArgument, "limit");
  expect_error("{{ strftime_now('" + std::string(300, 'y') + "') }}", ErrorCode::kInvalidArgument,
               "strftime_now");
  expect_error(std::string(2000, '(').insert(0, "{{ ") + "1" + std::string(2000, ')') + " }}",
               ErrorCode::kCorrupt, "does not parse");
}

TEST(ChatTemplate, TheSandboxHasNoWayOut) {
  for (const char* source :
       {"{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.popen('id') }}"}) {
    const Result<std::string> text = rendered(source);
    EXPECT_FALSE(text.has_value() && !text->empty()) << source << " gave " << *text;
  }
}

TEST(ChatTemplate, RefusesMessagesBeyondTheLimits) {
  const Template chat_template = made("{{ messages[0].content }}");
  const ChatMessage broken{"user", "\xFF"};
  auto text = chat_template->render({&broken, 1}, false);
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(text.error().message.find("message 0"), std::string::npos);
  const ChatMessage large{"user", std::string(kChatBytesMax, 'x')};
  text = chat_template->render({&large, 1}, false);
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  const std::vector<ChatMessage> many(kChatMessagesMax + 1);
  EXPECT_FALSE(chat_template->render(many, false).has_value());
  EXPECT_FALSE(chat_template->render(std::span<const ChatMessage>(), false)
                   .has_value());  // messages[0] of none
}

TEST(ChatTemplate, IsSharedByThreads) {
  const Template chat_template =
      made("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const ChatMessage message{"user", std::to_string(t)};
      for (int i = 0; i < 200; ++i) {
        const auto text = chat_template->render({&message, 1}, false);
        if (!text.has_value() || *text != "user:" + std::to_string(t) + ";") ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace paring::text
