// SPDX-License-Identifier: Apache-2.0
#include "engine/step_meter.h"

#include <algorithm>

#include "model/kv_cache.h"

namespace paring::engine {

StepMeter::StepMeter(const std::vector<MatrixLoad>& loads, const model::BlockSpec& spec,
                     kernels::KvType kv_type)
    : experts_(spec.experts) {
  for (const MatrixLoad& load : loads) {
    const double used = load.is_of_experts ? experts_->read_share(1) : 1;
    (load.is_of_experts ? expert_bytes_ : shared_bytes_) += load.bytes;
    if (!load.is_gathered) {
      (load.is_head ? row_operations_ : token_operations_) += 2 * load.values * used;
    }
  }
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    const std::size_t window = spec.scope(layer).window;
    const auto found = std::find_if(scopes_.begin(), scopes_.end(),
                                    [&](const Scope& scope) { return scope.window == window; });
    if (found == scopes_.end()) {
      scopes_.push_back({window, 1});
    } else {
      ++found->layers;
    }
  }
  // Both are proportional to the positions seen, over all layers.
  double seen = 0;
  for (const Scope& scope : scopes_) seen += scope.layers;
  const model::PositionRange one{1, 1};
  visible_operations_ = token_operations(spec, one).attention / seen;
  visible_bytes_ = model::KvPool::bytes_read(spec, kv_type, one) / seen;
}

// Positions that the part's tokens see, over all layers.
double StepMeter::visible(const Part& part) const {
  const model::PositionRange range{static_cast<double>(part.first + 1),
                                   static_cast<double>(part.first + part.tokens)};
  double positions = 0;
  for (const Scope& scope : scopes_) positions += scope.layers * range.mean_visible(scope.window);
  return positions * static_cast<double>(part.tokens);
}

double StepMeter::weight_bytes(double tokens) const {
  return shared_bytes_ + (experts_ ? expert_bytes_ * experts_->read_share(tokens) : 0);
}

std::span<const api::Work> StepMeter::split(std::span<const Part> parts, double seconds) {
  works_.assign(parts.size(), {});
  linear_.assign(parts.size(), 0);
  own_.assign(parts.size(), 0);
  total_ = {};
  double tokens = 0;
  double linear = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto count = static_cast<double>(parts[i].tokens);
    tokens += count;
    linear_[i] = count * token_operations_ + static_cast<double>(parts[i].logits) * row_operations_;
    linear += linear_[i];
    const double seen = visible(parts[i]);
    works_[i].operations = linear_[i] + seen * visible_operations_;
    works_[i].bytes = seen * visible_bytes_;
    own_[i] = std::max(works_[i].bytes, seen * visible_operations_ / kAttentionPerByte);
  }
  if (linear <= 0) return works_;
  const double weights = weight_bytes(tokens);
  const double shared = std::max(weights, linear / kOperationsPerByte);
  double all = shared;
  for (const double own : own_) all += own;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double share = linear_[i] / linear;
    works_[i].bytes += weights * share;
    works_[i].seconds = seconds * (shared * share + own_[i]) / all;
    total_ += works_[i];
  }
  return works_;
}

}  // namespace paring::engine
