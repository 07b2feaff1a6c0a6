// SPDX-License-Identifier: Apache-2.0
// Where OTLP is sent, as OpenTelemetry's environment variables say it (its specification, "OTLP
// Exporter Configuration"). Stateless.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"

namespace paring::monitor {

struct OtlpTarget {
  std::string traces_url;
  std::string metrics_url;
  std::vector<net::HttpHeader> headers{};
};

// `endpoint`: "http://collector:4318"; /v1/traces and /v1/metrics are put behind it. `headers`:
// "name=value,other=value", values percent-encoded. InvalidArgument, which never shows a value:
// they may be secrets.
Result<OtlpTarget> otlp_target(std::string_view endpoint, std::string_view headers);

// What a variable of the environment is; nothing: it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
// Of OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS, which hold where a setting is
// empty. Nothing: no endpoint is set.
Result<std::optional<OtlpTarget>> otlp_target_of(std::string_view endpoint_setting,
                                                 std::string_view headers_setting,
                                                 const Environment& environment);

}  // namespace paring::monitor
