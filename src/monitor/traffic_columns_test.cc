// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic_columns.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "store/token_gaps.h"

namespace paring::monitor {
namespace {

using Json = nlohmann::ordered_json;

store::TrafficRequest row() {
  store::TrafficRequest request;
  request.id = "req_1";
  request.started_s = 1795392000.25;
  request.status = 200;
  request.is_complete = true;
  request.user = "=HYPERLINK(\"http://x\")";
  request.model = "a,b\r\n\"c\"";
  request.tokens.prompt_fresh = 7;
  request.seconds.total = 0.1;
  request.gaps = store::encode_gaps(std::vector<std::int64_t>{5, 7});
  request.content = {R"([{"role":"user","content":"Hi, \"you\""}])", R"("=1+1")"};
  return request;
}

TEST(TrafficColumns, JsonHasTheValuesAndContentAsJson) {
  const Json line = Json::parse(json_line(row(), true));
  EXPECT_EQ(line["id"], "req_1");
  EXPECT_EQ(line["started_at"], "2026-11-23T00:00:00.250000Z");
  EXPECT_EQ(line["started_s"], 1795392000.25);
  EXPECT_EQ(line["is_complete"], true);
  EXPECT_EQ(line["prompt_fresh"], 7);
  EXPECT_TRUE(line["queue_seconds"].is_null());
  EXPECT_EQ(line["gap_microseconds"], Json::array({5, 7}));
  EXPECT_EQ(line["prompt"][0]["content"], "Hi, \"you\"");
  EXPECT_EQ(line["answer"], "=1+1");
  const Json without = Json::parse(json_line(row(), false));
  EXPECT_FALSE(without.contains("prompt"));
  EXPECT_EQ(without.size() + 2, line.size());
  store::TrafficRequest other = row();
  other.content.reset();
  EXPECT_TRUE(Json::parse(json_line(other, true))["prompt"].is_null());
}

TEST(TrafficColumns, CsvQuotesAndDefusesFormulas) {
  const std::string head = csv_head(true);
  EXPECT_TRUE(head.starts_with("id,started_s,started_at,"));
  EXPECT_TRUE(head.ends_with(",prompt,answer\r\n"));
  const std::string line = csv_line(row(), true);
  EXPECT_TRUE(line.starts_with("req_1,1795392000.25,2026-11-23T00:00:00.250000Z,"));
  EXPECT_NE(line.find(",\"'=HYPERLINK(\"\"http://x\"\")\","), std::string::npos);
  EXPECT_NE(line.find(",\"a,b\r\n\"\"c\"\"\","), std::string::npos);
  EXPECT_TRUE(line.ends_with(",\"\"\"=1+1\"\"\"\r\n"));
  for (const char first : {'=', '+', '-', '@', '\t', '\r'}) {
    store::TrafficRequest request = row();
    request.id = std::string(1, first) + "1";
    const std::string field = csv_line(request, false).substr(0, 3);
    EXPECT_TRUE(field.starts_with("'") || field.starts_with("\"'")) << int{first};
  }
}

TEST(TrafficColumns, CopyTellsNothingFromEmptyAndIsSound) {
  store::TrafficRequest request = row();
  request.id = std::string("a\0\xff", 3);
  request.content.reset();
  const std::string line = copy_line(request);
  EXPECT_TRUE(line.starts_with("\"a\xEF\xBF\xBD\xEF\xBF\xBD\",1795392000.25,2026-"));
  EXPECT_NE(line.find(",\"{5,7}\","), std::string::npos);
  EXPECT_TRUE(line.ends_with(",,\n")) << "no content";
  EXPECT_NE(line.find(",\"\","), std::string::npos);
}

TEST(TrafficColumns, TimesOutsideAreEmpty) {
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(iso_time(-1), "");
  EXPECT_EQ(iso_time(1e300), "");
  EXPECT_EQ(iso_time(std::numeric_limits<double>::quiet_NaN()), "");
}

TEST(TrafficColumns, NamesDiffer) {
  std::set<std::string> names;
  for (const TrafficColumn& column : traffic_columns(true)) names.insert(column.name);
  EXPECT_EQ(names.size(), traffic_columns(true).size());
}

}  // namespace
}  // namespace paring::monitor
