// SPDX-License-Identifier: Apache-2.0
#include "net/http_server.h"

#include <utility>

#include "net/detail/listen_socket.h"
#include "net/detail/server_core.h"

namespace paring::net {

namespace {

Result<void> check_options(const HttpServerOptions& options) {
  struct Row {
    const char* name;
    bool is_wrong;
  };
  const Row rows[] = {
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
  return {};
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options,
                                                      RequestHandler& handler) {
  PARING_TRY_VOID(check_options(options));
  PARING_TRY(detail::ListenSocket listening, detail::listen_on(options.address, options.port));
  auto core = std::make_shared<detail::ServerCore>(options, handler, std::move(listening));
  core->start();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

HttpServer::HttpServer(std::shared_ptr<detail::ServerCore> core) : core_(std::move(core)) {}
HttpServer::~HttpServer() { core_->stop(0); }

std::uint16_t HttpServer::port() const noexcept { return core_->listening().port; }

std::string HttpServer::url() const {
  const detail::ListenSocket& listening = core_->listening();
  return listening.unix_path.empty() ? "http://" + listening.url : listening.url;
}

void HttpServer::post(std::function<void()> task) { core_->post(std::move(task)); }
void HttpServer::stop_accepting() { core_->stop_accepting(); }
std::size_t HttpServer::stop(double grace_seconds) { return core_->stop(grace_seconds); }
std::size_t HttpServer::open_connections() const noexcept { return core_->open_connections(); }
std::size_t HttpServer::active_requests() const noexcept { return core_->active_requests.load(); }

}  // namespace paring::net
