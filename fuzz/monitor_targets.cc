// SPDX-License-Identifier: Apache-2.0
#include "monitor_targets.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "base/check.h"
#include "monitor/content_filter.h"
#include "monitor/metrics_page.h"
#include "monitor/otlp_json.h"
#include "monitor/otlp_reader.h"
#include "monitor/otlp_writer.h"
#include "monitor/usage_reader.h"

namespace paring::fuzz {

namespace {

using monitor::UsageReader;

std::string_view text_of(std::span<const std::byte> input) {
  return {reinterpret_cast<const char*>(input.data()), input.size()};
}

// All that is read, with the answer cut into pieces of that size.
std::string facts_of(UsageReader::Form form, std::string_view answer, std::size_t piece) {
  UsageReader reader(form);
  std::size_t chunks = 0;
  for (std::size_t at = 0; at < answer.size(); at += piece) {
    chunks += reader.read(answer.substr(at, piece));
  }
  reader.finish();
  const store::TrafficTokens tokens = reader.tokens();
  PARING_CHECK(tokens.prompt_fresh >= 0 && tokens.prompt_cached >= 0 &&
                   tokens.answer_visible >= 0 && tokens.answer_reasoning >= 0,
               "tokens are less than none");
  std::string facts = reader.model() + '\n' + reader.end() + '\n' + reader.error_code();
  for (const std::int64_t count :
       {tokens.prompt_fresh, tokens.prompt_cached, tokens.answer_visible, tokens.answer_reasoning,
        tokens.drafted, static_cast<std::int64_t>(chunks)}) {
    facts += '\n' + std::to_string(count);
  }
  return facts + (reader.has_ended() ? " ended" : "") + (reader.is_counted() ? " counted" : "");
}

}  // namespace

void run_usage(std::span<const std::byte> input) {
  const std::string_view text = text_of(input);
  for (const auto form :
       {UsageReader::Form::kJson, UsageReader::Form::kEvents, UsageReader::Form::kLines}) {
    const std::string whole = facts_of(form, text, std::max<std::size_t>(text.size(), 1));
    PARING_CHECK(facts_of(form, text, 1 + text.size() / 3) == whole, "three pieces differ");
    if (text.size() < 2000) PARING_CHECK(facts_of(form, text, 1) == whole, "bytes differ");
  }
  (void)monitor::read_asked_for(text);
}

void run_metrics_page(std::span<const std::byte> input) {
  using monitor::MetricsPage;
  MetricsPage page = MetricsPage::parse(text_of(input));
  page.set_label("instance", "a\"b\\c\n");
  page.add(MetricsPage(page));
  const MetricsPage again = MetricsPage::parse(page.text());
  PARING_CHECK(again.bad() == 0 || page.samples() > MetricsPage::kSamplesMax,
               "what was written is not read");
}

// Whatever stands before and behind them, personal data goes and nothing breaks.
void run_redaction(std::span<const std::byte> input) {
  static const auto kFilter = [] {
    auto filter = monitor::ContentFilter::create({.bytes_max = 1 << 20});
    PARING_CHECK(filter.has_value(), "the built-in rules compile");
    return *filter;
  }();
  const std::string_view text = text_of(input);
  store::TrafficContent content{std::string(text), "\"\""};  // mostly no JSON: refused
  (void)kFilter->apply(content);
  static const auto kRedactor = *monitor::Redactor::create({});
  constexpr std::string_view kSeeds[] = {"zoe.quill@example.com", "4111 1111 1111 1111",
                                         "DE89370400440532013000", "203.0.113.77",
                                         "hf_qwertyuiopasdfghjkl123"};
  for (const std::string_view seed : kSeeds) {
    const std::string around =
        std::string(text) + "\n" + std::string(seed) + "\n" + std::string(text);
    const auto redacted = kRedactor->redact(around);
    if (!redacted) continue;
    PARING_CHECK(
        text.find(seed) != std::string_view::npos || redacted->find(seed) == std::string::npos,
        "what was to be taken out is there");
  }
}

void run_otlp_traces(std::span<const std::byte> input) {
  const auto bytes_of = [](auto text) {
    return std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  };
  const auto read = monitor::read_otlp_traces(bytes_of(input));
  if (!read) return;
  for (const store::TrafficRequest& row : read->rows) {
    PARING_CHECK(row.tenant.empty() && row.key_id.empty(), "a sender says whose a row is");
    PARING_CHECK(row.tokens.prompt_fresh >= 0 && row.tokens.answer_visible >= 0 &&
                     row.seconds.total.value_or(0) >= 0,
                 "less than none");
  }
  const std::string written = monitor::otlp_traces(read->rows, {});
  const auto again = monitor::read_otlp_traces(bytes_of(std::string_view(written)));
  PARING_CHECK(again && again->rows.size() == read->rows.size(), "what was written is not read");
}

void run_otlp_logs(std::span<const std::byte> input) {
  const auto read = monitor::read_otlp_evaluations(
      {reinterpret_cast<const std::uint8_t*>(input.data()), input.size()});
  if (!read) return;
  for (const monitor::OtlpEvaluation& each : read->all) {
    PARING_CHECK(!each.name.empty() && (!each.response_id.empty() || !each.span_id.empty()),
                 "an evaluation of nothing");
    PARING_CHECK(std::isfinite(each.value.value_or(0)), "a score that is no number");
  }
}

// What JSON becomes must be a message.
void run_otlp_json(std::span<const std::byte> input) {
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const auto bytes_of = [](const std::string& message) {
    return std::span(reinterpret_cast<const std::uint8_t*>(message.data()), message.size());
  };
  if (const auto traces = monitor::otlp_of_json(text, monitor::OtlpRequest::kTraces)) {
    const auto read = monitor::read_otlp_traces(bytes_of(*traces));
    PARING_CHECK(read || read.error().code == ErrorCode::kExhausted, "spans that cannot be read");
    run_otlp_traces(std::as_bytes(std::span(*traces)));
  }
  if (const auto logs = monitor::otlp_of_json(text, monitor::OtlpRequest::kLogs)) {
    const auto read = monitor::read_otlp_evaluations(bytes_of(*logs));
    PARING_CHECK(read || read.error().code == ErrorCode::kExhausted, "records that cannot be read");
  }
}

}  // namespace paring::fuzz
