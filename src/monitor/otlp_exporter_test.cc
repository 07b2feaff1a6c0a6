// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_exporter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <semaphore>
#include <string>
#include <vector>

#include "net/server_for_test.h"

namespace paring::monitor {
namespace {

using store::TrafficRequest;

constexpr double kLong = 60;  // seconds that are not reached

TrafficRequest numbered(int number) {
  TrafficRequest row;
  row.id = "req_" + std::to_string(number);
  row.started_s = 1'795'392'000 + number;
  row.route = "/v1/chat/completions";
  row.status = 200;
  row.model = "m";
  row.content = store::TrafficContent{"a secret question", "a secret answer"};
  row.seconds.total = 0.25;
  return row;
}

OtlpExporter::Options options_for(const std::string& endpoint) {
  OtlpExporter::Options options;
  const auto environment = [](std::string_view name) -> std::optional<std::string> {
    if (name == "OTEL_EXPORTER_OTLP_HEADERS") return "x-key=k%2C1";
    return std::nullopt;
  };
  options.target = *otlp_target_of(endpoint, environment).value();
  options.interval_seconds = kLong;
  return options;
}

std::int64_t dropped(const OtlpExporter& exporter, OtlpDrop reason) {
  return exporter.stats().dropped[static_cast<std::size_t>(reason)];
}

// A collector that answers what a test says, then 200.
class FakeCollector {
 public:
  explicit FakeCollector(std::deque<OtlpReply> first = {}) : replies_(std::move(first)) {}
  OtlpExporter::Post post() {
    return [this](const OtlpSignal& to, std::string body) {
      const std::lock_guard lock(mutex);
      if (to.url.ends_with("/v1/metrics")) {
        metrics.push_back(std::move(body));
        return OtlpReply{200};
      }
      traces.push_back(std::move(body));
      if (replies_.empty()) return OtlpReply{200};
      const OtlpReply reply = replies_.front();
      if (replies_.size() > 1) replies_.pop_front();
      return reply;
    };
  }
  std::mutex mutex;
  std::vector<std::string> traces, metrics;

