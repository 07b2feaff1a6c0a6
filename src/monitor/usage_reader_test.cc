// SPDX-License-Identifier: Apache-2.0
#include "monitor/usage_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace paring::monitor {
namespace {

using Form = UsageReader::Form;

struct Expected {
  store::TrafficTokens tokens{};
  std::string model{};
  std::string end{};
  std::string error_code{};
  std::size_t chunks = 0;
  bool is_counted = false;
};

void check(const UsageReader& reader, std::size_t chunks, const Expected& expected) {
  const store::TrafficTokens tokens = reader.tokens();
  EXPECT_EQ(tokens.prompt_fresh, expected.tokens.prompt_fresh);
  EXPECT_EQ(tokens.prompt_cached, expected.tokens.prompt_cached);
  EXPECT_EQ(tokens.answer_visible, expected.tokens.answer_visible);
  EXPECT_EQ(tokens.answer_reasoning, expected.tokens.answer_reasoning);
  EXPECT_EQ(tokens.drafted, expected.tokens.drafted);
  EXPECT_EQ(tokens.accepted, expected.tokens.accepted);
  EXPECT_EQ(reader.model(), expected.model);
  EXPECT_EQ(reader.end(), expected.end);
  EXPECT_EQ(reader.error_code(), expected.error_code);
  EXPECT_EQ(reader.is_counted(), expected.is_counted);
  EXPECT_EQ(chunks, expected.chunks);
}

// Whole, cut once at every byte, and byte by byte.
void check_all_cuts(Form form, const std::string& text, const Expected& expected) {
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SCOPED_TRACE(cut);
    UsageReader reader(form);
    std::size_t chunks = reader.read(std::string_view(text).substr(0, cut));
    chunks += reader.read(std::string_view(text).substr(cut));
    reader.finish();
    check(reader, chunks, expected);
    if (testing::Test::HasFailure()) return;
  }
  UsageReader reader(form);
  std::size_t chunks = 0;
  for (const char c : text) chunks += reader.read({&c, 1});
  reader.finish();
  check(reader, chunks, expected);
}

constexpr const char* kChat = R"({"id":"c","model":"m-\u00e4\ud83d\ude00","choices":[{"index":0,
  "message":{"content":"{\"usage\":{\"prompt_tokens\":9}}","usage":{"prompt_tokens":8}},
  "finish_reason":"tool_calls"}],"usage":{"prompt_tokens":11,"completion_tokens":7,
  "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":null},
  "completion_tokens_details":{"reasoning_tokens":2,"accepted_prediction_tokens":3,
  "rejected_prediction_tokens":1}}})";

TEST(UsageReader, ReadsAWholeChatAnswer) {
  check_all_cuts(
      Form::kJson, kChat,
      {.tokens = {7, 4, 5, 2, 4, 3}, .model = "m-\xC3\xA4\xF0\x9F\x98\x80", .end = "tool_calls"});
}

TEST(UsageReader, ReadsAnswersOfOtherRoutes) {
  check_all_cuts(Form::kJson,
                 R"({"object":"list","data":[{"embedding":[0.1,-2e-3,1]}],"model":"e",)"
                 R"("usage":{"prompt_tokens":6,"total_tokens":6}})",
                 {.tokens = {.prompt_fresh = 6}, .model = "e"});
  check_all_cuts(
      Form::kJson,
      R"({"object":"response","status":"incomplete","model":"r","incomplete_details":)"
      R"({"reason":"max_output_tokens"},"usage":{"input_tokens":20,"input_tokens_details")"
      R"(:{"cached_tokens":5},"output_tokens":9,"output_tokens_details":)"
      R"({"reasoning_tokens":9}}})",
      {.tokens = {15, 5, 0, 9}, .model = "r", .end = "length"});
  check_all_cuts(Form::kJson,
                 R"({"type":"message","model":"c","content":[{"type":"text","text":"hi"}],)"
                 R"("stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":9,)"
                 R"("cache_read_input_tokens":20,"cache_creation_input_tokens":5}})",
                 {.tokens = {8, 20, 9}, .model = "c", .end = "stop"});
}

TEST(UsageReader, ReadsErrors) {
  check_all_cuts(Form::kJson, R"({"error":{"message":"m","type":"requests","code":"too_fast"}})",
                 {.error_code = "too_fast"});
  check_all_cuts(Form::kJson, R"({"type":"error","error":{"type":"overloaded_error"}})",
                 {.error_code = "overloaded_error"});
  check_all_cuts(Form::kJson, R"({"error":{"code":null,"type":"server_error"}})",
                 {.error_code = "server_error"});
  check_all_cuts(Form::kJson, R"({"error":"model 'x' not found"})",
                 {.error_code = "model 'x' not found"});
}

constexpr const char* kStream =
    ": a comment\n\n"
    "data: "
    "{\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
    "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a \\\"data: x\"}}]}\n\n"
    "data:{\"choices\":[{\"delta\":{\"reasoning_content\":\"b\"}}],\"usage\":null}\n\n"
    "event: x\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":\ndata: "
    "{\"arguments\":\"{\"}}]}}]}\nid: 3\n\n"
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
constexpr const char* kUsageChunk =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":8}}\n\n";

