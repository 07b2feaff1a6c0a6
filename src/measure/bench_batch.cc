// SPDX-License-Identifier: Apache-2.0
#include "measure/bench_batch.h"

#include <algorithm>
#include <vector>

#include "measure/detail/batch_runner.h"
#include "measure/statistics.h"

namespace paring::measure {

Result<BatchResult> bench_batch(const model::ModelView& view, Executor& executor,
                                const cost::Probes& probes, const BenchOptions& options,
                                std::size_t sequences) {
  PARING_TRY(detail::BatchRunner runner,
             detail::BatchRunner::create(view, executor, options, sequences));
  std::vector<double> prefills;
  std::vector<double> steps;
  std::vector<double> shares;
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    PARING_TRY(const detail::BatchRound round, runner.run());
    prefills.push_back(round.prefill_seconds);
    shares.push_back(round.own_share);
    steps.insert(steps.end(), round.steps.begin(), round.steps.end());
  }
  BatchResult result;
  result.sequences = sequences;
  result.prefill = runner.prefill_speed(probes, median(prefills));
  result.gap_median_seconds = median(steps);
  result.gap_worst_seconds = steps.empty() ? 0 : *std::max_element(steps.begin(), steps.end());
  result.decode = runner.decode_speed(probes, result.gap_median_seconds);
  result.prefill.own_share = result.decode.own_share = median(shares);
  return result;
}

}  // namespace paring::measure
