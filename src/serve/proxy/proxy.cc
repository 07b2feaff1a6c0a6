// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/proxy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <iterator>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/version.h"
#include "serve/access/browser_guard.h"
#include "serve/access/loopback.h"
#include "serve/access/refusal.h"
#include "serve/alert_samples.h"
#include "serve/metrics_text.h"
#include "serve/proxy/passed_content.h"
#include "serve/proxy/upstream_request.h"
#include "serve/route.h"
#include "serve/sample_list.h"
#include "serve/wire/alerts.h"

namespace paring::serve {

namespace {

// Bodies up to this are read on the I/O thread, which spares waking another.
constexpr std::size_t kQuickBytesMax = std::size_t{16} << 10;
constexpr double kRetrySeconds = 1;
constexpr std::size_t kModelsMax = 1024;

constexpr const char* kAlertsPath = "/v1/alerts";

std::size_t announced_bytes(const net::HttpHead& head) {
  if (head.find("transfer-encoding") != nullptr) return kQuickBytesMax + 1;
  const std::string* length = head.find("content-length");
  std::size_t bytes = 0;
  if (length != nullptr) {
    std::from_chars(length->data(), length->data() + length->size(), bytes);
  }
  return bytes;
}

std::vector<net::HttpHeader> own_headers(const RequestFacts& facts) {
  return {{"x-request-id", facts.id}, {"traceresponse", facts.trace.response_header()}};
}

}  // namespace

Proxy::Proxy(const ProxyOptions& options)
    : options_(options),
      log_(options.access_log),
      keys_(nullptr, options.keys,
            options.keys.empty() ? KeyRing::WithoutKey::kAnonymous : KeyRing::WithoutKey::kRefuse) {
}

Proxy::~Proxy() {
  if (http_ != nullptr) http_->stop(0);
  client_.reset();  // its sinks let go of their exchanges
  http_.reset();
}

Result<std::unique_ptr<Proxy>> Proxy::start(const ProxyOptions& options) {
  PARING_TRY(const std::string upstream, parse_upstream(options.upstream));
  ProxyOptions checked = options;
  checked.upstream = upstream;
  if (options.keys.empty() && !is_loopback(options.http.address)) {
    return invalid_argument(
        fmt::format("the address {} can be reached by others, and there is no key",
                    options.http.address),
        "set PARING_API_KEY or --api-key-file, or listen on 127.0.0.1");
  }
  std::unique_ptr<Proxy> proxy(new Proxy(checked));
  monitor::Traffic::Options traffic = options.traffic;
  if (options.content != nullptr) {
    traffic.writer.prepare = [filter = options.content](store::TrafficContent& content) {
      return read_passed(content) && filter->apply(content);
    };
  }
  PARING_TRY(proxy->traffic_, monitor::Traffic::open(traffic));
  if (options.otlp) {
    PARING_TRY(proxy->exporter_,
               monitor::OtlpExporter::start(
                   {.target = *options.otlp, .resource = options.otlp->resource_with(version())}));
  }
  if (options.alerts) {
    PARING_TRY(proxy->alerts_,
               monitor::Alerts::start(
                   {.alerts = *options.alerts, .file = traffic.data + "/" + monitor::kAlertsFile},
                   &proxy->traffic_->db()));
  }
  PARING_TRY(proxy->client_, net::UpstreamClient::start(options.client));
  if (!options.scrape.targets.empty()) {
    PARING_TRY(proxy->scraper_, monitor::Scraper::start(options.scrape));
  }
  net::HttpServerOptions http = options.http;
  http.body_bytes_max = options.body_bytes_max;
  http.body_memory_max = std::max(http.body_memory_max, 2 * options.body_bytes_max);
  PARING_TRY(proxy->http_, net::HttpServer::start(http, *proxy));
  return proxy;
}

std::size_t Proxy::drain(const std::function<bool()>& is_impatient) {
  http_->stop_accepting();
  const double end = system_clock().monotonic_seconds() + options_.drain_seconds;
  while (http_->active_requests() > 0 && system_clock().monotonic_seconds() < end &&
         !is_impatient()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return http_->stop(0);
}

// Null: it is forwarded. Without objectives /v1/alerts is the upstream's.
const char* Proxy::local_route(std::string_view path) const {
  for (const char* route : {"/metrics", "/livez"}) {
    if (path == route) return route;
  }
  return alerts_ != nullptr && path == kAlertsPath ? kAlertsPath : nullptr;
}

std::shared_ptr<Passage> Proxy::begin(const net::HttpHead& head) {
  auto passage = std::make_shared<Passage>([this](Passage& last) { finish(last); });
  passage->begin = system_clock().monotonic_seconds();
  passage->is_local = local_route(head.path) != nullptr;
  RequestFacts& facts = passage->facts;
  facts.id = request_id_of(head);
  facts.trace = trace_of(head);
  facts.method = head.method;
  facts.path = head.path;
  facts.route = local_route(head.path);
  facts.remote_address = head.remote_address;
  facts.started_s = system_clock().wall_seconds();
  const std::lock_guard lock(mutex_);
  passages_[head.serial] = passage;
  return passage;
}

std::shared_ptr<Passage> Proxy::find(const net::HttpHead& head) const {
  const std::lock_guard lock(mutex_);
  const auto found = passages_.find(head.serial);
  return found == passages_.end() ? nullptr : found->second;
}

std::variant<net::BodyLimit, net::HttpResponse> Proxy::on_head(const net::HttpHead& head) {
  const auto passage = begin(head);
  return judge(head, *passage);
}

std::variant<net::BodyLimit, net::HttpResponse> Proxy::judge(const net::HttpHead& head,
                                                             Passage& passage) {
  if (head.path == "/livez") return net::BodyLimit{.is_quick = true};
  Principal principal = anonymous_principal();
  if (!options_.keys.empty()) {
    const auto value = [&](std::string_view name) -> std::optional<std::string_view> {
      const std::string* found = head.find(name);
      return found == nullptr ? std::nullopt : std::optional<std::string_view>(*found);
    };
    const ApiResult<std::string> key = presented_key(value("authorization"), value("x-api-key"));
    if (!key) return refused(head, passage, key.error());
    ApiResult<Principal> known = keys_.authenticate(*key);
    if (!known) return refused(head, passage, known.error());
    principal = *std::move(known);
  } else if (const auto error = refuse_foreign_page(head, {})) {
    return refused(head, passage, *error);
  }
  passage.facts.key_id = principal.key_id;
  passage.facts.tenant = principal.tenant;
  const Scope scope = passage.is_local ? Scope::kMetrics : Scope::kInference;
  if (const auto error = check_scope(principal, scope)) return refused(head, passage, *error);
  if (passage.is_local) return net::BodyLimit{.is_quick = true};
  if (head.method == "CONNECT" || head.method == "TRACE" || head.path == "*") {
    return refused(head, passage,
                   {405, "method_not_allowed", "the proxy does not forward " + head.method});
  }
  passage.is_counted_in = true;
  if (++open_ > options_.requests_max) {
    metrics().rejections.add();
    return refused(
        head, passage,
        {503, "server_is_overloaded",
         fmt::format("{} requests are being forwarded, that is the limit", options_.requests_max),
         "", kRetrySeconds});
  }
  return net::BodyLimit{.bytes = options_.body_bytes_max,
                        .is_quick = announced_bytes(head) <= kQuickBytesMax};
}

net::HttpResponse Proxy::refused(const net::HttpHead& head, Passage& passage,
                                 const ApiError& error) {
  passage.facts.error_code = error.code;
  net::HttpResponse response{.status = error.status,
                             .content_type = "application/json",
                             .headers = own_headers(passage.facts),
                             .body = wire::error_body(protocol_of(head.path), error)};
  if (error.status == 401) response.headers.push_back({"www-authenticate", "Bearer"});
  if (error.retry_after_seconds) {
    response.headers.push_back(
        {"retry-after", std::to_string(retry_after_header(*error.retry_after_seconds))});
  }
  return response;
}

void Proxy::on_request(std::shared_ptr<net::Exchange> exchange) {
  const net::HttpHead& head = exchange->head();
  const std::shared_ptr<Passage> passage = find(head);
  if (passage == nullptr) return;
  if (passage->is_local) {
    answer_locally(*exchange, *passage);
    return;
  }
  monitor::AskedFor asked = monitor::read_asked_for(exchange->body());
  passage->facts.model = std::move(asked.model);
  passage->facts.user = std::move(asked.user);
  if (options_.content != nullptr && has_passed_content(head.path) &&
      options_.content->takes(passage->facts.id)) {
    if (exchange->body().size() > kPassedBytesMax) {
      metrics().traffic_content_dropped_too_long.add();
    } else if (passage->content_room.emplace(options_.content->room());
               passage->content_room->add(exchange->body().size())) {
      passage->content = {exchange->body(), ""};
    }
  }
  const UpstreamKey key{.drops_callers = !options_.keys.empty(), .own = options_.upstream_key};
  net::UpstreamRequest request{
      .method = head.method,
      .url = upstream_url(options_.upstream, head),
      .headers = upstream_headers(head, passage->facts.id, passage->facts.trace, key),
      .body = std::move(exchange->body())};
  const std::uint64_t id = client_->new_id();
  auto relay = std::make_shared<Relay>(exchange, passage, own_headers(passage->facts));
  relay->set_resume([this, id] { client_->resume(id); });
  client_->send(id, std::move(request), std::move(relay));
  exchange->on_gone([this, id] { client_->cancel(id); });
}

std::string Proxy::metrics_page() const {
  const std::size_t open = open_;
  const MetricSample running[] = {
      {kRunningGauge.name, "Requests that are forwarded", {}, static_cast<double>(open)}};
  std::vector<MetricSample> samples(std::begin(running), std::end(running));
  add_money(samples, costs_.total());
  if (options_.content != nullptr) {
    const std::vector<MetricSample> redactions = redaction_samples(*options_.content);
    samples.insert(samples.end(), redactions.begin(), redactions.end());
  }
  if (alerts_ != nullptr) {
    const std::vector<MetricSample> found = alert_samples(*alerts_);
    samples.insert(samples.end(), found.begin(), found.end());
  }
  std::string text = metrics_text(metric_rows(metrics()), samples);
  if (scraper_ == nullptr) return text;
  // A family stands in one place, whoever has samples of it.
  monitor::MetricsPage page = monitor::MetricsPage::parse(text);
  page.add(scraper_->page());
  return page.text();
}

void Proxy::answer_locally(net::Exchange& exchange, const Passage& passage) const {
  const net::HttpHead& head = exchange.head();
  net::HttpResponse response{.status = 200, .headers = own_headers(passage.facts)};
  if (head.method != "GET" && head.method != "HEAD") {
    response.status = 405;
    response.headers.push_back({"allow", "GET"});
    response.content_type = "application/json";
    response.body = wire::error_body(wire::Protocol::kOpenAi,
                                     {405, "method_not_allowed", "this route takes GET"});
  } else if (head.path == "/livez") {
    response.content_type = "application/json";
    response.body = R"({"status":"ok"})";
  } else if (head.path == kAlertsPath) {
    response.content_type = "application/json";
    response.body = wire::alerts_answer(
        {alerts_->now_s(), alerts_->standings(), alerts_->changes(), alerts_->sinks()});
  } else {
    response.content_type = kMetricsContentType;
    response.body = metrics_page();
  }
  exchange.respond(std::move(response));
}

net::HttpResponse Proxy::error(const net::HttpHead* head, int status, std::string_view code,
                               std::string_view message) {
  const auto passage = head == nullptr ? nullptr : find(*head);
  const ApiError error{status, std::string(code), std::string(message)};
  if (passage != nullptr) return refused(*head, *passage, error);
  const wire::Protocol protocol =
      head == nullptr ? wire::Protocol::kOpenAi : protocol_of(head->path);
  return {.status = status,
          .content_type = "application/json",
          .body = wire::error_body(protocol, error)};
}

void Proxy::on_end(const net::HttpHead& head, const net::RequestEnd& end) {
  std::shared_ptr<Passage> passage;
  {
    const std::lock_guard lock(mutex_);
    const auto found = passages_.find(head.serial);
    if (found == passages_.end()) return;
    passage = std::move(found->second);
    passages_.erase(found);
  }
  passage->facts.end = end;
  passage->facts.seconds = system_clock().monotonic_seconds() - passage->begin;
}

// Rows are told apart by their model, which clients may make up.
std::string Proxy::known_model(std::string model) {
  const std::lock_guard lock(models_mutex_);
  if (models_.contains(model)) return model;
  if (models_.size() == kModelsMax) return "other";
  models_.insert(model);
  return model;
}

// Everything is known: a row, counters, the line in the log.
void Proxy::finish(Passage& passage) {
  if (passage.is_counted_in) --open_;
  RequestFacts& facts = passage.facts;
  if (passage.error_code.empty()) passage.error_code = facts.error_code;
  if (!passage.is_local) {
    store::TrafficRequest row = passage_row(passage);
    costs_.charge(options_.prices, row, passage.answering_model, !passage.is_counted);
    row.model = known_model(std::move(row.model));
    Metrics& cells = metrics();
    const store::TrafficTokens& tokens = row.tokens;
    const std::int64_t answer = tokens.answer_visible + tokens.answer_reasoning;
    cells.prompt_tokens.add(static_cast<std::uint64_t>(tokens.prompt_fresh));
    cells.prefix_queries.add(
        static_cast<std::uint64_t>(tokens.prompt_fresh + tokens.prompt_cached));
    cells.prefix_hits.add(static_cast<std::uint64_t>(tokens.prompt_cached));
    cells.generation_tokens.add(static_cast<std::uint64_t>(answer));
    if (passage.first_token_seconds)
      cells.first_token_seconds.observe(*passage.first_token_seconds);
    if (passage.is_counted) cells.answers_counted.add();
    cells.request_seconds.observe(facts.seconds);
    if (row.end == "error") {
      cells.success_error.add();
    } else if (row.end == "cancelled") {
      cells.success_abort.add();
    } else if (row.end == "length") {
      cells.success_length.add();
    } else {
      cells.success_stop.add();
    }
    if (alerts_ != nullptr) alerts_->observe(row);
    // Before the content is there, which is not copied for it.
    if (exporter_ != nullptr) exporter_->record(row);
    // What was refused or failed has no answer to keep.
    if (row.end != "error") row.content = std::move(passage.content);
    facts.model = row.model;
    facts.error_code = row.error_code;
    facts.first_token_seconds = passage.first_token_seconds;
    if (answer + tokens.prompt_fresh + tokens.prompt_cached > 0) {
      facts.usage.emplace();
      facts.usage->prompt_tokens =
          static_cast<std::size_t>(tokens.prompt_fresh + tokens.prompt_cached);
      facts.usage->cached_tokens = static_cast<std::size_t>(tokens.prompt_cached);
      facts.usage->completion_tokens = static_cast<std::size_t>(answer);
    }
    traffic_->writer().record(std::move(row), {});
  }
  log_.write(std::move(facts));
}

}  // namespace paring::serve
