// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_input.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace paring::serve {
namespace {

constexpr const char* kChat = "/v1/chat/completions";

std::string line(const std::string& id, const std::string& prompt = "hi",
                 const std::string& model = "m") {
  return fmt::format(R"({{"custom_id":"{}","method":"POST","url":"{}",)"
                     R"("body":{{"model":"{}","messages":[{{"role":"user","content":"{}"}}]}}}})",
                     id, kChat, model, prompt);
}

BatchInput read(const std::string& text, const BatchInputLimits& limits = {},
                std::size_t piece = std::size_t{1} << 20) {
  BatchInputReader reader(kChat, limits);
  for (std::size_t at = 0; at < text.size(); at += piece) {
    reader.append(std::string_view(text).substr(at, piece));
  }
  return reader.finish();
}

TEST(BatchInput, LinesAreFoundWhereTheyLie) {
  const std::string text = line("a") + "\n\r\n" + line("b") + "\r\n" + line("c");
  for (const std::size_t piece : {1, 7, 1000}) {
    const BatchInput input = read(text, {}, piece);
    ASSERT_TRUE(input.errors.empty()) << input.errors.front().message;
    ASSERT_EQ(input.lines.size(), 3U);
    EXPECT_EQ(input.model, "m");
    EXPECT_EQ(input.lines[1].number, 3);
    for (const BatchLine& each : input.lines) {
      const auto parsed = parse_batch_line(text.substr(each.offset, each.bytes), kChat, {});
      ASSERT_TRUE(std::holds_alternative<BatchLineContent>(parsed));
    }
    const auto last =
        parse_batch_line(text.substr(input.lines[2].offset, input.lines[2].bytes), kChat, {});
    EXPECT_EQ(std::get<BatchLineContent>(last).custom_id, "c");
  }
}

TEST(BatchInput, EachFindingNamesItsLine) {
  struct Case {
    std::string line;
    const char* code;
    const char* param;
  };
  const Case cases[] = {
      {"{", "invalid_json_line", ""},
      {"[1]", "invalid_json_line", ""},
      {"\"a\"", "invalid_json_line", ""},
      {"{\"a\":\"\xff\"}", "invalid_json_line", ""},
      {std::string(100, '[') + std::string(100, ']'), "invalid_json_line", ""},
      {R"({"method":"POST"})", "missing_required_parameter", "custom_id"},
      {R"({"custom_id":null})", "missing_required_parameter", "custom_id"},
      {R"({"custom_id":5})", "invalid_type", "custom_id"},
      {R"({"custom_id":""})", "invalid_value", "custom_id"},
      {R"({"custom_id":")" + std::string(513, 'x') + "\"}", "invalid_value", "custom_id"},
      {R"({"custom_id":"b"})", "missing_required_parameter", "method"},
      {R"({"custom_id":"b","method":"GET"})", "invalid_method", "method"},
      {R"({"custom_id":"b","method":"POST","url":"/v1/embeddings"})", "invalid_url", "url"},
      {R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions"})",
       "missing_required_parameter", "body"},
      {R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":[]})",
       "invalid_type", "body"},
      {R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{}})",
       "missing_required_parameter", "body.model"},
      {R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions",)"
       R"("body":{"model":"m","stream":true}})",
       "unsupported_parameter", "body.stream"},
      {line("a"), "duplicate_custom_id", "custom_id"},
      {line("b", "hi", "other"), "mismatched_model", "body.model"},
  };
  for (const Case& each : cases) {
    const BatchInput input = read(line("a") + "\n" + each.line + "\n" + line("z") + "\n");
    ASSERT_EQ(input.errors.size(), 1U) << each.line;
    EXPECT_EQ(input.errors[0].code, each.code) << each.line;
    EXPECT_EQ(input.errors[0].param, each.param) << each.line;
    EXPECT_EQ(input.errors[0].line, 2) << each.line;
  }
}

TEST(BatchInput, LimitsHold) {
  EXPECT_EQ(read("").errors.at(0).code, "empty_file");
  EXPECT_EQ(read("\n \n\n").errors.at(0).code, "empty_file");
  BatchInputLimits limits;
  limits.lines_max = 2;
  EXPECT_TRUE(read(line("a") + "\n" + line("b") + "\n\n", limits).errors.empty());
  EXPECT_EQ(read(line("a") + "\n" + line("b") + "\n" + line("c"), limits).errors.at(0).code,
            "too_many_lines");
  limits = {};
  limits.line_bytes_max = line("a").size();
  for (const std::size_t piece : {1, 50, 10000}) {
    const BatchInput input = read(line("a") + "\n" + line("bb") + "\n" + line("c"), limits, piece);
    ASSERT_EQ(input.errors.size(), 1U);
    EXPECT_EQ(input.errors[0].code, "line_too_long");
    EXPECT_EQ(input.errors[0].line, 2);
    EXPECT_EQ(input.lines.size(), 2U);
    EXPECT_EQ(input.lines[1].number, 3);
  }
}

TEST(BatchInput, AHopelessFileIsNotReadToItsEnd) {
  BatchInputLimits limits;
  limits.errors_max = 5;
  BatchInputReader reader(kChat, limits);
  for (int i = 0; i < 1000; ++i) reader.append("{\n");
  EXPECT_TRUE(reader.is_hopeless());
  EXPECT_EQ(reader.finish().errors.size(), 5U);
}

// Prompts with a common beginning run side by side, whatever their order in the file.
TEST(BatchInput, EqualBeginningsAreNeighbours) {
  const std::string systems[] = {std::string(5000, 'a'), std::string(5000, 'b'),
                                 std::string(300, 'a') + std::string(4700, 'c')};
  std::string text;
  for (int i = 0; i < 30; ++i) {
    text += line(std::to_string(i), systems[i % 3] + " question " + std::to_string(i)) + "\n";
  }
  const BatchInput input = read(text);
  const std::vector<std::uint32_t> order = batch_order(input.lines);
  ASSERT_EQ(order.size(), 30U);
  EXPECT_EQ(std::set<std::uint32_t>(order.begin(), order.end()).size(), 30U);
  int changes = 0;
  for (std::size_t i = 1; i < order.size(); ++i) changes += order[i] % 3 != order[i - 1] % 3;
  EXPECT_EQ(changes, 2);
}

TEST(BatchInput, AnyPiecesGiveTheSame) {
  RandomStream random({.seed = 31});
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 5; ++i) {
      text += line(std::to_string(random.below(8))) + (random.below(3) == 0 ? "\r\n\n" : "\n");
    }
    for (int i = 0; i < 3; ++i) {
      text[random.below(static_cast<std::uint32_t>(text.size()))] =
          static_cast<char>(random.next_u32());
    }
    const BatchInput whole = read(text);
    const BatchInput parts = read(text, {}, 1 + random.below(60));
    ASSERT_EQ(whole.lines.size(), parts.lines.size());
    ASSERT_EQ(whole.errors.size(), parts.errors.size());
    for (std::size_t i = 0; i < whole.lines.size(); ++i) {
      EXPECT_EQ(whole.lines[i].offset, parts.lines[i].offset);
      EXPECT_EQ(whole.lines[i].beginnings, parts.lines[i].beginnings);
    }
  }
}

}  // namespace
}  // namespace paring::serve
