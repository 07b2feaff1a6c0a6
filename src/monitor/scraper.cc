// SPDX-License-Identifier: Apache-2.0
#include "monitor/scraper.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "net/http_client.h"

namespace paring::monitor {

namespace {

constexpr const char* kUp = "paring:scrape_up";
constexpr const char* kSeconds = "paring:scrape_seconds";
constexpr const char* kSamples = "paring:scrape_samples";
constexpr const char* kBad = "paring:scrape_bad_lines";
constexpr const char* kRate = "paring:scraped_per_second";

// "host:port" of a URL.
std::string instance_of(std::string_view url) {
  const std::size_t begin = url.find("://") + 3;
  return std::string(url.substr(begin, url.find('/', begin) - begin));
}

}  // namespace

Result<std::string> parse_scrape_url(std::string_view url) {
  const auto refused = [&](const char* why) {
    return invalid_argument(
        fmt::format("'{}' cannot be scraped: {}", escape_control(std::string(url)), why),
        "write http://127.0.0.1:8000 or http://127.0.0.1:8000/metrics");
  };
  std::size_t begin = 0;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (url.starts_with(scheme)) begin = scheme.size();
  }
  if (begin == 0) return refused("it begins with http:// or https://");
  const std::size_t path = url.find('/', begin);
  const std::string_view host = url.substr(begin, path - begin);
  if (host.empty() || host.find_first_of("@?# ") != std::string_view::npos) {
    return refused("it names no host and port alone");
  }
  if (path == std::string_view::npos || path + 1 == url.size()) {
    return std::string(url.substr(0, path)) + "/metrics";
  }
  return std::string(url);
}

bool is_same_server(std::string_view url, std::string_view other) noexcept {
  const auto origin_of = [](std::string_view text) {
    const std::size_t scheme = text.find("://");
    if (scheme == std::string_view::npos) return std::string_view();
    return text.substr(0, text.find('/', scheme + 3));
  };
  return !origin_of(url).empty() && origin_of(url) == origin_of(other);
}

Result<std::unique_ptr<Scraper>> Scraper::start(const Options& options) {
  PARING_TRY(net::HttpClient created, net::HttpClient::create());
  auto client = std::make_shared<net::HttpClient>(std::move(created));
  const auto fetch = [client, options](const ScrapeTarget& target) -> Result<std::string> {
    std::string body;
    PARING_TRY(const net::HttpClientResponse response,
               client->get_text(
                   {.url = target.url, .token = target.token, .seconds_max = options.seconds_max},
                   MetricsPage::kBytesMax, &body));
    constexpr int kOk = 200;
    if (response.status == kOk) return body;
    return Error{ErrorCode::kUnavailable, fmt::format("status {}", response.status)};
  };
  auto scraper = std::make_unique<Scraper>(options, fetch, system_clock());
  scraper->thread_ = Thread(thread_names::kScrape, [raw = scraper.get()] { raw->run(); });
  return scraper;
}

Scraper::Scraper(const Options& options, Fetch fetch, const Clock& clock)
    : options_(options), fetch_(std::move(fetch)), clock_(clock), states_(options.targets.size()) {}

Scraper::~Scraper() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Scraper::run() {
  for (;;) {
    scrape();
    std::unique_lock lock(mutex_);
    const auto pause = std::chrono::duration<double>(options_.seconds);
    if (changed_.wait_for(lock, pause, [&] { return is_stopping_; })) return;
  }
}

void Scraper::scrape() {
  for (std::size_t i = 0; i < options_.targets.size(); ++i) {
    const ScrapeTarget& target = options_.targets[i];
    const double begin = clock_.monotonic_seconds();
    const Result<std::string> text = fetch_(target);
    const double now = clock_.monotonic_seconds();
    MetricsPage page;
    if (text) page = MetricsPage::parse(*text);
    const std::lock_guard lock(mutex_);
    if (is_stopping_) return;
    State& state = states_[i];
    if (!text && (state.is_up || state.at == 0)) {
      log_warning(fmt::format("{} cannot be scraped: {}", target.url, text.error().text()));
    }
    state.is_up = text.has_value();
    state.seconds = now - begin;
    state.page = std::move(page);
    note_rates(state, now);
    state.page.set_label("instance", instance_of(target.url));
  }
}

void Scraper::note_rates(State& state, double now) {
  std::map<std::string, double> sums;
  for (const auto& [name, family] : state.page.families()) {
    if (family.type != "counter") continue;
    double& sum = sums[name];
    for (const MetricsSample& sample : family.samples) sum += sample.value;
  }
  state.rates.clear();
  const double seconds = now - state.at;
  for (const auto& [name, sum] : sums) {
    const auto before = state.sums.find(name);
    if (before == state.sums.end() || seconds <= 0) continue;
    // One that is less than it was began again with the server.
    const double grown = sum >= before->second ? sum - before->second : sum;
    state.rates[name] = grown / seconds;
  }
  state.sums = std::move(sums);
  state.at = now;
}

MetricsPage Scraper::page() const {
  MetricsPage all;
  const std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const State& state = states_[i];
    const std::string instance = escape_label(instance_of(options_.targets[i].url));
    const auto add = [&](const char* name, const char* help, double value) {
      all.add_gauge(name, help, {.name = name, .labels = {{"instance", instance}}, .value = value});
    };
    add(kUp, "1: the server answered the last time it was asked for its metrics",
        state.is_up ? 1 : 0);
    add(kSeconds, "Seconds that fetching a server's metrics took", state.seconds);
    add(kSamples, "Samples of a server's metrics", static_cast<double>(state.page.samples()));
    add(kBad, "Lines of a server's metrics that could not be read",
        static_cast<double>(state.page.bad()));
    for (const auto& [name, rate] : state.rates) {
      all.add_gauge(kRate, "How fast a server's counters grew between the last two fetches",
                    {.name = kRate,
                     .labels = {{"instance", instance}, {"metric", escape_label(name)}},
                     .value = rate});
    }
  }
  for (const State& state : states_) all.add(state.page);
  return all;
}

}  // namespace paring::monitor
