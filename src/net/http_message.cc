// SPDX-License-Identifier: Apache-2.0
#include "net/http_message.h"

namespace paring::net {

namespace {

struct StatusRow {
  int status;
  const char* reason;
};
// RFC 9110, section 15, and RFC 6585.
constexpr StatusRow kStatuses[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

}  // namespace

const std::string* HttpHead::find(std::string_view name) const noexcept {
  for (const HttpHeader& header : headers) {
    if (header.name == name) return &header.value;
  }
  return nullptr;
}

std::string HttpHead::joined(std::string_view name) const {
  std::string all;
  for (const HttpHeader& header : headers) {
    if (header.name != name) continue;
    if (!all.empty()) all += ", ";
    all += header.value;
  }
  return all;
}

const std::string* HttpHead::find_query(std::string_view name) const noexcept {
  for (const auto& [key, value] : query) {
    if (key == name) return &value;
  }
  return nullptr;
}

const char* status_reason(int status) noexcept {
  for (const StatusRow& row : kStatuses) {
    if (row.status == status) return row.reason;
  }
  return "Unknown";
}

}  // namespace paring::net