 private:
  std::deque<OtlpReply> replies_;  // the last one stays
};

TEST(OtlpExporter, RowsAndHistogramsArriveWithoutTheirContent) {
  FakeCollector collector;
  std::vector<TrafficRequest> rows;
  {
    OtlpExporter exporter(options_for("http://c"), collector.post());
    for (int i = 0; i < 10; ++i) {
      rows.push_back(numbered(i));
      EXPECT_TRUE(exporter.record(rows.back()));
    }
    EXPECT_TRUE(exporter.flush(kLong));
    EXPECT_EQ(exporter.stats().offered, 10);
    EXPECT_EQ(exporter.stats().sent, 10);
    EXPECT_EQ(exporter.stats().posts_failed, 0);
  }
  std::string all;
  for (const std::string& body : collector.traces) all += body;
  for (const TrafficRequest& row : rows) EXPECT_NE(all.find(row.id), std::string::npos) << row.id;
  EXPECT_EQ(all.find("secret"), std::string::npos);
  ASSERT_EQ(collector.metrics.size(), 1u);  // at the end, since no tick came
  EXPECT_NE(collector.metrics[0].find("gen_ai.server.request.duration"), std::string::npos);
}

TEST(OtlpExporter, ACollectorWithoutTimeGetsTheSameBatchAgain) {
  FakeCollector collector({{429, 0.0}, {503, 0.0}, {0, 0.0}, {200, {}}});
  OtlpExporter exporter(options_for("http://c"), collector.post());
  exporter.record(numbered(1));
  EXPECT_TRUE(exporter.flush(kLong));
  EXPECT_EQ(exporter.stats().sent, 1);
  EXPECT_EQ(exporter.stats().posts_failed, 3);
  ASSERT_EQ(collector.traces.size(), 4u);
  for (const std::string& body : collector.traces) EXPECT_EQ(body, collector.traces[0]);
}

TEST(OtlpExporter, WhatIsRefusedIsNotTriedAgain) {
  FakeCollector collector({{400, 0.0}});
  OtlpExporter exporter(options_for("http://c"), collector.post());
  exporter.record(numbered(1));
  exporter.record(numbered(2));
  EXPECT_TRUE(exporter.flush(kLong));
  EXPECT_EQ(dropped(exporter, OtlpDrop::kRefused), 2);
  EXPECT_EQ(exporter.stats().sent, 0);
}

TEST(OtlpExporter, NobodyIsTriedForever) {
  FakeCollector collector({{503, 0.0}});
  OtlpExporter exporter(options_for("http://c"), collector.post());
  exporter.record(numbered(1));
  EXPECT_TRUE(exporter.flush(kLong));
  EXPECT_EQ(dropped(exporter, OtlpDrop::kUnreachable), 1);
  EXPECT_EQ(collector.traces.size(), 6u);
}

TEST(OtlpExporter, WhoRecordsDoesNotWaitForACollectorThatHangs) {
  std::binary_semaphore has_come{0}, may_answer{0};
  std::atomic<int> posts{0};
  OtlpExporter::Options options = options_for("http://c");
  options.batch_rows = 1;
  options.queue_slots = 4;
  OtlpExporter exporter(options, [&](const OtlpSignal&, const std::string&) {
    if (++posts == 1) {
      has_come.release();
      may_answer.acquire();
    }
    return OtlpReply{200};
  });
  EXPECT_TRUE(exporter.record(numbered(0)));
  has_come.acquire();
  // The thread holds one; four have a slot, and all others have none.
  for (int i = 1; i <= 20; ++i) EXPECT_EQ(exporter.record(numbered(i)), i <= 4) << i;
  EXPECT_EQ(dropped(exporter, OtlpDrop::kQueueFull), 16);
  may_answer.release();
  EXPECT_TRUE(exporter.flush(kLong));
  EXPECT_EQ(exporter.stats().sent, 5);
}

TEST(OtlpExporter, AtTheEndThereIsOneTryForAllThatWait) {
  FakeCollector collector({{503, kLong}});
  OtlpExporter::Options options = options_for("http://c");
  options.batch_rows = 2;
  {
    OtlpExporter exporter(options, collector.post());
    for (int i = 0; i < 5; ++i) exporter.record(numbered(i));
  }
  // One try while it ran or none, and one at the end for all that wait.
  EXPECT_GE(collector.traces.size(), 1u);
  EXPECT_LE(collector.traces.size(), 2u);
}

TEST(OtlpExporter, DelaysDoubleAndACollectorMayNameThem) {
  const OtlpExporter::Options options;
  EXPECT_EQ(OtlpExporter::retry_delay(options, {503}, 1), 1);
  EXPECT_EQ(OtlpExporter::retry_delay(options, {503}, 2), 2);
  EXPECT_EQ(OtlpExporter::retry_delay(options, {503}, 5), 16);
  EXPECT_EQ(OtlpExporter::retry_delay(options, {503}, 1000), 60);
  EXPECT_EQ(OtlpExporter::retry_delay(options, {429, 7.0}, 5), 7);
  EXPECT_EQ(OtlpExporter::retry_delay(options, {429, 1e9}, 1), 300);
  EXPECT_EQ(retry_after_of("120"), 120);
  EXPECT_FALSE(retry_after_of("Wed, 21 Oct 2026 07:28:00 GMT"));
  EXPECT_FALSE(retry_after_of("-1"));
  EXPECT_FALSE(retry_after_of(""));
  EXPECT_TRUE(may_retry({0}) && may_retry({429}) && may_retry({502}) && may_retry({504}));
  EXPECT_FALSE(may_retry({400}) || may_retry({401}) || may_retry({500}));
}

TEST(OtlpExporter, PostsOverHttpWithItsHeaders) {
  net::TestServer server;
  std::mutex mutex;
  std::map<std::string, std::string> bodies;
  int asked = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<net::Exchange>& exchange) {
    const std::lock_guard lock(mutex);
    const std::string* type = exchange->head().find("content-type");
    const std::string* key = exchange->head().find("x-key");
    EXPECT_TRUE(type != nullptr && *type == "application/x-protobuf");
    EXPECT_TRUE(key != nullptr && *key == "k,1");
    EXPECT_EQ(exchange->head().method, "POST");
    bodies[exchange->head().path] = exchange->body();
    net::HttpResponse response;
    if (++asked == 1) response = {.status = 429, .headers = {{"Retry-After", "0"}}};
    exchange->respond(std::move(response));
  };
  const auto options = options_for("http://127.0.0.1:" + std::to_string(server.port()) + "/");
  TrafficRequest row = numbered(1);
  {
    auto exporter = OtlpExporter::start(options);
    ASSERT_TRUE(exporter) << exporter.error().text();
    exporter.value()->record(row);
    EXPECT_TRUE(exporter.value()->flush(kLong));
    EXPECT_EQ(exporter.value()->stats().sent, 1);
    EXPECT_EQ(exporter.value()->stats().posts_failed, 1);
  }
  const std::lock_guard lock(mutex);
  EXPECT_EQ(asked, 3);  // refused for now, taken, and the histograms
  EXPECT_EQ(bodies["/v1/traces"], otlp_traces({&row, 1}, options.resource));
  EXPECT_TRUE(bodies.contains("/v1/metrics"));
}

TEST(OtlpExporter, EndsInTimeAlthoughTheCollectorHangs) {
  net::TestServer server;
  net::Signal has_come;
  std::mutex mutex;
  std::vector<std::shared_ptr<net::Exchange>> held;
  server.handler.on_exchange = [&](const std::shared_ptr<net::Exchange>& exchange) {
    const std::lock_guard lock(mutex);
    held.push_back(exchange);
    has_come.set();
  };
  auto options = options_for("http://127.0.0.1:" + std::to_string(server.port()));
  options.answer_seconds = 1000;
  options.stop_seconds = 0.05;
  options.batch_rows = 1;
  {
    auto exporter = OtlpExporter::start(options);
    ASSERT_TRUE(exporter);
    exporter.value()->record(numbered(1));
    ASSERT_TRUE(has_come.wait());
  }  // would take 1000 seconds
  const std::lock_guard lock(mutex);
  held.clear();
}

class OtlpTargets : public testing::Test {
 protected:
  Result<std::optional<OtlpTarget>> read(std::string_view setting = "") const {
    return otlp_target_of(setting, [&](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    });
  }
  static std::string text_of(const OtlpSignal& signal) {
    std::string text = signal.url;
    for (const net::HttpHeader& header : signal.headers) {
      text += "|" + header.name + "=" + header.value;
    }
    return text;
  }
  std::map<std::string, std::string, std::less<>> variables;
};

TEST_F(OtlpTargets, AreThoseOfTheEnvironmentUnlessASettingSaysOtherwise) {
  EXPECT_FALSE(read().value().has_value());
  variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "https://c:4318/base/";
  variables["OTEL_EXPORTER_OTLP_HEADERS"] = "Authorization=Bearer%20t, x-tenant = a ,";
  OtlpTarget target = *read().value();
  EXPECT_EQ(text_of(target.traces),
            "https://c:4318/base/v1/traces|Authorization=Bearer t|x-tenant=a");
  EXPECT_EQ(text_of(target.metrics),
            "https://c:4318/base/v1/metrics|Authorization=Bearer t|x-tenant=a");
  EXPECT_EQ(target.resource.service_name, "paring");
  EXPECT_TRUE(target.resource.attributes.empty());
  target = *read("http://other").value();
  EXPECT_EQ(target.traces.url, "http://other/v1/traces");
  EXPECT_EQ(target.traces.headers.size(), 2u);
}

TEST_F(OtlpTargets, OfOneKindComeBeforeThoseOfAll) {
  variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://t:1/my/spans/";
  EXPECT_EQ(text_of(read().value()->traces), "http://t:1/my/spans/") << "as it stands there";
  EXPECT_EQ(text_of(read().value()->metrics), "") << "nobody asked for them";
  variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://all";
  variables["OTEL_EXPORTER_OTLP_HEADERS"] = "k=all";
  variables["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] = "k=spans";
  EXPECT_EQ(text_of(read().value()->traces), "http://t:1/my/spans/|k=spans");
  EXPECT_EQ(text_of(read().value()->metrics), "http://all/v1/metrics|k=all");
  variables["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = "http://m";
  EXPECT_EQ(text_of(read().value()->metrics), "http://m|k=all");
  // What is said to the program comes before what is said to all of them.
  EXPECT_EQ(text_of(read("http://flag").value()->traces), "http://flag/v1/traces|k=spans");
  EXPECT_EQ(text_of(read("http://flag").value()->metrics), "http://flag/v1/metrics|k=all");
}

TEST_F(OtlpTargets, SayWhoSends) {
  variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://c";
  variables["OTEL_RESOURCE_ATTRIBUTES"] =
      "service.name=listed,deployment.environment.name=test%2C%20two,a=1,a=2,service.version=9";
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  OtlpResource resource = read().value()->resource_with("0.1");
  EXPECT_EQ(resource.service_name, "listed");
  EXPECT_EQ(resource.attributes, (Attributes{{"deployment.environment.name", "test, two"},
                                             {"a", "2"},
                                             {"service.version", "9"}}));
  variables["OTEL_SERVICE_NAME"] = "named";
  resource = read().value()->resource_with("0.1");
  EXPECT_EQ(resource.service_name, "named") << "comes first";
  const std::string sent = otlp_traces(std::vector{numbered(1)}, resource);
  EXPECT_NE(sent.find("named"), std::string::npos);
  EXPECT_NE(sent.find("test, two"), std::string::npos);
  EXPECT_EQ(sent.find("listed"), std::string::npos);
  const std::size_t version = sent.find("service.version");
  ASSERT_NE(version, std::string::npos);
  EXPECT_EQ(sent.find("service.version", version + 1), std::string::npos) << "it is there once";
  variables["OTEL_RESOURCE_ATTRIBUTES"] = "a=%ff";
  EXPECT_FALSE(read());
}

TEST_F(OtlpTargets, SayWhatIsWrongWithoutAnyValue) {
  for (const char* endpoint :
       {"collector:4318", "ftp://c", "http://", "http://c d", "http://c?x"}) {
    EXPECT_FALSE(read(endpoint)) << endpoint;
    for (const char* name : {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                             "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"}) {
      variables = {{name, endpoint}};
      ASSERT_FALSE(read()) << name << endpoint;
      EXPECT_NE(read().error().text().find(name), std::string::npos) << "it is named";
    }
  }
  variables = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"}};
  for (const char* headers :
       {"s3cret", "a b=s3cret", "=s3cret", "x=s3cret%", "x=s3cret%0d%0aevil: 1", "x=%zzs3cret"}) {
    variables["OTEL_EXPORTER_OTLP_HEADERS"] = headers;
    const auto target = read();
    ASSERT_FALSE(target) << headers;
    EXPECT_EQ(target.error().text().find("s3cret"), std::string::npos) << headers;
    EXPECT_NE(target.error().text().find("OTEL_EXPORTER_OTLP_HEADERS"), std::string::npos);
  }
}

TEST(OtlpExporter, SendsNothingOfAKindThatNobodyAskedFor) {
  for (const bool has_spans : {true, false}) {
    OtlpExporter::Options options = options_for("http://c");
    (has_spans ? options.target.metrics : options.target.traces).url.clear();
    FakeCollector collector;
    {
      OtlpExporter exporter(options, collector.post());
      exporter.record(numbered(1));
      EXPECT_TRUE(exporter.flush(30));
      EXPECT_EQ(exporter.stats().sent, has_spans ? 1 : 0);
    }  // sends the histograms
    const std::lock_guard lock(collector.mutex);
    EXPECT_EQ(collector.traces.size(), has_spans ? 1u : 0u);
    EXPECT_EQ(collector.metrics.size(), has_spans ? 0u : 1u);
  }
}

}  // namespace
}  // namespace paring::monitor
