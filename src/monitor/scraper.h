// SPDX-License-Identifier: Apache-2.0
// Fetches /metrics of other servers (vLLM, llama-server, anything that speaks Prometheus' format)
// every few seconds on a thread of its own, and keeps the last page of each, and how fast its
// counters grow. Thread-safe.
//
//   PARING_TRY(const auto scraper, monitor::Scraper::start({.targets = {{.url = url}}}));
//   page.add(scraper->page());
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/thread.h"
#include "monitor/metrics_page.h"

namespace paring::monitor {

struct ScrapeTarget {
  std::string url;
  std::string token{};  // a bearer token; empty: none
};

// "http://host:port/metrics" of an address with or without a path. InvalidArgument: none of http or
// https, or with a user name.
Result<std::string> parse_scrape_url(std::string_view url);

// Whether two addresses have the same scheme, host and port.
bool is_same_server(std::string_view url, std::string_view other) noexcept;

class Scraper {
 public:
  // The text of a target's page.
  using Fetch = std::function<Result<std::string>(const ScrapeTarget&)>;
  struct Options {
    std::vector<ScrapeTarget> targets;
    double seconds = 10;   // between two rounds
    long seconds_max = 5;  // for one page
  };

  // Errors of net::HttpClient::create().
  static Result<std::unique_ptr<Scraper>> start(const Options& options);
  // Without a thread, for scrape() alone.
  Scraper(const Options& options, Fetch fetch, const Clock& clock);
  ~Scraper();
  Scraper(const Scraper&) = delete;
  Scraper& operator=(const Scraper&) = delete;

  // One round, as the thread does it.
  void scrape();
  // The last pages with the label "instance" (host and port); of a target that did not answer the
  // last time nothing but paring:scrape_up 0. Beside them paring:scrape_seconds,
  // paring:scrape_samples, and for each counter paring:scraped_per_second by name ("metric").
  MetricsPage page() const;

 private:
  struct State {
    bool is_up = false;
    double seconds = 0;
    MetricsPage page;
    double at = 0;                        // monotonic, of the counters
    std::map<std::string, double> sums;   // of counters, by family
    std::map<std::string, double> rates;  // since the round before
  };
  void run();
  static void note_rates(State& state, double now);

  const Options options_;
  const Fetch fetch_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<State> states_;  // guarded by mutex_, in the order of the targets
  bool is_stopping_ = false;   // likewise
  Thread thread_;
};

}  // namespace paring::monitor
