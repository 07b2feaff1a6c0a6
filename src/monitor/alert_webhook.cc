// SPDX-License-Identifier: Apache-2.0
#include "monitor/alert_webhook.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "base/clock.h"
#include "base/sha256.h"

namespace paring::monitor {

namespace {

using Json = nlohmann::json;

// Those that all have, with the same value.
AlertLabels common(const AlertNotice& notice, AlertLabels AlertNotice::Alert::* which) {
  AlertLabels shared = notice.alerts.empty() ? AlertLabels() : notice.alerts[0].*which;
  for (const AlertNotice::Alert& alert : notice.alerts) {
    std::erase_if(shared, [&](const auto& label) {
      const auto found = (alert.*which).find(label.first);
      return found == (alert.*which).end() || found->second != label.second;
    });
  }
  return shared;
}

const char* status_of(bool is_firing) { return is_firing ? "firing" : "resolved"; }

}  // namespace

std::string webhook_body(const AlertNotice& notice, std::string_view receiver,
                         std::string_view external_url) {
  Json alerts = Json::array();
  const std::string url(external_url);
  for (const AlertNotice::Alert& alert : notice.alerts) {
    alerts.push_back({{"status", status_of(alert.is_firing)},
                      {"labels", alert.labels},
                      {"annotations", alert.annotations},
                      {"startsAt", alert_time(alert.starts_s)},
                      {"endsAt", alert_time(alert.ends_s)},
                      {"generatorURL", url.empty() ? "" : url + "/monitor#alerts"},
                      {"fingerprint", alert_fingerprint(alert.labels)}});
  }
  const Json body = {{"version", "4"},
                     {"groupKey", "{}:{objective=\"" + notice.objective + "\"}"},
                     {"truncatedAlerts", 0},
                     {"status", status_of(notice.is_firing())},
                     {"receiver", std::string(receiver)},
                     {"groupLabels", {{"objective", notice.objective}}},
                     {"commonLabels", common(notice, &AlertNotice::Alert::labels)},
                     {"commonAnnotations", common(notice, &AlertNotice::Alert::annotations)},
                     {"externalURL", url},
                     {"alerts", std::move(alerts)}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string webhook_signature(std::string_view key, std::string_view body) {
  constexpr std::size_t kBlock = 64;
  constexpr char kInner = 0x36;
  constexpr char kOuter = 0x5c;
  const auto bytes_of = [](const Sha256Digest& digest) {
    return std::string(digest.begin(), digest.end());
  };
  Sha256 hash;
  std::string block(key);
  if (block.size() > kBlock) {
    hash.update(key);
    block = bytes_of(hash.finish());
  }
  block.resize(kBlock);
  const auto padded = [&](char pad) {
    std::string text = block;
    for (char& c : text) c = static_cast<char>(c ^ pad);
    return text;
  };
  hash.update(padded(kInner));
  hash.update(body);
  const std::string inner = bytes_of(hash.finish());
  hash.update(padded(kOuter));
  hash.update(inner);
  return "sha256=" + hex(hash.finish());
}

std::string alert_fingerprint(const AlertLabels& labels) {
  constexpr std::uint64_t kOffset = 14695981039346656037U;
  constexpr std::uint64_t kPrime = 1099511628211U;
  constexpr unsigned char kSeparator = 255;
  std::uint64_t hash = kOffset;
  const auto add = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
    hash = (hash ^ kSeparator) * kPrime;
  };
  for (const auto& [name, value] : labels) {
    add(name);
    add(value);
  }
  return fmt::format("{:016x}", hash);
}

std::string alert_time(double wall_s) {
  if (wall_s <= 0) return "0001-01-01T00:00:00Z";
  constexpr std::int64_t kThousand = 1000;
  const auto milliseconds = static_cast<std::int64_t>(std::floor(wall_s * kThousand));
  std::string text = format_utc(static_cast<double>(milliseconds / kThousand));
  text.pop_back();  // the Z
  return fmt::format("{}.{:03}Z", text, milliseconds % kThousand);
}

}  // namespace paring::monitor
