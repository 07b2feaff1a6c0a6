// SPDX-License-Identifier: Apache-2.0
#include "net/http_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "base/version.h"
#include "net/curl_library.h"

namespace paring::net {

namespace {

// What the callbacks of one transfer share.
struct Transfer {
  const CurlLibrary* curl = nullptr;
  CURL* handle = nullptr;
  const BodySink* sink = nullptr;
  HttpClientResponse response;
  std::size_t header_bytes = 0;
  bool has_begun = false;      // on_headers was called
  std::optional<Error> error;  // of the sink, or of a limit
};

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kHeaderBytesMax) {
    transfer.error =
        Error{ErrorCode::kExhausted,
              fmt::format("the server sent more than {} bytes of headers", kHeaderBytesMax),
              "check that the address is the right one"};
    return 0;
  }
  if (line.starts_with("HTTP/")) {  // a response begins; those before were redirects
    transfer.response.headers.clear();
    return line.size();
  }
  const std::size_t colon = line.find(':');
  if (colon != std::string_view::npos) {
    transfer.response.headers[ascii_lower(line.substr(0, colon))] =
        std::string(trimmed(line.substr(colon + 1)));
  }
  return line.size();
}

// Status and address of the response whose body or end has come.
void settle(Transfer& transfer) {
  long status = 0;
  transfer.curl->easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  const char* url = nullptr;
  transfer.curl->easy_getinfo(transfer.handle, CURLINFO_EFFECTIVE_URL, &url);
  transfer.response.url = url == nullptr ? "" : url;
}

bool begin(Transfer& transfer) {
  if (transfer.has_begun) return true;
  transfer.has_begun = true;
  settle(transfer);
  if (!transfer.sink->on_headers) return true;
  Result<void> accepted = transfer.sink->on_headers(transfer.response);
  if (accepted) return true;
  transfer.error = std::move(accepted.error());
  return false;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t bytes = size * count;
  if (!begin(transfer)) return 0;
  const bool is_success = transfer.response.status >= 200 && transfer.response.status < 300;
  if (!is_success || !transfer.sink->on_bytes) return bytes;
  Result<void> taken = transfer.sink->on_bytes(std::as_bytes(std::span<const char>(data, bytes)));
  if (taken) return bytes;
  transfer.error = std::move(taken.error());
  return 0;
}

Error transfer_error(const CurlLibrary& curl, CURLcode code, const HttpClientRequest& request,
                     const char* detail) {
  const std::string why = *detail != '\0' ? detail : curl.easy_strerror(code);
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return invalid_argument(fmt::format("'{}' cannot be fetched: {}", request.url, why),
                              "an address begins with https:// or http://");
    case CURLE_TOO_MANY_REDIRECTS:
      return exhausted(fmt::format("{}: more than {} redirects", request.url, kRedirectsMax),
                       "check the address");
    default:
      return Error{ErrorCode::kUnavailable, fmt::format("{}: {}", request.url, why),
                   "check the network and the address, then try again"};
  }
}

}  // namespace

struct HttpClient::State {
  const CurlLibrary* curl = nullptr;
  CURL* handle = nullptr;
  ~State() {
    if (handle != nullptr) curl->easy_cleanup(handle);
  }
};

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<HttpClient> HttpClient::create() {
  auto state = std::make_unique<State>();
  PARING_TRY(state->curl, curl_library());
  state->handle = state->curl->easy_init();
  if (state->handle == nullptr) {
    return Error{ErrorCode::kInternal, "the HTTP library does not start"};
  }
  return HttpClient(std::move(state));
}

Result<HttpClientResponse> HttpClient::get(const HttpClientRequest& request, const BodySink& sink) {
  const CurlLibrary& curl = *state_->curl;
  CURL* handle = state_->handle;
  Transfer transfer;
  transfer.curl = &curl;
  transfer.handle = handle;
  transfer.sink = &sink;
  char detail[CURL_ERROR_SIZE] = "";
  curl.easy_reset(handle);  // options only: connections stay open
  curl.easy_setopt(handle, CURLOPT_URL, request.url.c_str());
  curl.easy_setopt(handle, CURLOPT_ERRORBUFFER, detail);
  curl.easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl.easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  // What began encrypted stays encrypted.
  curl.easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR,
                   ascii_lower(request.url.substr(0, 6)) == "https:" ? "https" : "http,https");
  curl.easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl.easy_setopt(handle, CURLOPT_MAXREDIRS, long{kRedirectsMax});
  curl.easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl.easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl.easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  const std::string agent = fmt::format("paring/{}", version());
  curl.easy_setopt(handle, CURLOPT_USERAGENT, agent.c_str());
  // As other programs that use OpenSSL find their certificates.
  if (const char* file = std::getenv("SSL_CERT_FILE"); file != nullptr && *file != '\0') {
    curl.easy_setopt(handle, CURLOPT_CAINFO, file);
  }
  if (!request.token.empty()) {
    // libcurl sends this kind of token to the first host only.
    curl.easy_setopt(handle, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl.easy_setopt(handle, CURLOPT_XOAUTH2_BEARER, request.token.c_str());
  }
  if (request.seconds_max != 0) curl.easy_setopt(handle, CURLOPT_TIMEOUT, request.seconds_max);
  if (request.first_byte != 0 || request.end_byte != 0) {
    const std::string last = request.end_byte == 0 ? "" : std::to_string(request.end_byte - 1);
    curl.easy_setopt(handle, CURLOPT_RANGE, fmt::format("{}-{}", request.first_byte, last).c_str());
  }
  curl.easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
  curl.easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
  curl.easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
  curl.easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);

  const CURLcode code = curl.easy_perform(handle);
  if (transfer.error) return std::move(*transfer.error);
  if (code != CURLE_OK) return transfer_error(curl, code, request, detail);
  if (!begin(transfer)) return std::move(*transfer.error);  // no body
  return std::move(transfer.response);
}

Result<HttpClientResponse> HttpClient::get_text(const HttpClientRequest& request,
                                                std::size_t bytes_max, std::string* body) {
  body->clear();
  return get(request,
             {.on_headers = {}, .on_bytes = [&](std::span<const std::byte> piece) {
                if (piece.size() > bytes_max - body->size()) {
                  return Result<void>(exhausted(
                      fmt::format("{}: the answer is longer than {} bytes", request.url, bytes_max),
                      "check the address"));
                }
                body->append(reinterpret_cast<const char*>(piece.data()), piece.size());
                return Result<void>();
              }});
}

bool is_token(const std::string& text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string encode_path(const std::string& path) {
  std::string result;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_kept = (byte < 0x80 && std::isalnum(byte) != 0) || c == '-' || c == '.' ||
                         c == '_' || c == '~' || c == '/';
    result += is_kept ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return result;
}

}  // namespace paring::net
