// SPDX-License-Identifier: Apache-2.0
// What a changed set-up would do to the figures of a sample, with intervals. Private to the
// advisor.
#pragma once

#include <functional>
#include <vector>

#include "advise/advisor.h"

namespace paring::advise {

// Another way to serve the same requests.
struct Variation {
  ReplayEngine engine;
  StepCost cost;
  // What becomes of a request; empty: nothing.
  std::function<void(ReplayRequest&)> change;
  double memory_change = 0;  // bytes of weights and buffers
  double kv_bytes_per_token = 0;
};

class Predictor {
 public:
  Predictor(const TrafficSample& sample, const AdvisorOptions& options);

  // Of the present set-up; to be changed.
  Variation present() const;
  // The present cost of a step.
  double step_seconds(const engine::StepShape& shape) const {
    return correction_ * sample_.steps.seconds(shape);
  }
  // Fills metrics, gain and whether it is recommended.
  void predict(const Variation& variation, AdviceMetric headline, Advice& advice) const;
  // The same with requests at their own times, on `replicas` servers.
  ReplayOutcome paced(const Variation& variation, std::size_t replicas) const;
  // Puts an interval about a ratio to the present value.
  void add_metric(AdviceMetric metric, double now, double ratio, double sampling,
                  Advice& advice) const;
  void judge(AdviceMetric headline, Advice& advice) const;

  const ReplayOutcome& present_outcome() const noexcept { return present_; }
  const ReplayOutcome& present_paced() const noexcept { return present_paced_; }
  double correction() const noexcept { return correction_; }
  std::size_t clients() const noexcept { return clients_; }
  // Of the present set-up, as far as it is known.
  double memory_bytes() const;
  const std::vector<ReplayRequest>& requests() const noexcept { return requests_; }

  // The newest, of which the figures at full load are made.
  static constexpr std::size_t kReplayedMax = 4000;
  static constexpr std::size_t kParts = 8;

 private:
  std::vector<ReplayRequest> changed(const Variation& variation) const;
  double model_error(AdviceAction action) const;

  const TrafficSample& sample_;
  const AdvisorOptions& options_;
  std::vector<ReplayRequest> requests_;
  double correction_ = 1;
  std::size_t clients_ = 1;
  ReplayOutcome present_;
  ReplayOutcome present_paced_;
  std::vector<ReplayOutcome> present_parts_;  // without the k-th part of the requests
};

}  // namespace paring::advise
