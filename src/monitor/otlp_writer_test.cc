// SPDX-License-Identifier: Apache-2.0
// The bytes are compared with files that tests/test_otlp.py reads with OpenTelemetry's own package:
// what it finds there is what the writer writes.
#include "monitor/otlp_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "monitor/genai_names.h"

namespace paring::monitor {
namespace {

using store::TrafficRequest;

const OtlpResource kResource{.service_name = "paring",
                             .service_version = "0.1.0",
                             .server_address = "llm.example",
                             .server_port = 8080};

TrafficRequest full_row() {
  TrafficRequest row;
  row.id = "req_1";
  row.trace_id = "0af7651916cd43dd8448eb211c80319c";
  row.span_id = "b7ad6b7169203331";
  row.parent_id = "00f067aa0ba902b7";
  row.started_s = 1'795'392'000.25;
  row.route = "/v1/chat/completions";
  row.status = 200;
  row.is_complete = true;
  row.end = "stop";
  row.key_id = "key_7";
  row.tenant = "team";
  row.user = "ann";
  row.session = "talk";
  row.model = "small";
  row.variant = "small-q4";
  row.cache = store::TrafficCache::kNone;
  row.tokens = {100, 28, 40, 10, 12, 9};
  row.seconds = {0.5, 0.25, 1.0, 0.75, 2.0};
  row.operations = 3e9;
  row.bytes_read = 5e8;
  row.joules = 12.5;
  row.joules_kind = store::JoulesKind::kMeasured;
  row.money = {0.5, 0.25, 0.125, "EUR"};
  row.peak_pages = 6;
  row.preemptions = 1;
  row.content = store::TrafficContent{"a secret question", "a secret answer"};
  return row;
}

// Without ids of a trace, and with a fault.
TrafficRequest bare_row() {
  TrafficRequest row;
  row.id = "req_2";
  row.started_s = 1'795'392'001;
  row.route = "/v1/embeddings";
  row.status = 503;
  row.error_code = "overloaded";
  row.model = "small";
  row.seconds.total = 0.04;
  return row;
}

std::string hex_of(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
    if (out.size() % 101 == 100) out += '\n';
  }
  return out + '\n';
}

// PARING_UPDATE_OTLP=1 in the environment writes the files anew.
void expect_file(const std::string& name, const std::string& bytes) {
  const std::filesystem::path path =
      std::filesystem::path(PARING_SOURCE_DIR) / "tests/data/otlp" / name;
  if (std::getenv("PARING_UPDATE_OTLP") != nullptr) std::ofstream(path) << hex_of(bytes);
  std::ifstream in(path);
  const std::string there{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_EQ(hex_of(bytes), there) << path;
}

TEST(OtlpWriter, WritesTheSpansOfTheFileThatTheOtherReaderReads) {
  const TrafficRequest rows[] = {full_row(), bare_row()};
  const std::string bytes = otlp_traces(rows, kResource);
  expect_file("traces.hex", bytes);
  EXPECT_EQ(bytes.find("secret"), std::string::npos);
}

TEST(OtlpWriter, WritesTheHistogramsOfTheFileThatTheOtherReaderReads) {
  OtlpMetrics metrics(kResource, 1'795'391'000);
  EXPECT_EQ(metrics.request(1'795'392'000), "");
  metrics.add(full_row());
  TrafficRequest at_a_bound = full_row();
  at_a_bound.seconds.total = 0.01;
  metrics.add(at_a_bound);
  TrafficRequest endless = full_row();
  endless.seconds.total = std::numeric_limits<double>::infinity();
  endless.tokens = {};
  endless.seconds.first_token.reset();
  metrics.add(endless);
  metrics.add(bare_row());
  expect_file("metrics.hex", metrics.request(1'795'392'010.5));
}

TEST(OtlpWriter, ARowSentTwiceHasTheSameIdsAndAnotherRowHasOthers) {
  const TrafficRequest row = bare_row();
  TrafficRequest other = row;
  other.id = "req_3";
  const std::string once = otlp_traces({&row, 1}, kResource);
  EXPECT_EQ(otlp_traces({&row, 1}, kResource), once);
  EXPECT_NE(otlp_traces({&other, 1}, kResource), once);
}

TEST(OtlpWriter, ModelsBeyondTheLastAreCountedTogether) {
  OtlpMetrics metrics(kResource, 0);
  for (std::size_t i = 0; i < OtlpMetrics::kSeriesMax; ++i) {
    TrafficRequest row = bare_row();
    row.model = "m" + std::to_string(i);
    metrics.add(row);
  }
  const std::string before = metrics.request(1);
  EXPECT_EQ(before.find("otel.metric.overflow"), std::string::npos);
  TrafficRequest last = bare_row();
  for (int i = 0; i < 1000; ++i) {
    last.model = "beyond" + std::to_string(i);
    metrics.add(last);
  }
  const std::string after = metrics.request(1);
  EXPECT_NE(after.find("otel.metric.overflow"), std::string::npos);
  EXPECT_EQ(after.find("beyond"), std::string::npos);
  EXPECT_LT(after.size(), before.size() + 1000);
}

TEST(GenaiNames, OperationsOfRoutes) {
  EXPECT_EQ(genai_operation_of("/v1/chat/completions"), "chat");
  EXPECT_EQ(genai_operation_of("/v1/messages"), "chat");
  EXPECT_EQ(genai_operation_of("/v1/completions"), "text_completion");
  EXPECT_EQ(genai_operation_of("/api/embed"), "embeddings");
  EXPECT_EQ(genai_operation_of("/v1/rerank"), "rerank");
  EXPECT_EQ(genai_operation_of(""), "request");
}

}  // namespace
}  // namespace paring::monitor
