// SPDX-License-Identifier: Apache-2.0
// A proxy before another engine or provider: requests go on as they are, answers come back as they
// arrive, and each leaves a row in the database of traffic, a line in the log and its share of
// /metrics. /metrics, /livez and, with objectives, /v1/alerts are the proxy's own. Thread-safe.
//
//   PARING_TRY(const auto proxy, serve::Proxy::start({.upstream = "http://127.0.0.1:8000"}));
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/result.h"
#include "monitor/alerts.h"
#include "monitor/content_filter.h"
#include "monitor/otlp_exporter.h"
#include "monitor/price_book.h"
#include "monitor/scraper.h"
#include "monitor/token_costs.h"
#include "monitor/traffic.h"
#include "net/http_server.h"
#include "net/upstream_client.h"
#include "serve/access/key_ring.h"
#include "serve/proxy/passage.h"
#include "serve/request_record.h"

namespace paring::serve {

struct ProxyOptions {
  std::string upstream;        // see parse_upstream()
  std::string upstream_key{};  // sent in the place of the caller's; empty: none
  // Who may use the proxy; none: whoever reaches it, which must be this machine only. The caller's
  // key is the upstream's then, and goes on to it.
  std::vector<FileKey> keys{};
  net::HttpServerOptions http{};
  net::UpstreamClient::Options client{};
  std::size_t requests_max = 512;  // at a time: 503
  std::size_t body_bytes_max = std::size_t{64} << 20;
  double drain_seconds = 30;
  AccessLog access_log = AccessLog::kAll;
  monitor::Traffic::Options traffic{};
  monitor::PriceBook prices{};                              // of tokens
  std::shared_ptr<const monitor::ContentFilter> content{};  // null: no prompts and answers
  std::optional<monitor::OtlpTarget> otlp{};                // where spans go; absent: nowhere
  std::optional<monitor::AlertOptions> alerts{};            // objectives; absent: none
  monitor::Scraper::Options scrape{.targets = {}};          // whose metrics /metrics has as well
};

class Proxy final : public net::RequestHandler {
 public:
  // Errors of net::UpstreamClient::start(), monitor::Traffic::open(), net::HttpServer::start().
  // InvalidArgument: no address of a server, an address that others can reach without a key.
  static Result<std::unique_ptr<Proxy>> start(const ProxyOptions& options);
  ~Proxy() override;
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  std::string url() const { return http_->url(); }
  // No new requests; those that run get drain_seconds, or until `is_impatient`. How many were cut.
  std::size_t drain(const std::function<bool()>& is_impatient);

  std::variant<net::BodyLimit, net::HttpResponse> on_head(const net::HttpHead& head) override;
  void on_request(std::shared_ptr<net::Exchange> exchange) override;
  net::HttpResponse error(const net::HttpHead* head, int status, std::string_view code,
                          std::string_view message) override;
  void on_end(const net::HttpHead& head, const net::RequestEnd& end) override;

 private:
  explicit Proxy(const ProxyOptions& options);

  const char* local_route(std::string_view path) const;
  std::shared_ptr<Passage> begin(const net::HttpHead& head);
  std::shared_ptr<Passage> find(const net::HttpHead& head) const;
  std::variant<net::BodyLimit, net::HttpResponse> judge(const net::HttpHead& head,
                                                        Passage& passage);
  net::HttpResponse refused(const net::HttpHead& head, Passage& passage, const ApiError& error);
  std::string metrics_page() const;
  void answer_locally(net::Exchange& exchange, const Passage& passage) const;
  std::string known_model(std::string model);
  void finish(Passage& passage);

  const ProxyOptions options_;
  std::unique_ptr<monitor::Traffic> traffic_;
  std::unique_ptr<monitor::OtlpExporter> exporter_;  // null: nobody is told
  std::unique_ptr<monitor::Alerts> alerts_;          // null: there are no objectives
  monitor::TokenCosts costs_;
  RequestLog log_;
  KeyRing keys_;
  std::atomic<std::size_t> open_{0};  // requests that are forwarded
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Passage>> passages_;  // by serial
  std::mutex models_mutex_;
  std::unordered_set<std::string> models_;
  std::unique_ptr<monitor::Scraper> scraper_;  // null: nothing is scraped
  std::unique_ptr<net::UpstreamClient> client_;
  std::unique_ptr<net::HttpServer> http_;
};

}  // namespace paring::serve
