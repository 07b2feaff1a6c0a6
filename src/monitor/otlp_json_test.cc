// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_json.h"

#include <gtest/gtest.h>

#include <string>

#include "monitor/otlp_reader.h"

namespace paring::monitor {
namespace {

Result<OtlpSpans> spans_of(const std::string& json) {
  PARING_TRY(const std::string bytes, otlp_of_json(json, OtlpRequest::kTraces));
  return read_otlp_traces({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}
Result<OtlpEvaluations> evaluations_of(const std::string& json) {
  PARING_TRY(const std::string bytes, otlp_of_json(json, OtlpRequest::kLogs));
  return read_otlp_evaluations({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::string span(const std::string& more) {
  return R"({"resourceSpans":[{"resource":{},"scopeSpans":[{"spans":[{
    "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",
    "startTimeUnixNano":"1795392000250000000","endTimeUnixNano":1795392002250000000,
    "kind":3,"future":{"x":[1]},)" +
         more + "}]}]}]}";
}

TEST(OtlpJson, ASpanOfAModelIsARow) {
  const auto read = spans_of(span(R"("attributes":[
    {"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
    {"key":"gen_ai.request.model","value":{"stringValue":"small"}},
    {"key":"gen_ai.response.model","value":{"stringValue":"small"}},
    {"key":"gen_ai.usage.input_tokens","value":{"intValue":"12"}},
    {"key":"gen_ai.usage.output_tokens","value":{"intValue":7}},
    {"key":"gen_ai.response.finish_reasons",
     "value":{"arrayValue":{"values":[{"stringValue":"stop"}]}}}
    ],"status":{"code":2})"));
  ASSERT_TRUE(read) << read.error().text();
  ASSERT_EQ(read->rows.size(), 1U);
  const store::TrafficRequest& row = read->rows[0];
  EXPECT_EQ(row.trace_id, "5b8efff798038103d269b633813fc60c");
  EXPECT_EQ(row.span_id, "eee19b7ec3c1b174");
  EXPECT_EQ(row.model, "small");
  EXPECT_DOUBLE_EQ(row.started_s, 1795392000.25);
  EXPECT_DOUBLE_EQ(*row.seconds.total, 2);
  EXPECT_EQ(row.tokens.prompt_fresh, 12);
  EXPECT_EQ(row.tokens.answer_visible, 7);
  EXPECT_EQ(row.end, "stop");
}

TEST(OtlpJson, AnEvaluationIsRead) {
  const auto read = evaluations_of(R"({"resourceLogs":[{"scopeLogs":[{"logRecords":[
    {"eventName":"gen_ai.evaluation.result","spanId":"eee19b7ec3c1b174","attributes":[
      {"key":"gen_ai.evaluation.name","value":{"stringValue":"Relevance"}},
      {"key":"gen_ai.evaluation.score.value","value":{"doubleValue":0.75}},
      {"key":"gen_ai.evaluation.score.label","value":{"stringValue":"good"}},
      {"key":"gen_ai.evaluation.explanation","value":{"stringValue":"fits"}},
      {"key":"gen_ai.response.id","value":{"stringValue":"chatcmpl-7"}}]},
    {"body":{"stringValue":"hello"}},
    {"eventName":"gen_ai.evaluation.result","attributes":[
      {"key":"gen_ai.evaluation.name","value":{"stringValue":"Relevance"}}]}]}]}]})");
  ASSERT_TRUE(read) << read.error().text();
  ASSERT_EQ(read->all.size(), 1U);
  EXPECT_EQ(read->not_understood, 2);
  EXPECT_EQ(read->all[0].name, "Relevance");
  EXPECT_DOUBLE_EQ(*read->all[0].value, 0.75);
  EXPECT_EQ(read->all[0].label, "good");
  EXPECT_EQ(read->all[0].response_id, "chatcmpl-7");
  EXPECT_EQ(read->all[0].span_id, "eee19b7ec3c1b174");
}

TEST(OtlpJson, WhatIsWrongIsNamed) {
  const auto said = [](const std::string& more) { return spans_of(span(more)).error().text(); };
  EXPECT_NE(said(R"("name":7)").find("traces.resourceSpans[0].scopeSpans[0].spans[0].name"),
            std::string::npos);
  EXPECT_NE(said(R"("parentSpanId":"xyz")").find("hexadecimal"), std::string::npos);
  EXPECT_NE(said(R"("attributes":{})").find("a list"), std::string::npos);
  EXPECT_NE(said(R"("attributes":[{"key":"a","value":{"intValue":"1.5"}}])").find("whole"),
            std::string::npos);
  EXPECT_NE(spans_of("{").error().text().find("no JSON"), std::string::npos);
  EXPECT_NE(spans_of("[]").error().text().find("an object"), std::string::npos);
  EXPECT_TRUE(spans_of("{}"));
  EXPECT_TRUE(spans_of(R"({"resourceSpans":null})"));
}

TEST(OtlpJson, DepthIsBounded) {
  std::string value = R"({"stringValue":"x"})";
  for (int i = 0; i < 200; ++i) value = R"({"arrayValue":{"values":[)" + value + "]}}";
  EXPECT_FALSE(spans_of(span(R"("attributes":[{"key":"a","value":)" + value + "}]")));
  std::string lists(1'000'000, '[');
  EXPECT_FALSE(spans_of(lists));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += R"({"resourceSpans":)";
  EXPECT_FALSE(spans_of(deep));
}

}  // namespace
}  // namespace paring::monitor
