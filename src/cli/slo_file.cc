// SPDX-License-Identifier: Apache-2.0
#include "cli/slo_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "config/yaml.h"

namespace paring::cli {

namespace {

using config::YamlEntry;
using monitor::Slo;
using monitor::WebhookTarget;

constexpr std::size_t kSecretBytesMax = 16384;
constexpr double kEvaluateSecondsMin = 0.1;
constexpr double kEvaluateSecondsMax = 60;
constexpr double kAnswerSecondsMax = 60;
constexpr std::size_t kUrlBytesMax = 2048;
constexpr double kPercent = 100;

// "99.9%" or "0.999".
std::optional<double> number_of(std::string_view text) {
  const bool is_percent = text.ends_with('%');
  if (is_percent) text.remove_suffix(1);
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return is_percent ? value / kPercent : value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    std::string_view part = text.substr(0, end);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

struct SloLines {
  Slo slo;
  std::size_t line = 0;
  bool has_kind = false;
  bool has_target = false;
};

struct WebhookLines {
  WebhookTarget target;
  std::size_t line = 0;
};

class Reader {
 public:
  Reader(std::string path, const SloEnvironment& environment)
      : path_(std::move(path)), environment_(environment) {}

  Result<monitor::AlertOptions> read(const std::string& text) {
    auto entries = config::read_yaml(text);
    if (!entries) return Error{entries.error().code, path_ + ", " + entries.error().message};
    for (const YamlEntry& entry : *entries) PARING_TRY_VOID(add(entry));
    if (slos_.empty()) {
      return at(1, "there are no objectives", "write one below 'objectives:'");
    }
    if (slos_.size() > monitor::kObjectivesMax) {
      return at(slos_.back().line, fmt::format("{} objectives", slos_.size()),
                fmt::format("it takes at most {}", monitor::kObjectivesMax));
    }
    for (SloLines& each : slos_) {
      PARING_TRY_VOID(finish(each));
      options_.objectives.push_back(std::move(each.slo));
    }
    if (webhooks_.size() > monitor::kWebhooksMax) {
      return at(webhooks_.back().line, fmt::format("{} webhooks", webhooks_.size()),
                fmt::format("it takes at most {}", monitor::kWebhooksMax));
    }
    for (WebhookLines& each : webhooks_) {
      if (each.target.url.empty()) {
        return at(each.line, fmt::format("the webhook '{}' has no url", each.target.name),
                  "add a line 'url: https://...' below its name");
      }
      options_.sinks.webhooks.push_back(std::move(each.target));
    }
    return std::move(options_);
  }

 private:
  Error at(std::size_t line, const std::string& why, std::string hint) const {
    return invalid_argument(fmt::format("{}, line {}: {}", path_, line, why), std::move(hint));
  }
  Error wrong(const YamlEntry& entry, const std::string& takes) const {
    return at(entry.line,
              fmt::format("'{}' is '{}'", escape_control(entry.key), escape_control(entry.value)),
              "it takes " + takes);
  }

  Result<void> add(const YamlEntry& entry) {
    const std::vector<std::string_view> names = split(entry.key, '.');
    if (names.size() == 1 && names[0] == "evaluate_every") {
      PARING_TRY(options_.evaluate_seconds,
                 seconds_of(entry, kEvaluateSecondsMin, kEvaluateSecondsMax));
      return {};
    }
    if (names.size() == 1 && names[0] == "external_url") {
      PARING_TRY(options_.sinks.external_url, url_of(entry));
      while (options_.sinks.external_url.ends_with('/')) options_.sinks.external_url.pop_back();
      return {};
    }
    if (names.size() == 1 && names[0] == "log") {
      PARING_TRY(options_.sinks.is_logged, switch_of(entry));
      return {};
    }
    if (names.size() == 3 && names[0] == "objectives") {
      SloLines& lines = slo_of(names[1], entry.line);
      return add_slo(lines, names[2], entry);
    }
    if (names.size() == 3 && names[0] == "webhooks") {
      return add_webhook(webhook_of(names[1], entry.line), names[2], entry);
    }
    return at(entry.line, fmt::format("'{}' is not known", escape_control(entry.key)),
              "it takes objectives.NAME.FIELD, webhooks.NAME.FIELD, log, evaluate_every and "
              "external_url");
  }

  SloLines& slo_of(std::string_view name, std::size_t line) {
    const auto found = std::ranges::find(
        slos_, name, [](const SloLines& each) -> std::string_view { return each.slo.name; });
    if (found != slos_.end()) return *found;
    SloLines& lines = slos_.emplace_back();
    lines.slo.name = name;
    lines.line = line;
    return lines;
  }

  WebhookLines& webhook_of(std::string_view name, std::size_t line) {
    const auto found = std::ranges::find(
        webhooks_, name,
        [](const WebhookLines& each) -> std::string_view { return each.target.name; });
    if (found != webhooks_.end()) return *found;
    return webhooks_.emplace_back(
        WebhookLines{.target = {.name = std::string(name), .url = ""}, .line = line});
  }

  Result<void> add_slo(SloLines& lines, std::string_view field, const YamlEntry& entry) {
    using Texts = std::map<std::string_view, std::string*>;
    using Numbers = std::map<std::string_view, double*>;
    using Limits = std::map<std::string_view, std::optional<double>*>;
    Slo& slo = lines.slo;
    const Texts texts = {{"description", &slo.description},
                         {"severity", &slo.severity},
                         {"slow_severity", &slo.slow_severity},
                         {"model", &slo.filters.model},
                         {"tenant", &slo.filters.tenant},
                         {"variant", &slo.filters.variant},
                         {"route", &slo.filters.route},
                         {"score", &slo.score},
                         {"source", &slo.source}};
    const Numbers durations = {{"window", &slo.window_s},
                               {"fire_after", &slo.fire_after_s},
                               {"resolve_after", &slo.resolve_after_s},
                               {"no_data_after", &slo.no_data_after_s},
                               {"re_notify", &slo.re_notify_s}};
    const Numbers numbers = {{"target", &slo.target},
                             {"amount", &slo.amount},
                             {"min_requests", &slo.requests_min},
                             {"resolve_ratio", &slo.resolve_ratio}};
    const Limits times = {{"ttft", &slo.first_token_s},
                          {"inter_token", &slo.inter_token_s},
                          {"end_to_end", &slo.end_to_end_s}};
    const Limits limits = {{"at_least", &slo.at_least}, {"at_most", &slo.at_most}};
    if (const auto text = texts.find(field); text != texts.end()) {
      *text->second = entry.value;
      return {};
    }
    if (const auto duration = durations.find(field); duration != durations.end()) {
      PARING_TRY(*duration->second, seconds_of(entry, 0, monitor::kWindowSecondsMax));
      return {};
    }
    if (const auto time = times.find(field); time != times.end()) {
      PARING_TRY(*time->second, seconds_of(entry, 0, monitor::kDaySeconds));
      return {};
    }
    const auto number = numbers.find(field);
    const auto limit = limits.find(field);
    if (number != numbers.end() || limit != limits.end()) {
      const std::optional<double> value = number_of(entry.value);
      if (!value) return wrong(entry, "a number, such as 0.999 or 99.9%");
      if (number != numbers.end()) *number->second = *value;
      if (limit != limits.end()) *limit->second = *value;
      lines.has_target = lines.has_target || field == "target";
      return {};
    }
    return add_word(lines, field, entry);
  }

  Result<void> add_word(SloLines& lines, std::string_view field, const YamlEntry& entry) {
    Slo& slo = lines.slo;
    if (field == "kind") {
      const auto kind = monitor::slo_kind_of(entry.value);
      if (!kind) return wrong(entry, "latency, goodput, error_rate, quality or budget");
      slo.kind = *kind;
      lines.has_kind = true;
      lines.line = entry.line;
      return {};
    }
    if (field == "unit") {
      const auto unit = monitor::budget_unit_of(entry.value);
      if (!unit) return wrong(entry, "money, joules or tokens");
      slo.unit = *unit;
      return {};
    }
    const auto choose = [&](bool& is_second, std::string_view first,
                            std::string_view second) -> Result<void> {
      if (entry.value != first && entry.value != second) {
        return wrong(entry, fmt::format("{} or {}", first, second));
      }
      is_second = entry.value == second;
      return {};
    };
    if (field == "per") return choose(slo.is_monthly, "day", "month");
    if (field == "of") return choose(slo.is_mean, "share", "mean");
    if (field == "failures") return choose(slo.counts_client_errors, "server", "all");
    if (field == "burn_rates") return add_rules(slo, entry);
    return at(entry.line, fmt::format("'{}' is not known", escape_control(entry.key)),
              "an objective takes kind, description, target, window, ttft, inter_token, "
              "end_to_end, failures, score, source, of, at_least, at_most, unit, amount, per, "
              "model, tenant, variant, route, severity, slow_severity, burn_rates, min_requests, "
              "fire_after, resolve_after, resolve_ratio, no_data_after and re_notify");
  }

  // "14.4 1h 5m, 6 6h 30m".
  Result<void> add_rules(Slo& slo, const YamlEntry& entry) {
    for (const std::string_view rule : split(entry.value, ',')) {
      const std::vector<std::string_view> words = split(rule, ' ');
      const auto rate = words.size() == 3 ? number_of(words[0]) : std::nullopt;
      const auto long_s = words.size() == 3 ? parse_duration(words[1]) : Result<double>(0);
      const auto short_s = words.size() == 3 ? parse_duration(words[2]) : Result<double>(0);
      if (!rate || !long_s || !short_s) {
        return wrong(entry, "rules with commas between, each a rate and two times: 14.4 1h 5m");
      }
      slo.burn_rules.push_back({*rate, *long_s, *short_s});
    }
    return {};
  }

  Result<void> add_webhook(WebhookLines& lines, std::string_view field, const YamlEntry& entry) {
    WebhookTarget& target = lines.target;
    if (!monitor::is_slo_name(target.name)) {
      return at(entry.line, fmt::format("a webhook is named '{}'", escape_control(target.name)),
                "it takes letters, digits, '_' and '-'");
    }
    if (field == "url") {
      PARING_TRY(target.url, url_of(entry));
      lines.line = entry.line;
      return {};
    }
    if (field == "timeout") {
      PARING_TRY(target.answer_seconds, seconds_of(entry, kEvaluateSecondsMin, kAnswerSecondsMax));
      return {};
    }
    if (field == "severities") {
      for (const std::string_view name : split(entry.value, ',')) {
        target.severities.emplace_back(name);
      }
      return {};
    }
    if (field == "bearer_file" || field == "bearer_env") {
      PARING_TRY(const std::string secret, secret_of(entry, field == "bearer_file"));
      target.headers.push_back({"Authorization", "Bearer " + secret});
      return {};
    }
    if (field == "hmac_file" || field == "hmac_env") {
      PARING_TRY(target.hmac_key, secret_of(entry, field == "hmac_file"));
      return {};
    }
    return at(entry.line, fmt::format("'{}' is not known", escape_control(entry.key)),
              "a webhook takes url, timeout, severities, and a secret as bearer_file, bearer_env, "
              "hmac_file or hmac_env");
  }

  // Never shown.
  Result<std::string> secret_of(const YamlEntry& entry, bool is_file) const {
    std::string secret;
    if (is_file) {
      auto read = read_small_file(entry.value, kSecretBytesMax);
      if (!read) {
        return at(entry.line,
                  fmt::format("'{}': {}", escape_control(entry.key), read.error().message),
                  "it takes a file that the server may read, with the secret alone in it");
      }
      secret = std::move(*read);
    } else if (auto variable = environment_(entry.value)) {
      secret = std::move(*variable);
    }
    while (secret.ends_with('\n') || secret.ends_with('\r') || secret.ends_with(' ')) {
      secret.pop_back();
    }
    const bool is_plain = std::ranges::all_of(secret, [](char c) { return c > ' ' && c < '\x7f'; });
    if (!secret.empty() && is_plain) return secret;
    return at(entry.line,
              fmt::format("the secret of '{}' ({}) is empty or has characters that no secret has",
                          escape_control(entry.key), escape_control(entry.value)),
              is_file ? "put it into the file, one line without blanks"
                      : "set that variable of the environment, without blanks");
  }

  Result<std::string> url_of(const YamlEntry& entry) const {
    const std::string& url = entry.value;
    const std::string lower = ascii_lower(url);
    const std::size_t scheme = lower.starts_with("https://")  ? 8
                               : lower.starts_with("http://") ? 7
                                                              : 0;
    const bool is_clean = std::ranges::all_of(url, [](char c) { return c > ' ' && c < '\x7f'; });
    const std::string_view host = std::string_view(url).substr(std::min(scheme, url.size()));
    if (scheme == 0 || host.empty() || host.starts_with('/') || !is_clean ||
        url.size() > kUrlBytesMax) {
      // It may hold a secret: not shown.
      return at(entry.line, fmt::format("'{}' is no address", escape_control(entry.key)),
                "it takes http://... or https://...");
    }
    return url;
  }

  Result<double> seconds_of(const YamlEntry& entry, double least, double most) const {
    const Result<double> seconds = parse_duration(entry.value);
    if (seconds && *seconds >= least && *seconds <= most) return *seconds;
    return wrong(entry, fmt::format("{:g} to {:g} seconds, or with a unit: 250ms, 90s, 30m, 6h, 7d",
                                    least, most));
  }

  Result<bool> switch_of(const YamlEntry& entry) const {
    const bool is_on = entry.value == "on" || entry.value == "true";
    if (is_on || entry.value == "off" || entry.value == "false") return is_on;
    return wrong(entry, "on or off");
  }

  Result<void> finish(SloLines& lines) const {
    Slo& slo = lines.slo;
    const auto fail = [&](const Error& error) {
      return at(lines.line,
                fmt::format("objectives.{}: {}", escape_control(slo.name), error.message),
                error.hint);
    };
    const bool is_share = slo.kind != monitor::SloKind::kBudget && !slo.is_mean;
    if (!lines.has_kind) {
      return fail(invalid_argument("kind is missing",
                                   "it takes latency, goodput, error_rate, quality or budget"));
    }
    if (lines.has_target != is_share) {
      return fail(
          invalid_argument(is_share ? "target is missing" : "target says nothing here",
                           is_share ? "it takes the share of requests that are good: 99.9%"
                                    : "take it away: a budget has its amount, a mean its limit"));
    }
    if (slo.burn_rules.empty() && slo.target < 1) {
      slo.burn_rules = slo.kind == monitor::SloKind::kBudget
                           ? monitor::default_budget_rules(slo.is_monthly)
                       : slo.is_mean ? monitor::default_mean_rules()
                                     : monitor::default_burn_rules(slo.window_s, slo.target);
    }
    if (const Result<void> checked = monitor::check_slo(slo); !checked)
      return fail(checked.error());
    return {};
  }

  const std::string path_;
  const SloEnvironment& environment_;
  std::vector<SloLines> slos_;
  std::vector<WebhookLines> webhooks_;
  monitor::AlertOptions options_;
};

}  // namespace

Result<monitor::AlertOptions> read_slo_file(const std::string& path,
                                            const SloEnvironment& environment) {
  PARING_TRY(const std::string text, read_small_file(path, config::kYamlBytesMax));
  return Reader(path, environment).read(text);
}

Result<monitor::AlertOptions> read_slo_file(const std::string& path) {
  return read_slo_file(path, [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  });
}

}  // namespace paring::cli
