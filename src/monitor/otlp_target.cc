// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_target.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "text/unicode.h"

namespace paring::monitor {

namespace {

constexpr std::size_t kPairsMax = 64;

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

bool is_header_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
}

bool is_attribute_value(std::string_view text) { return text::is_well_formed_utf8(text); }

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Of "name=value,other=value", values percent-encoded.
Result<Pairs> pairs_of(const std::string& variable, std::string_view text,
                       bool (*is_value)(std::string_view)) {
  const auto wrong = [&](const std::string& why) {
    return invalid_argument(
        variable + ": " + why,
        "write name=value,other=value, with %2C for a comma in a value and %3D for '='");
  };
  Pairs pairs;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view pair = trimmed(text.substr(0, comma));
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view name = trimmed(pair.substr(0, equals));
    if (equals == std::string_view::npos) return wrong("one has no '='");
    if (!is_name(name)) return wrong("one has a name that cannot be sent");
    const std::optional<std::string> value = percent_decoded(trimmed(pair.substr(equals + 1)));
    if (!value || !is_value(*value)) {
      return wrong("the value of '" + std::string(name) + "' cannot be sent");
    }
    if (pairs.size() >= kPairsMax) {
      return wrong("it has more than " + std::to_string(kPairsMax) + " of them");
    }
    pairs.emplace_back(name, *value);
  }
  return pairs;
}

// Without a '/' at its end.
Result<std::string> address_of(const std::string& variable, std::string_view endpoint) {
  endpoint = trimmed(endpoint);
  const std::string scheme = ascii_lower(endpoint.substr(0, endpoint.find("://")));
  const bool is_clean = std::ranges::all_of(endpoint, [](char c) { return c > ' ' && c < '\x7f'; });
  if ((scheme != "http" && scheme != "https") || endpoint.size() <= scheme.size() + 3 ||
      endpoint.find("://") == std::string_view::npos || !is_clean ||
      endpoint.find_first_of("?#") != std::string_view::npos) {
    return invalid_argument(variable + " is no address of a collector of OpenTelemetry",
                            "it is like http://collector:4318");
  }
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  return std::string(endpoint);
}

// TRACES or METRICS.
Result<OtlpSignal> signal_of(std::string_view setting, const Environment& environment,
                             const std::string& kind) {
  const std::string general = "OTEL_EXPORTER_OTLP_";
  const std::string own = general + kind + "_";
  const std::string path = "/v1/" + ascii_lower(kind);
  const auto value_of = [&](const std::string& name) {
    return environment(name.c_str()).value_or("");
  };
  OtlpSignal signal;
  if (!setting.empty()) {
    PARING_TRY(signal.url, address_of("the endpoint", setting));
    signal.url += path;
  } else if (const std::string as_is = value_of(own + "ENDPOINT"); !as_is.empty()) {
    PARING_TRY(signal.url, address_of(own + "ENDPOINT", as_is));
    if (trimmed(as_is).ends_with('/')) signal.url += '/';
  } else if (const std::string base = value_of(general + "ENDPOINT"); !base.empty()) {
    PARING_TRY(signal.url, address_of(general + "ENDPOINT", base));
    signal.url += path;
  } else {
    return signal;
  }
  std::string variable = own + "HEADERS";
  if (value_of(variable).empty()) variable = general + "HEADERS";
  PARING_TRY(const Pairs headers, pairs_of(variable, value_of(variable), is_header_value));
  for (const auto& [name, value] : headers) signal.headers.push_back({name, value});
  return signal;
}

Result<OtlpResource> resource_of(const Environment& environment) {
  constexpr const char* kAttributes = "OTEL_RESOURCE_ATTRIBUTES";
  OtlpResource resource;
  PARING_TRY(Pairs pairs,
             pairs_of(kAttributes, environment(kAttributes).value_or(""), is_attribute_value));
  for (auto& [name, value] : pairs) {
    if (name == "service.name") {
      if (!value.empty()) resource.service_name = std::move(value);
      continue;
    }
    // An attribute is there once.
    std::erase_if(resource.attributes, [&](const auto& each) { return each.first == name; });
    resource.attributes.emplace_back(std::move(name), std::move(value));
  }
  const std::string name = environment("OTEL_SERVICE_NAME").value_or("");
  if (!is_attribute_value(name)) {
    return invalid_argument("OTEL_SERVICE_NAME is no UTF-8", "write it in UTF-8");
  }
  if (!name.empty()) resource.service_name = name;
  return resource;
}

}  // namespace

Result<std::optional<OtlpTarget>> otlp_target_of(std::string_view endpoint,
                                                 const Environment& environment) {
  OtlpTarget target;
  PARING_TRY(target.traces, signal_of(endpoint, environment, "TRACES"));
  PARING_TRY(target.metrics, signal_of(endpoint, environment, "METRICS"));
  if (target.traces.url.empty() && target.metrics.url.empty()) return std::optional<OtlpTarget>();
  PARING_TRY(target.resource, resource_of(environment));
  return std::optional<OtlpTarget>(std::move(target));
}

}  // namespace paring::monitor
