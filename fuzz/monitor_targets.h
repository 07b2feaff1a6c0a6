// SPDX-License-Identifier: Apache-2.0
// What other engines send: answers as they pass, pages of metrics; and prompts that are redacted.
#pragma once

#include <cstddef>
#include <span>

namespace paring::fuzz {

void run_usage(std::span<const std::byte> input);
void run_otlp_traces(std::span<const std::byte> input);
void run_otlp_logs(std::span<const std::byte> input);
void run_otlp_json(std::span<const std::byte> input);
void run_metrics_page(std::span<const std::byte> input);
void run_redaction(std::span<const std::byte> input);

}  // namespace paring::fuzz
