// SPDX-License-Identifier: Apache-2.0
#include "serve/alert_samples.h"

#include <algorithm>

#include "serve/sample_list.h"

namespace paring::serve {

std::vector<MetricSample> alert_samples(const monitor::Alerts& alerts) {
  std::vector<MetricSample> all;
  double firing = 0;
  for (const monitor::SloStanding& standing : alerts.standings()) {
    const monitor::Slo& slo = standing.slo;
    const SampleLabels name = {{"objective", slo.name}};
    const bool is_share = slo.kind != monitor::SloKind::kBudget && !slo.is_mean;
    if (is_share) {
      all.push_back(sample_of(samples::kSloObjective, name, slo.target));
      all.push_back(sample_of(samples::kSloGood, name, standing.ever.events - standing.ever.bad));
    }
    all.push_back(sample_of(samples::kSloRequests, name, standing.ever.events));
    all.push_back(sample_of(samples::kSloLeft, name, standing.left));
    for (const monitor::BurnStanding& burn : standing.burns) {
      for (const auto& [seconds, rate] : {std::pair(burn.rule.long_s, burn.long_rate),
                                          std::pair(burn.rule.short_s, burn.short_rate)}) {
        all.push_back(sample_of(samples::kSloBurn,
                                {name[0], {"window", monitor::window_text(seconds)}}, rate));
      }
    }
    firing += static_cast<double>(
        std::ranges::count_if(standing.alerts, [](const monitor::AlertStanding& alert) {
          return alert.status.state == monitor::AlertState::kFiring;
        }));
  }
  all.push_back(sample_of(samples::kAlertsFiring, {}, firing));
  for (const monitor::AlertSinkStats& sink : alerts.sinks()) {
    for (std::size_t i = 0; i < monitor::kAlertResults; ++i) {
      all.push_back(
          sample_of(samples::kAlertNotifications,
                    {{"sink", sink.name},
                     {"result", monitor::alert_result_name(static_cast<monitor::AlertResult>(i))}},
                    static_cast<double>(sink.results[i])));
    }
  }
  std::ranges::stable_sort(all, {}, &MetricSample::name);
  return all;
}

}  // namespace paring::serve
