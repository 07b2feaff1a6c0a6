// SPDX-License-Identifier: Apache-2.0
// The body of a webhook, as Prometheus' Alertmanager writes it (its documentation,
// "webhook_config", version 4), so that what takes those takes ours. Stateless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "monitor/slo_board.h"
#include "net/http_message.h"

namespace paring::monitor {

struct WebhookTarget {
  std::string name;                        // the receiver
  std::string url;                         // http or https
  std::vector<net::HttpHeader> headers{};  // Authorization: a secret
  std::string hmac_key{};                  // a secret; empty: bodies are not signed
  std::vector<std::string> severities{};   // of the alerts that it is told of; empty: all
  double answer_seconds = 10;
};

inline constexpr const char* kSignatureHeader = "X-Paring-Signature";

// `external_url`: where people find the server; may be empty.
std::string webhook_body(const AlertNotice& notice, std::string_view receiver,
                         std::string_view external_url);
// "sha256=" and 64 digits: HMAC-SHA256 (RFC 2104) of the body.
std::string webhook_signature(std::string_view key, std::string_view body);

// Prometheus' fingerprint of labels: FNV-1a of 64 bits, 16 digits.
std::string alert_fingerprint(const AlertLabels& labels);
// RFC 3339 with milliseconds; of 0 the year 1, as Go writes a time that is not set.
std::string alert_time(double wall_s);

}  // namespace paring::monitor
