// SPDX-License-Identifier: Apache-2.0
// Server: HTTP in front of the models. It knows who asks (access/), which route is meant (routes/),
// and runs the engine's loop. Thread-safe.
//
//   PARING_TRY(auto server, serve::Server::start(options, executor));
//   PARING_TRY(auto model, server->models().load("name", path, model_options));
//   server->set_ready();
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/executor.h"
#include "net/http_server.h"
#include "serve/access/key_ring.h"
#include "serve/answering.h"
#include "serve/engine_loop.h"
#include "serve/mask_pool.h"
#include "serve/model_registry.h"
#include "serve/prepare.h"
#include "serve/route.h"

namespace paring::serve {

struct ServerOptions {
  net::HttpServerOptions http;
  RequestLimits limits;
  std::size_t requests_max = 512;           // generating or waiting together: 503 beyond
  std::size_t queued_tokens_max = 1 << 18;  // prompt tokens that wait: 503 beyond
  double drain_seconds = 30;                // that running answers get after SIGTERM
  double stall_seconds = 30;                // without a step: /livez says so
  std::vector<std::string> cors_origins;    // that browsers may call from; empty: none, "*": any
  std::vector<FileKey> keys;                // empty: nobody needs a key
  bool is_strict = true;                    // unknown fields of requests are errors
};

class Server : public net::RequestHandler {
 public:
  // Listens from here on and says that it is loading. InvalidArgument for an address that others
  // can reach without any key; errors of HttpServer::start().
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, Executor& executor);
  ~Server() override;

  ModelRegistry& models() noexcept { return *registry_; }
  EngineLoop& loop() noexcept { return *loop_; }
  MaskPool& masks() noexcept { return *masks_; }
  const ServerOptions& options() const noexcept { return options_; }
  std::string url() const { return http_->url(); }

  void set_ready() noexcept { is_ready_ = true; }
  // Why new work is not taken now; empty: it is.
  std::string unready_reason() const;
  bool is_draining() const noexcept { return is_draining_; }
  bool is_alive() const noexcept { return loop_->stalled_seconds() < options_.stall_seconds; }

  // Refuses new work, waits for what runs, ends the rest with an error. Returns how many were cut.
  // `is_impatient`, asked now and then: whether not to wait any longer.
  std::size_t drain(const std::function<bool()>& is_impatient);

  // A response for `error` in the dialect of the call.
  net::HttpResponse error_response(const Call& call, const ApiError& error) const;
  void respond(const Call& call, int status, std::string content_type, std::string body) const;
  void refuse(const Call& call, const ApiError& error) const;
  // Runs a prepared answer and writes it to the caller.
  void answer(const Call& call, std::shared_ptr<ServedModel> model, AnswerPlan plan,
              std::unique_ptr<AnswerWriter> writer, bool streams);

  std::variant<net::BodyLimit, net::HttpResponse> on_head(const net::HttpHead& head) override;
  void on_request(std::shared_ptr<net::Exchange> exchange) override;
  net::HttpResponse error(const net::HttpHead* head, int status, std::string_view code,
                          std::string_view message) override;

 private:
  Server(const ServerOptions& options, Executor& executor);
  void abandon_answers();
  std::optional<ApiError> overload(const ServedModel& model, std::size_t prompt_tokens) const;
  ApiResult<Principal> authenticate(const net::HttpHead& head);
  std::vector<net::HttpHeader> common_headers(const net::HttpHead& head,
                                              const std::string& id) const;

  ServerOptions options_;
  KeyRing keys_;
  std::unique_ptr<MaskPool> masks_;
  std::unique_ptr<net::HttpServer> http_;
  std::unique_ptr<EngineLoop> loop_;
  std::unique_ptr<ModelRegistry> registry_;
  std::atomic<std::size_t> open_answers_{0};
  std::mutex answers_mutex_;
  std::set<Answering*> answers_;  // open ones, guarded by answers_mutex_
  std::atomic<bool> is_ready_{false};
  std::atomic<bool> is_draining_{false};
};

}  // namespace paring::serve
