// SPDX-License-Identifier: Apache-2.0
#include "net/detail/response_text.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace paring::net::detail {

namespace {

// What the server writes itself; a second one would contradict it.
constexpr std::string_view kOwn[] = {
    "content-length", "transfer-encoding", "connection", "keep-alive", "date", "trailer"};

bool is_sendable_name(std::string_view name) {
  if (name.empty()) return false;
  const bool is_token = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  if (!is_token) return false;
  const std::string lower = ascii_lower(name);
  return std::find(std::begin(kOwn), std::end(kOwn), lower) == std::end(kOwn);
}

void append_header(std::string_view name, std::string_view value, std::string* out) {
  if (!is_sendable_name(name)) return;
  out->append(name);
  out->append(": ");
  const std::size_t begin = out->size();
  out->append(value);
  // A line break in a value would be a header, or a response, of somebody else's making.
  std::replace_if(
      out->begin() + static_cast<std::ptrdiff_t>(begin), out->end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  out->append("\r\n");
}

bool has_no_body(int status) { return status < 200 || status == 204 || status == 304; }

}  // namespace

std::string response_head(const HttpResponse& response, const HeadFacts& facts,
                          std::string_view date) {
  std::string out;
  out.reserve(256);
  fmt::format_to(std::back_inserter(out), "{}{} {}\r\nDate: {}\r\n", kHeadBegin, response.status,
                 status_reason(response.status), date);
  if (!response.content_type.empty()) {
    append_header("Content-Type", response.content_type, &out);
  }
  for (const HttpHeader& header : response.headers) append_header(header.name, header.value, &out);
  if (facts.framing == BodyFraming::kChunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (facts.framing == BodyFraming::kLength && !has_no_body(response.status)) {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", response.body.size());
  }
  if (!facts.is_keep_alive) {
    out += "Connection: close\r\n";
  } else if (facts.request_version < 11) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  return out;
}

void append_chunk(std::string_view bytes, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "{:x}\r\n", bytes.size());
  out->append(bytes);
  out->append("\r\n");
}

std::string http_date(double wall_seconds) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto seconds = static_cast<time_t>(wall_seconds);
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
                     parts.tm_sec);
}

}  // namespace paring::net::detail
