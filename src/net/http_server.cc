// SPDX-License-Identifier: Apache-2.0
#include "net/http_server.h"

#include <utility>

#include "net/detail/address_list.h"
#include "net/detail/listen_socket.h"
#include "net/detail/server_core.h"
#include "net/detail/tls.h"

namespace paring::net {

namespace {

Result<void> check_options(const HttpServerOptions& options) {
  struct Row {
    const char* name;
    bool is_wrong;
  };
  const Row rows[] = {
      {"connections_max", options.connections_max == 0},
      {"header_bytes_max", options.header_bytes_max < 256},
      {"headers_max", options.headers_max == 0},
      {"target_bytes_max", options.target_bytes_max == 0},
      {"header_seconds", !(options.header_seconds > 0)},
      {"body_seconds", !(options.body_seconds > 0)},
      {"idle_seconds", !(options.idle_seconds > 0)},
      {"write_seconds", !(options.write_seconds > 0)},
      {"stream_buffer_bytes", options.stream_buffer_bytes == 0},
      {"workers", options.workers == 0},
      {"queued_requests_max", options.queued_requests_max == 0},
  };
  for (const Row& row : rows) {
    if (row.is_wrong) {
      return invalid_argument(std::string("the server's option ") + row.name + " is too small",
                              "with it, no request could be served");
    }
  }
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return invalid_argument("TLS needs a certificate and its key, one of the two is not given",
                            "give both files, or none for plain HTTP");
  }
  return {};
}

// Null without TLS.
Result<std::shared_ptr<const detail::TlsContext>> load_tls(const HttpServerOptions& options) {
  if (options.tls_certificate_file.empty()) return std::shared_ptr<const detail::TlsContext>();
  return detail::TlsContext::load(options.tls_certificate_file, options.tls_key_file);
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options,
                                                      RequestHandler& handler) {
  PARING_TRY_VOID(check_options(options));
  PARING_TRY(auto tls, load_tls(options));
  PARING_TRY(auto proxies, detail::AddressList::parse(options.trusted_proxies));
  PARING_TRY(detail::ListenSocket listening, detail::listen_on(options.address, options.port));
  auto core = std::make_shared<detail::ServerCore>(options, handler, std::move(listening),
                                                   std::move(proxies), std::move(tls));
  core->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

HttpServer::HttpServer(std::shared_ptr<detail::ServerCore> core) : core_(std::move(core)) {}
HttpServer::~HttpServer() { core_->stop(0); }

Result<void> HttpServer::reload_tls() {
  PARING_TRY(auto tls, load_tls(core_->options()));
  if (!tls) return invalid_argument("the server does not speak TLS", "restart it with TLS files");
  core_->set_tls(std::move(tls));
  return {};
}

std::uint16_t HttpServer::port() const noexcept { return core_->listening().port; }

std::string HttpServer::url() const {
  const detail::ListenSocket& listening = core_->listening();
  if (!listening.unix_path.empty()) return listening.url;
  return (core_->options().tls_key_file.empty() ? "http://" : "https://") + listening.url;
}

void HttpServer::post(std::function<void()> task) { core_->post(std::move(task)); }
void HttpServer::stop_accepting() { core_->stop_accepting(); }
std::size_t HttpServer::stop(double grace_seconds) { return core_->stop(grace_seconds); }
std::size_t HttpServer::open_connections() const noexcept { return core_->open_connections(); }
std::size_t HttpServer::active_requests() const noexcept { return core_->active_requests.load(); }

}  // namespace paring::net
