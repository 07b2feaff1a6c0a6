// SPDX-License-Identifier: Apache-2.0
// What the settings mean to a server. Stateless.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "config/settings.h"
#include "serve/server.h"

namespace paring::cli {

// Reads the files that settings name (keys), too. InvalidArgument for settings that contradict each
// other; errors of serve::operator_keys() and AddressList::parse().
Result<serve::ServerOptions> server_options(const config::SettingValues& settings);

// Of any server of ours: where it listens, and what it takes from whom.
Result<net::HttpServerOptions> http_options(const config::SettingValues& settings);
// None: one that charges nothing. Errors of monitor::PriceBook::load().
Result<monitor::PriceBook> price_book(const config::SettingValues& settings);
// Where spans go; absent: nowhere. Errors of monitor::otlp_target_of().
Result<std::optional<monitor::OtlpTarget>> otlp_target(const config::SettingValues& settings);
// Objectives and who is told; absent: none. Errors of read_slo_file().
Result<std::optional<monitor::AlertOptions>> alert_options(const config::SettingValues& settings);
serve::AccessLog access_log(const std::string& name);

monitor::TrafficRetention traffic_retention(const config::SettingValues& settings);
// Null: no prompts and answers are kept. Reads the file of redaction rules in any case.
Result<std::shared_ptr<const monitor::ContentFilter>> content_filter(
    const config::SettingValues& settings);

// Of models for which nothing else is said.
serve::ServedModelOptions model_options(const config::SettingValues& settings);

}  // namespace paring::cli