TEST(UsageReader, ReadsAStreamWithUsage) {
  const std::string text = std::string(kStream) + kUsageChunk + "data: [DONE]\n\n";
  const Expected expected{.tokens = {5, 0, 8}, .model = "m", .end = "stop", .chunks = 3};
  check_all_cuts(Form::kEvents, text, expected);
  std::string returns;
  for (const char c : text) returns += c == '\n' ? std::string("\r\n") : std::string(1, c);
  check_all_cuts(Form::kEvents, returns, expected);
  std::string bare;
  for (const char c : text) bare += c == '\n' ? '\r' : c;
  check_all_cuts(Form::kEvents, bare, expected);
}

TEST(UsageReader, CountsChunksWhereAStreamSaysNothing) {
  check_all_cuts(Form::kEvents, std::string(kStream) + "data: [DONE]\n\n",
                 {.tokens = {.answer_visible = 3},
                  .model = "m",
                  .end = "stop",
                  .chunks = 3,
                  .is_counted = true});
}

TEST(UsageReader, ReadsAnthropicsStream) {
  check_all_cuts(
      Form::kEvents,
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"c\","
      "\"usage\":{\"input_tokens\":4,\"cache_read_input_tokens\":6,\"output_tokens\":1}}}\n\n"
      "event: ping\ndata: {\"type\": \"ping\"}\n\n"
      "data: "
      "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n"
      "data: {\"type\":\"content_block_delta\",\"delta\":{\"thinking\":\"y\"}}\n\n"
      "data: {\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"{\"}}\n\n"
      "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},"
      "\"usage\":{\"output_tokens\":12}}\n\n"
      "data: {\"type\":\"message_stop\"}\n\n",
      {.tokens = {4, 6, 12}, .model = "c", .end = "tool_calls", .chunks = 3});
}

TEST(UsageReader, ReadsTheStreamOfResponses) {
  check_all_cuts(
      Form::kEvents,
      "data: {\"type\":\"response.created\",\"response\":{\"model\":\"r\",\"status\":"
      "\"in_progress\",\"usage\":null}}\n\n"
      "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"
      "data: {\"delta\":\"b\",\"type\":\"response.output_text.delta\"}\n\n"
      "data: {\"type\":\"response.output_text.done\",\"text\":\"ab\"}\n\n"
      "data: "
      "{\"type\":\"response.completed\",\"response\":{\"model\":\"r\",\"status\":\"completed\","
      "\"usage\":{\"input_tokens\":7,\"input_tokens_details\":{\"cached_tokens\":2},"
      "\"output_tokens\":3}}}\n\n",
      {.tokens = {5, 2, 3}, .model = "r", .end = "stop", .chunks = 2});
}

TEST(UsageReader, ReadsLinesOfOllama) {
  check_all_cuts(Form::kLines,
                 "{\"model\":\"o\",\"message\":{\"content\":\"a\"},\"done\":false}\n"
                 "{\"model\":\"o\",\"message\":{\"content\":\"b\"},\"done\":false}\n"
                 "{\"done\":true,\"done_reason\":\"length\",\"message\":{\"content\":\"\"},"
                 "\"prompt_eval_count\":5,\"eval_count\":9}\n",
                 {.tokens = {5, 0, 9}, .model = "o", .end = "length", .chunks = 2});
}

TEST(UsageReader, TakesWhatIsNoAnswerForNone) {
  for (const char* text : {"", "null", "[", "{\"usage\":{\"prompt_tokens\":\"x\"}}", "}", "{]",
                           "<html>", "{\"usage\":{\"prompt_tokens\":-3}}",
                           "{\"usage\":{\"prompt_tokens\":99999999999999999999}}",
                           "{\"x\":{\"usage\":{\"prompt_tokens\":5}}}", "\"\\ud800\\u12g\""}) {
    SCOPED_TRACE(text);
    check_all_cuts(Form::kJson, text, {});
  }
  // What is damaged ends its own event only.
  check_all_cuts(Form::kEvents, std::string("data: {\"choices\":[}\n\n") + kUsageChunk,
                 {.tokens = {5, 0, 8}});
  const std::string deep(100000, '[');
  UsageReader reader(Form::kJson);
  reader.read(deep);
  reader.finish();
  check(reader, 0, {});
}

TEST(UsageReader, KnowsWhetherAStreamSaidItsEnd) {
  for (const char* text : {"data: [DONE]\n\n", "data: {\"type\":\"message_stop\"}\n\n",
                           "data: {\"type\":\"response.completed\"}\n\n"}) {
    UsageReader reader(Form::kEvents);
    reader.read(text);
    EXPECT_TRUE(reader.has_ended()) << text;
  }
  UsageReader reader(Form::kEvents);
  reader.read(kStream);
  EXPECT_FALSE(reader.has_ended());
}

TEST(ReadAskedFor, FindsTheModelWhereverItStands) {
  const std::string prompt(100000, 'x');
  const AskedFor asked =
      read_asked_for("{\"messages\":[{\"content\":\"" + prompt +
                     "\",\"model\":\"no\"}],\"user\":\"u\",\"model\":\"yes\",\"n\":1}");
  EXPECT_EQ(asked.model, "yes");
  EXPECT_EQ(asked.user, "u");
  EXPECT_EQ(read_asked_for("{\"model\":17}").model, "");
  EXPECT_EQ(read_asked_for("no json").model, "");
  EXPECT_EQ(read_asked_for("{\"model\":\"" + prompt + "\"}").model.size(), JsonScan::kTextBytesMax);
}

}  // namespace
}  // namespace paring::monitor
