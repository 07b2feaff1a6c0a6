// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/upstream_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "base/text.h"
#include "serve/route.h"

namespace paring::serve {

namespace {

constexpr std::string_view kVersion = "/v1";

// Of one connection.
constexpr std::string_view kHopByHop[] = {"connection",
                                          "keep-alive",
                                          "proxy-authenticate",
                                          "proxy-authorization",
                                          "proxy-connection",
                                          "te",
                                          "trailer",
                                          "transfer-encoding",
                                          "upgrade"};
// Made anew by us, beside those.
constexpr std::string_view kOfRequests[] = {"host",         "content-length", "accept-encoding",
                                            "x-request-id", "traceparent",    "expect"};
constexpr std::string_view kOfAnswers[] = {"content-length", "content-type", "date",
                                           "x-request-id"};

template <typename List>
bool is_in(const List& list, std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// What the Connection headers name.
std::vector<std::string> named_by_connection(const std::vector<net::HttpHeader>& headers) {
  std::vector<std::string> names;
  for (const net::HttpHeader& header : headers) {
    if (header.name != "connection") continue;
    std::string name;
    for (const char c : header.value + ",") {
      if (c == ',') {
        names.push_back(ascii_lower(std::exchange(name, {})));
      } else if (c != ' ' && c != '\t') {
        name += c;
      }
    }
  }
  return names;
}

std::string encoded(std::string_view text, std::string_view kept) {
  std::string result;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || kept.find(c) != std::string_view::npos;
    if (is_plain) {
      result += c;
    } else {
      fmt::format_to(std::back_inserter(result), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

}  // namespace

Result<std::string> parse_upstream(std::string_view url) {
  const auto refused = [&](const char* why) {
    return invalid_argument(
        fmt::format("'{}' is no address of a server: {}", escape_control(std::string(url)), why),
        "write http://127.0.0.1:8000 or https://api.example.com/v1");
  };
  std::size_t begin = 0;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (url.starts_with(scheme)) begin = scheme.size();
  }
  if (begin == 0) return refused("it begins with http:// or https://");
  const auto is_plain = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!std::all_of(url.begin(), url.end(), is_plain)) return refused("it has odd characters");
  if (url.find_first_of("?#") != std::string_view::npos) return refused("it has a query");
  const std::string_view host = url.substr(begin, url.find('/', begin) - begin);
  if (host.empty() || host.front() == ':') return refused("it has no host");
  // A key does not belong where it is shown.
  if (host.find('@') != std::string_view::npos) {
    return invalid_argument("the upstream's address holds a user name",
                            "give a key with --upstream-key-file or PARING_UPSTREAM_KEY");
  }
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

std::string upstream_url(const std::string& upstream, const net::HttpHead& head) {
  std::string url = upstream;
  const bool has_version =
      head.path == kVersion || head.path.starts_with(std::string(kVersion) + "/");
  if (has_version && url.ends_with(kVersion)) url.resize(url.size() - kVersion.size());
  for (const std::string& segment : head.segments) {
    url += '/' + encoded(segment, "-._~!$&'()*+,;=:@");
  }
  char before = '?';
  for (const auto& [name, value] : head.query) {
    url += std::exchange(before, '&') + encoded(name, "-._~!$'()*,;:@/?[]");
    url += '=' + encoded(value, "-._~!$'()*,;:@/?[]");
  }
  return url;
}

std::vector<net::HttpHeader> upstream_headers(const net::HttpHead& head, const std::string& id,
                                              const TraceContext& trace, const UpstreamKey& key) {
  const std::vector<std::string> named = named_by_connection(head.headers);
  const bool drops_key = key.drops_callers || !key.own.empty();
  std::vector<net::HttpHeader> headers;
  for (const net::HttpHeader& header : head.headers) {
    if (is_in(kHopByHop, header.name) || is_in(kOfRequests, header.name)) continue;
    if (is_in(named, header.name)) continue;
    if (drops_key && (header.name == "authorization" || header.name == "x-api-key")) continue;
    headers.push_back(header);
  }
  if (!key.own.empty()) {
    if (protocol_of(head.path) == wire::Protocol::kAnthropic) {
      headers.push_back({"x-api-key", key.own});
    } else {
      headers.push_back({"authorization", "Bearer " + key.own});
    }
  }
  headers.push_back({"x-request-id", id});
  headers.push_back({"traceparent", trace.response_header()});
  return headers;
}

DownstreamHead downstream_head(std::vector<net::HttpHeader> headers,
                               std::vector<net::HttpHeader> own) {
  const std::vector<std::string> named = named_by_connection(headers);
  DownstreamHead head;
  for (net::HttpHeader& header : headers) {
    if (header.name == "content-type") head.content_type = header.value;
    if (header.name == "content-length") {
      std::size_t length = 0;
      const char* const end = header.value.data() + header.value.size();
      const auto [stop, error] = std::from_chars(header.value.data(), end, length);
      if (error == std::errc() && stop == end) head.length = length;
    }
    if (header.name == "x-request-id") {
      head.headers.push_back({"x-upstream-request-id", header.value});
    }
    if (is_in(kHopByHop, header.name) || is_in(kOfAnswers, header.name)) continue;
    if (is_in(named, header.name)) continue;
    const auto is_ours = [&](const net::HttpHeader& each) { return each.name == header.name; };
    if (std::any_of(own.begin(), own.end(), is_ours)) continue;
    head.headers.push_back(std::move(header));
  }
  std::move(own.begin(), own.end(), std::back_inserter(head.headers));
  return head;
}

}  // namespace paring::serve
