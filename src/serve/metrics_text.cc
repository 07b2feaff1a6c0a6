// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics_text.h"

#include <fmt/format.h>

#include <cmath>

#include "serve/sample_list.h"

namespace paring::serve {

namespace {

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

std::string escaped(std::string_view text, bool is_label) {
  std::string result;
  for (const char c : text) {
    if (c == '\\')
      result += "\\\\";
    else if (c == '\n')
      result += "\\n";
    else if (c == '"' && is_label)
      result += "\\\"";
    else
      result += c;
  }
  return result;
}

// Writes HELP and TYPE once for rows of one family that follow each other.
class Writer {
 public:
  void family(std::string_view name, std::string_view help, const char* type) {
    if (name == last_) return;
    last_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name,
                   escaped(help, false), name, type);
  }
  void sample(std::string_view name, std::string_view labels, const std::string& value) {
    text_ += name;
    if (!labels.empty()) fmt::format_to(std::back_inserter(text_), "{{{}}}", labels);
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
  }
  void histogram(std::string_view name, const Histogram& cell) {
    std::uint64_t below = 0;
    const std::string bucket = fmt::format("{}_bucket", name);
    for (std::size_t b = 0; b < cell.bounds().size(); ++b) {
      below += cell.bucket_count(b);
      sample(bucket, fmt::format("le=\"{}\"", cell.bounds()[b]), std::to_string(below));
    }
    below += cell.bucket_count(cell.bounds().size());
    sample(bucket, "le=\"+Inf\"", std::to_string(below));
    sample(fmt::format("{}_sum", name), "", number(cell.sum()));
    // Of the same buckets, so that the two agree while others write.
    sample(fmt::format("{}_count", name), "", std::to_string(below));
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  std::string last_;
};

}  // namespace

std::string metrics_text(std::span<const MetricRow> rows, std::span<const MetricSample> gauges) {
  Writer writer;
  for (const MetricRow& row : rows) {
    const std::string_view full = row.name;
    const std::string_view name = full.substr(0, full.find('{'));
    std::string_view labels = full.substr(name.size());
    if (!labels.empty()) labels = labels.substr(1, labels.size() - 2);
    if (row.counter != nullptr) {
      writer.family(name, row.help, "counter");
      writer.sample(name, labels, std::to_string(row.counter->value()));
    } else if (row.gauge != nullptr) {
      writer.family(name, row.help, "gauge");
      writer.sample(name, labels, number(row.gauge->value()));
    } else {
      writer.family(name, row.help, "histogram");
      writer.histogram(name, *row.histogram);
    }
  }
  for (const MetricSample& gauge : gauges) {
    std::string labels;
    for (const auto& [key, value] : gauge.labels) {
      fmt::format_to(std::back_inserter(labels), "{}{}=\"{}\"", labels.empty() ? "" : ",", key,
                     escaped(value, true));
    }
    writer.family(gauge.name, gauge.help, gauge.kind);
    writer.sample(gauge.name, labels, number(gauge.value));
  }
  return writer.take();
}

std::vector<MetricSample> redaction_samples(const monitor::ContentFilter& filter) {
  std::vector<MetricSample> samples;
  for (const monitor::Redactor::Count& count : filter.redactions()) {
    samples.push_back({.name = kRedactionsCounter.name,
                       .help = kRedactionsCounter.help,
                       .labels = {{"rule", count.rule}},
                       .value = static_cast<double>(count.places),
                       .kind = "counter"});
  }
  return samples;
}

std::string metrics_reference() {
  std::string page = "| metric | kind | meaning |\n|---|---|---|\n";
  const auto add = [&](const char* name, const char* kind, const char* help) {
    page += std::string("| `") + name + "` | " + kind + " | " + help + " |\n";
  };
  for (const ModelGauge& gauge : kModelGauges) add(gauge.name, "gauge of each model", gauge.help);
  add(kRedactionsCounter.name, "counter of each rule", kRedactionsCounter.help);
  for (const SampleFamily& family : sample_families()) {
    add(family.name, (std::string(family.kind) + " of " + family.of).c_str(), family.help);
  }
  for (const MetricRow& row : metric_rows(metrics())) {
    add(row.name,
        row.counter != nullptr ? "counter"
        : row.gauge != nullptr ? "gauge"
                               : "histogram",
        row.help);
  }
  return page;
}

}  // namespace paring::serve
