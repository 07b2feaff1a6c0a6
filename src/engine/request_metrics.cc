// SPDX-License-Identifier: Apache-2.0
#include "engine/request_metrics.h"

#include <algorithm>

#include "base/metrics.h"

namespace paring::engine {

void observe_request(const SequenceRequest& request, std::size_t sample,
                     const SequenceResult& result) noexcept {
  const api::Usage& usage = result.usage;
  Metrics& cells = metrics();
  cells.queue_seconds.observe(result.queue_seconds);
  if (sample == 0) {
    const std::size_t prompt = request.prompt.size();
    cells.request_prompt_tokens.observe(static_cast<double>(prompt));
    cells.request_computed_tokens.observe(
        static_cast<double>(prompt - std::min(usage.cached_tokens, prompt)));
    cells.request_max_tokens.observe(static_cast<double>(request.max_tokens));
    cells.request_samples.observe(static_cast<double>(request.samples));
  }
  cells.request_generated_tokens.observe(static_cast<double>(usage.generated_tokens));
  if (usage.generated_tokens == 0) return;
  cells.prefill_seconds.observe(usage.prefill_seconds);
  cells.decode_seconds.observe(usage.decode_seconds);
  cells.inference_seconds.observe(usage.prefill_seconds + usage.decode_seconds);
  if (usage.generated_tokens > 1) {
    cells.output_token_seconds.observe(usage.decode_seconds /
                                       static_cast<double>(usage.generated_tokens - 1));
  }
}

}  // namespace paring::engine
