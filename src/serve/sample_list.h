// SPDX-License-Identifier: Apache-2.0
// Metrics that are read when asked: their names, and what makes samples of them. Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "api/certificate.h"
#include "cost/probes.h"
#include "monitor/machine_watch.h"
#include "serve/metrics_text.h"
#include "serve/model_totals.h"
#include "store/scores.h"
#include "store/traffic_rows.h"

namespace paring::serve {

struct SampleFamily {
  const char* name;
  const char* kind;  // "counter", "gauge"
  const char* of;    // for the documentation
  const char* help;
};

namespace samples {
#define PARING_SAMPLE(identifier, name, kind, of, help) \
  inline constexpr SampleFamily k##identifier{name, kind, of, help};
#include "serve/samples.def"
#undef PARING_SAMPLE
}  // namespace samples

std::span<const SampleFamily> sample_families() noexcept;

using SampleLabels = std::vector<std::pair<std::string, std::string>>;

MetricSample sample_of(const SampleFamily& family, SampleLabels labels, double value);

// `probes`: null, and there is no use of a limit, where the machine was not measured.
void add_model_totals(std::vector<MetricSample>& all, const std::string& model,
                      const ModelTotals& totals, const cost::Probes* probes);
void add_probes(std::vector<MetricSample>& all, const cost::Probes* probes);
// What was not measured is left out.
void add_certificate(std::vector<MetricSample>& all, const std::string& model,
                     const api::Certificate& certificate);
void add_machine(std::vector<MetricSample>& all, const monitor::MachineReading& reading);
// Money by its parts; nothing where nobody was charged.
void add_money(std::vector<MetricSample>& all, const store::TrafficMoney& money);
// What answers cost: joules and money of requests by the tokens generated for them.
void add_costs(std::vector<MetricSample>& all, double joules, const store::TrafficMoney& money,
               std::uint64_t tokens);
void add_scores(std::vector<MetricSample>& all, const std::vector<store::ScoreSum>& sums);

}  // namespace paring::serve
