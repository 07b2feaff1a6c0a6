// SPDX-License-Identifier: Apache-2.0
// Rows of traffic as OpenTelemetry's OTLP has them, in Protocol Buffers (opentelemetry-proto 1.x):
// spans of ExportTraceServiceRequest, histograms of ExportMetricsServiceRequest. Names are those of
// genai_names.def.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/traffic_rows.h"

namespace paring::monitor {

// Who sends.
struct OtlpResource {
  std::string service_name = "paring";
  std::string service_version{};
  std::string server_address{};  // empty: not told
  int server_port = 0;
  // More of the resource, as its operator says it; "service.version" among them is told in the
  // place of ours.
  std::vector<std::pair<std::string, std::string>> attributes{};
};

// A span of each request, with its waiting, prefill and decode as children where they are known. A
// row without ids gets some that follow from its x-request-id and time, so that sending it twice
// makes no second span. Prompts and answers are not written.
std::string otlp_traces(std::span<const store::TrafficRequest> rows, const OtlpResource& resource);

// Histograms since the start (cumulative), apart by operation, model and error. Belongs to one
// thread.
class OtlpMetrics {
 public:
  // Models that are no longer told apart from each other when there are more.
  static constexpr std::size_t kSeriesMax = 1000;

  // `start_s`: since 1970, what the sums are since.
  OtlpMetrics(OtlpResource resource, double start_s);
  void add(const store::TrafficRequest& row);
  // Empty when nothing was added.
  std::string request(double now_s) const;

 private:
  struct Key {
    std::string operation, model, error, token_type;
    auto operator<=>(const Key&) const = default;
  };
  struct Histogram {
    std::vector<std::uint64_t> counts;
    std::uint64_t count = 0;
    double sum = 0;
  };
  struct Family;
  static const Family kFamilies[];

  void observe(std::size_t family, Key key, double value);

  const OtlpResource resource_;
  const double start_s_;
  std::vector<std::map<Key, Histogram>> families_;
};

}  // namespace paring::monitor
