// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_settings.h"

#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cli/redaction_file.h"
#include "cli/slo_file.h"
#include "serve/access/key_file.h"
#include "store/data_folder.h"

namespace paring::cli {

namespace {

bool is_set(const std::string& text) { return text != "none"; }

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) items.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

}  // namespace

Result<net::HttpServerOptions> http_options(const config::SettingValues& settings) {
  net::HttpServerOptions http;
  http.address = settings.serve_host;
  http.port = static_cast<std::uint16_t>(settings.serve_port);
  http.connections_max = settings.serve_connections_max;
  http.connections_per_address_max = settings.serve_connections_per_address_max;
  http.header_seconds = static_cast<double>(settings.serve_header_seconds);
  http.body_seconds = static_cast<double>(settings.serve_body_seconds);
  http.idle_seconds = static_cast<double>(settings.serve_idle_seconds);
  http.write_seconds = static_cast<double>(settings.serve_write_seconds);
  if (is_set(settings.serve_trusted_proxies)) {
    http.trusted_proxies = split_list(settings.serve_trusted_proxies);
  }
  if (is_set(settings.serve_tls_certificate) != is_set(settings.serve_tls_key)) {
    return invalid_argument("TLS takes both --tls-certificate and --tls-key", "give both or none");
  }
  if (is_set(settings.serve_tls_certificate)) {
    http.tls_certificate_file = settings.serve_tls_certificate;
    http.tls_key_file = settings.serve_tls_key;
  }
  return http;
}

monitor::TrafficRetention traffic_retention(const config::SettingValues& settings) {
  return {.days = static_cast<std::int64_t>(settings.serve_traffic_days),
          .content_days = static_cast<std::int64_t>(settings.serve_content_days)};
}

Result<std::shared_ptr<const monitor::ContentFilter>> content_filter(
    const config::SettingValues& settings) {
  // A file that is wrong is told of before anybody needs it.
  monitor::RedactionOptions redaction;
  if (is_set(settings.serve_redact)) {
    PARING_TRY(redaction, read_redaction_file(settings.serve_redact));
  }
  monitor::ContentFilter::Options options{.is_redacted = settings.serve_content != "full",
                                          .bytes_max = settings.serve_content_bytes,
                                          .redaction = std::move(redaction)};
  const std::string& share = settings.serve_content_share;
  const char* const end = share.data() + share.size();
  const auto [stop, error] = std::from_chars(share.data(), end, options.share);
  if (error != std::errc() || stop != end) {
    return invalid_argument(fmt::format("--content-share is '{}'", escape_control(share)),
                            "it takes a number of more than 0, to 1, such as 0.1");
  }
  if (settings.serve_content == "off") return std::shared_ptr<const monitor::ContentFilter>();
  return monitor::ContentFilter::create(options);
}

serve::AccessLog access_log(const std::string& name) {
  if (name == "all") return serve::AccessLog::kAll;
  return name == "failed" ? serve::AccessLog::kFailed : serve::AccessLog::kOff;
}

Result<std::optional<monitor::OtlpTarget>> otlp_target(const config::SettingValues& settings) {
  const std::string endpoint =
      is_set(settings.serve_otlp_endpoint) ? settings.serve_otlp_endpoint : "";
  return monitor::otlp_target_of(endpoint, [](const char* name) -> std::optional<std::string> {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  });
}

Result<monitor::PriceBook> price_book(const config::SettingValues& settings) {
  if (!is_set(settings.serve_price_book)) return monitor::PriceBook();
  return monitor::PriceBook::load(settings.serve_price_book);
}

Result<std::optional<monitor::AlertOptions>> alert_options(const config::SettingValues& settings) {
  if (!is_set(settings.serve_slo)) return std::optional<monitor::AlertOptions>();
  PARING_TRY(monitor::AlertOptions options, read_slo_file(settings.serve_slo));
  return std::optional<monitor::AlertOptions>(std::move(options));
}

Result<serve::ServerOptions> server_options(const config::SettingValues& settings) {
  serve::ServerOptions options;
  PARING_TRY(options.http, http_options(settings));
  options.requests_max = settings.serve_requests_max;
  options.queued_tokens_max = settings.serve_queued_tokens_max;
  options.batches.lines_max = settings.serve_batch_lines;
  options.batches.files.file_bytes_max = static_cast<std::int64_t>(settings.serve_file_bytes);
  options.batches.files.tenant_bytes_max =
      static_cast<std::int64_t>(settings.serve_tenant_file_bytes);
  options.cache.bytes_max = settings.serve_cache_bytes;
  options.cache.seconds_max = static_cast<double>(settings.serve_cache_seconds);
  options.drain_seconds = static_cast<double>(settings.serve_drain_seconds);
  options.stall_seconds = static_cast<double>(settings.serve_stall_seconds);
  options.is_strict = !settings.serve_lenient;
  options.has_page = !settings.serve_no_page;
  options.access_log = access_log(settings.serve_access_log);
  if (is_set(settings.serve_cors_origins)) {
    options.cors_origins = split_list(settings.serve_cors_origins);
  }
  options.traffic.reset();
  if (const auto mode = monitor::traffic_mode_of(settings.serve_traffic)) {
    options.traffic = {.mode = *mode, .retention = traffic_retention(settings)};
    PARING_TRY(options.traffic->content, content_filter(settings));
  }
  PARING_TRY(options.otlp, otlp_target(settings));
  PARING_TRY(options.alerts, alert_options(settings));
  options.watts = monitor::WattsModel::of_machine(cost::read_machine());
  if (settings.serve_idle_watts > 0) {
    options.watts.idle = static_cast<double>(settings.serve_idle_watts);
  }
  if (settings.serve_cpu_watts > 0) {
    options.watts.busy_cpu = static_cast<double>(settings.serve_cpu_watts);
  }
  PARING_TRY(options.prices, price_book(settings));
  options.models = {
      .memory_budget_bytes = settings.serve_memory_budget,
      .loaded_max = settings.serve_models_max,
      .idle_seconds = static_cast<double>(settings.serve_idle_unload_seconds),
      .load_wait_seconds = static_cast<double>(settings.serve_load_wait_seconds),
      .waiting_max = settings.serve_requests_max,
  };
  options.model = model_options(settings);
  PARING_TRY(options.keys,
             serve::operator_keys(settings.api_key_file, std::getenv(serve::kKeyVariable)));
  PARING_TRY(options.data_folder, store::data_folder(settings.data_dir, environ));
  return options;
}

serve::ServedModelOptions model_options(const config::SettingValues& settings) {
  serve::ServedModelOptions options;
  if (settings.numerics == "exact") options.numerics = model::Numerics::kExact;
  if (settings.numerics == "fast") options.numerics = model::Numerics::kFast;
  options.kv_type = kernels::find_kv_type(settings.kv_type);
  options.context_tokens = settings.context_tokens;
  options.cache_tokens = settings.serve_cache_tokens;
  options.sequences_max = settings.serve_sequences_max;
  // The server's own bound, which can change, is looked at before a request gets to the engine.
  options.waiting_max = std::size_t{1} << 17;
  options.waiting_tokens_max = settings.serve_queued_tokens_max;
  options.guesses_ngrams = !settings.serve_no_speculation;
  options.has_prefix_cache = !settings.serve_no_prefix_cache;
  options.locks_memory = settings.mlock;
  return options;
}

}  // namespace paring::cli
