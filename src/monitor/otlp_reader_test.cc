// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_reader.h"

#include <gtest/gtest.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "monitor/otlp_writer.h"

namespace paring::monitor {
namespace {

using store::TrafficRequest;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string file_bytes(const std::string& name) {
  std::ifstream in(std::filesystem::path(PARING_SOURCE_DIR) / "tests/data/otlp" / name);
  std::string bytes;
  std::string line;
  while (std::getline(in, line)) {
    for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
      unsigned byte = 0;
      std::from_chars(line.data() + i, line.data() + i + 2, byte, 16);
      bytes += static_cast<char>(byte);
    }
  }
  return bytes;
}

// tests/test_otlp.py says that OpenTelemetry's own package writes this file.
TEST(OtlpReader, ReadsWhatOthersWrite) {
  const auto read = read_otlp_traces(bytes_of(file_bytes("foreign.hex")));
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->not_understood, 1);
  ASSERT_EQ(read->rows.size(), 1u);
  const TrafficRequest& row = read->rows[0];
  EXPECT_EQ(row.trace_id, "000102030405060708090a0b0c0d0e0f");
  EXPECT_EQ(row.span_id, "0102030405060708");
  EXPECT_EQ(row.parent_id, "0203040506070809");
  EXPECT_EQ(row.id, "resp_9");
  EXPECT_EQ(row.model, "gpt");
  EXPECT_EQ(row.route, "chat");
  EXPECT_EQ(row.end, "length");
  EXPECT_EQ(row.tenant, "");  // not for a sender to say
  EXPECT_TRUE(row.is_complete);
  EXPECT_EQ(row.tokens.prompt_fresh, 44);
  EXPECT_EQ(row.tokens.prompt_cached, 256);
  EXPECT_EQ(row.tokens.answer_visible, 50);
  EXPECT_EQ(row.tokens.answer_reasoning, 20);
  EXPECT_EQ(row.started_s, 1'795'392'000.25);
  EXPECT_EQ(row.seconds.total, 1.5);
  EXPECT_EQ(row.seconds.first_token, 0.25);
}

TEST(OtlpReader, ReadsWhatTheWriterWrites) {
  const auto read = read_otlp_traces(bytes_of(file_bytes("traces.hex")));
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->not_understood, 3);  // the parts of a request
  ASSERT_EQ(read->rows.size(), 2u);
  const TrafficRequest& row = read->rows[0];
  EXPECT_EQ(row.route, "/v1/chat/completions");
  EXPECT_EQ(row.status, 200);
  EXPECT_EQ(row.variant, "small-q4");
  EXPECT_EQ(row.seconds.queue, 0.5);
  EXPECT_EQ(row.seconds.decode, 1.0);
  EXPECT_EQ(row.joules, 12.5);
  EXPECT_EQ(row.joules_kind, store::JoulesKind::kMeasured);
  EXPECT_EQ(row.money.currency, "EUR");
  EXPECT_EQ(row.key_id, "");
  EXPECT_EQ(read->rows[1].error_code, "overloaded");
  EXPECT_EQ(read->rows[1].end, "error");
  EXPECT_FALSE(read->rows[1].is_complete);
}

TEST(OtlpReader, BytesThatAreCutOrChangedAreAnErrorOrRowsAndNoMore) {
  const std::string whole = file_bytes("traces.hex");
  int refused = 0;
  for (std::size_t size = 1; size < whole.size(); ++size) {
    // In a block of its own size, so that a sanitizer sees a read beyond it.
    const std::vector<std::uint8_t> cut(whole.begin(),
                                        whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(read_otlp_traces(cut)) << size;
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::vector<std::uint8_t> changed(whole.begin(), whole.end());
    changed[i] = static_cast<std::uint8_t>(~changed[i]);
    refused += read_otlp_traces(changed) ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
  EXPECT_TRUE(read_otlp_traces({})->rows.empty());
}

TEST(OtlpReader, SpansHaveABound) {
  const TrafficRequest row = [] {
    TrafficRequest made;
    made.model = "m";
    return made;
  }();
  std::vector<TrafficRequest> rows(kOtlpSpansMax, row);
  EXPECT_EQ(read_otlp_traces(bytes_of(otlp_traces(rows, {})))->rows.size(), kOtlpSpansMax);
  rows.push_back(row);
  const auto read = read_otlp_traces(bytes_of(otlp_traces(rows, {})));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kExhausted);
}

}  // namespace
}  // namespace paring::monitor
