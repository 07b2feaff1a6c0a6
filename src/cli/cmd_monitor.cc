// SPDX-License-Identifier: Apache-2.0
// paring monitor: a proxy before another engine or provider, which records what passes.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/service_manager.h"
#include "cli/commands.h"
#include "cli/serve_settings.h"
#include "cli/signals.h"
#include "net/http_client.h"
#include "serve/access/key_file.h"
#include "serve/proxy/proxy.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

// No option: others would see it in the list of processes.
constexpr const char* kUpstreamKeyVariable = "PARING_UPSTREAM_KEY";
constexpr std::size_t kKeyBytesMax = 16384;

struct MonitorFlags {
  std::string upstream;
  std::string upstream_key_file;
  std::uint64_t connect_seconds = 10;
  std::uint64_t stall_seconds = 300;
  std::vector<std::string> scrape;
  std::uint64_t scrape_seconds = 10;
  std::uint64_t body_bytes = std::uint64_t{64} << 20;
};

Result<std::string> upstream_key(const std::string& path) {
  std::string key;
  if (const char* variable = std::getenv(kUpstreamKeyVariable)) key = variable;
  if (!path.empty()) {
    PARING_TRY(key, read_small_file(path, kKeyBytesMax));
  }
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r' || key.back() == ' ')) {
    key.pop_back();
  }
  if (key.empty() && path.empty()) return key;
  if (net::is_token(key)) return key;
  return invalid_argument("the upstream's key is empty or has characters that no key has",
                          "a key is one line of printable characters without blanks");
}

Result<serve::ProxyOptions> proxy_options(const config::SettingValues& settings,
                                          const MonitorFlags& flags) {
  serve::ProxyOptions options;
  options.upstream = flags.upstream;
  PARING_TRY(options.upstream_key, upstream_key(flags.upstream_key_file));
  PARING_TRY(options.keys,
             serve::operator_keys(settings.api_key_file, std::getenv(serve::kKeyVariable)));
  PARING_TRY(options.http, http_options(settings));
  options.client.connect_seconds = static_cast<double>(flags.connect_seconds);
  options.client.stall_seconds = static_cast<double>(flags.stall_seconds);
  options.requests_max = settings.serve_requests_max;
  options.body_bytes_max = flags.body_bytes;
  options.drain_seconds = static_cast<double>(settings.serve_drain_seconds);
  options.access_log = access_log(settings.serve_access_log);
  PARING_TRY(options.traffic.data, store::data_folder(settings.data_dir, environ));
  options.scrape.seconds = static_cast<double>(flags.scrape_seconds);
  for (const std::string& url : flags.scrape) {
    PARING_TRY(const std::string page, monitor::parse_scrape_url(url));
    // The upstream's key is for the upstream alone.
    const bool is_upstream = monitor::is_same_server(page, flags.upstream);
    options.scrape.targets.push_back({page, is_upstream ? options.upstream_key : ""});
  }
  const auto mode = monitor::traffic_mode_of(settings.serve_traffic);
  // Answers pass as they come: none is held back until its row is on the disk.
  if (!mode || *mode == monitor::TrafficMode::kSync) {
    return invalid_argument(
        fmt::format("a monitor cannot run with --traffic {}", settings.serve_traffic),
        "give async or batch");
  }
  PARING_TRY(options.content, content_filter(settings));
  options.traffic.writer.mode = *mode;
  PARING_TRY(options.prices, price_book(settings));
  PARING_TRY(options.otlp, otlp_target(settings));
  PARING_TRY(options.alerts, alert_options(settings));
  options.traffic.retention = traffic_retention(settings);
  return options;
}

Result<void> run_monitor(Context& context, const MonitorFlags& flags) {
  PARING_TRY(const serve::ProxyOptions options, proxy_options(context.settings(), flags));
  const Signals signals;
  const ServiceManager manager = ServiceManager::from_environment();
  PARING_TRY(const std::unique_ptr<serve::Proxy> proxy, serve::Proxy::start(options));
  manager.tell_ready(fmt::format("monitors {} at {}", options.upstream, proxy->url()));
  // For people and for programs that wait for it: standard output has this line only.
  context.output().write(fmt::format("paring monitors {} at {}\n", options.upstream, proxy->url()));
  PARING_TRY_VOID(context.output().flush());
  int signal = 0;
  do signal = signals.wait();
  while (signal == SIGHUP);
  manager.tell_stopping("lets running answers finish");
  log_info(
      fmt::format("signal {}: taking no more requests, running ones get {} s, or until the "
                  "next signal",
                  signal, options.drain_seconds));
  const std::size_t cut = proxy->drain([&] { return signals.has_another(); });
  if (cut > 0) log_warning(fmt::format("{} answers were cut short", cut));
  return {};
}

std::function<Result<void>(Context&)> define(CLI::App& app) {
  auto flags = std::make_shared<MonitorFlags>();
  app.add_option("--upstream", flags->upstream,
                 "Server that requests go on to: http://host:port or https://host/v1")
      ->required()
      ->type_name("URL");
  app.add_option("--upstream-key-file", flags->upstream_key_file,
                 "File with the key that is sent to the upstream in the place of the caller's "
                 "(also PARING_UPSTREAM_KEY)")
      ->type_name("FILE");
  app.add_option("--upstream-connect-seconds", flags->connect_seconds,
                 "Time to a connection with the upstream (502 beyond)")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  app.add_option("--upstream-stall-seconds", flags->stall_seconds,
                 "Time in which the upstream may send nothing (504 beyond)")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--scrape", flags->scrape,
                 "Server whose /metrics are fetched and shown in those of the monitor, with the "
                 "label instance; may be given several times")
      ->type_name("URL")
      ->allow_extra_args(false);
  app.add_option("--scrape-seconds", flags->scrape_seconds, "Time between two fetches")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  add_bytes_option(app, "--body-bytes", flags->body_bytes, "Largest body of a request (413 beyond)")
      ->default_str("64MiB");
  return [flags](Context& context) { return run_monitor(context, *flags); };
}

}  // namespace

extern const Command kMonitor;
const Command kMonitor = {
    .name = "monitor",
    .summary = "Forward requests to another engine or provider, and record them",
    .examples =
        "  paring monitor --upstream http://127.0.0.1:8001\n"
        "  paring monitor --upstream https://api.example.com/v1 --port 8080\n"
        "  PARING_API_KEY=... paring monitor --upstream http://vllm:8000 --host 0.0.0.0 \\\n"
        "      --upstream-key-file vllm.key\n",
    .is_hidden = false,
    .define = define,
};

}  // namespace paring::cli
