// SPDX-License-Identifier: Apache-2.0
// Where OTLP is sent, as OpenTelemetry's environment variables say it (its specification, "OTLP
// Exporter Configuration"). Stateless.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "monitor/otlp_writer.h"
#include "net/http_message.h"

namespace paring::monitor {

// One kind of what is sent. `url` empty: it is not.
struct OtlpSignal {
  std::string url{};
  std::vector<net::HttpHeader> headers{};
};

struct OtlpTarget {
  OtlpSignal traces{};
  OtlpSignal metrics{};
  OtlpResource resource{};  // service.name and more; not our version
  OtlpResource resource_with(std::string version) const {
    OtlpResource all = resource;
    all.service_version = std::move(version);
    return all;
  }
};

// What a variable of the environment is; nothing: it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// `endpoint`, "http://collector:4318", is the setting: both kinds go there, with /v1/traces and
// /v1/metrics behind it. Empty: each goes where OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
// OTEL_EXPORTER_OTLP_METRICS_ENDPOINT says, as it stands there; else to
// OTEL_EXPORTER_OTLP_ENDPOINT, as with a setting; else nowhere. Nothing: neither goes anywhere.
//
// Headers ("name=value,other=value", values percent-encoded) are those of OTEL_EXPORTER_OTLP_
// TRACES_HEADERS and METRICS_HEADERS, else of OTEL_EXPORTER_OTLP_HEADERS; the resource is that of
// OTEL_RESOURCE_ATTRIBUTES, written the same way, and OTEL_SERVICE_NAME, which comes first.
//
// InvalidArgument names the variable and never shows a value: they may be secrets.
Result<std::optional<OtlpTarget>> otlp_target_of(std::string_view endpoint,
                                                 const Environment& environment);

}  // namespace paring::monitor
