// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_target.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace paring::monitor {

namespace {

constexpr std::size_t kHeadersMax = 64;

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit_of(text[i + 1]);
    const int low = digit_of(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// RFC 9110, 5.6.2.
bool is_name(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
}

Error wrong_headers(const std::string& why) {
  return invalid_argument("the headers for OpenTelemetry: " + why,
                          "write them as name=value,other=value, with %2C for a comma in a value");
}

}  // namespace

Result<OtlpTarget> otlp_target(std::string_view endpoint, std::string_view headers) {
  endpoint = trimmed(endpoint);
  const std::string scheme = ascii_lower(endpoint.substr(0, endpoint.find("://")));
  const bool is_clean = std::ranges::all_of(endpoint, [](char c) { return c > ' ' && c < '\x7f'; });
  if ((scheme != "http" && scheme != "https") || endpoint.size() <= scheme.size() + 3 ||
      endpoint.find("://") == std::string_view::npos || !is_clean ||
      endpoint.find_first_of("?#") != std::string_view::npos) {
    return invalid_argument("the endpoint for OpenTelemetry is no address of a collector",
                            "it is like http://collector:4318");
  }
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  OtlpTarget target{std::string(endpoint) + "/v1/traces", std::string(endpoint) + "/v1/metrics"};
  while (!headers.empty()) {
    const std::size_t comma = headers.find(',');
    const std::string_view pair = trimmed(headers.substr(0, comma));
    headers.remove_prefix(comma == std::string_view::npos ? headers.size() : comma + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view name = trimmed(pair.substr(0, equals));
    if (equals == std::string_view::npos) return wrong_headers("one has no '='");
    if (!is_name(name)) return wrong_headers("one has a name that HTTP does not know");
    const std::optional<std::string> value = percent_decoded(trimmed(pair.substr(equals + 1)));
    if (!value || !is_value(*value)) {
      return wrong_headers("the value of '" + std::string(name) + "' cannot be sent");
    }
    if (target.headers.size() >= kHeadersMax) return wrong_headers("there are too many");
    target.headers.push_back({std::string(name), *value});
  }
  return target;
}

Result<std::optional<OtlpTarget>> otlp_target_of(std::string_view endpoint_setting,
                                                 std::string_view headers_setting,
                                                 const Environment& environment) {
  const auto chosen = [&](std::string_view setting, const char* name) {
    if (!setting.empty()) return std::string(setting);
    return environment(name).value_or("");
  };
  const std::string endpoint = chosen(endpoint_setting, "OTEL_EXPORTER_OTLP_ENDPOINT");
  if (endpoint.empty()) return std::optional<OtlpTarget>();
  PARING_TRY(OtlpTarget target,
             otlp_target(endpoint, chosen(headers_setting, "OTEL_EXPORTER_OTLP_HEADERS")));
  return std::optional<OtlpTarget>(std::move(target));
}

}  // namespace paring::monitor
