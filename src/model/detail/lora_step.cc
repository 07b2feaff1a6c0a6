// SPDX-License-Identifier: Apache-2.0
#include "model/detail/lora_step.h"

#include <algorithm>

#include "base/check.h"

namespace paring::model {

LoraStep::LoraStep(const ModelView& view, std::span<const Segment> segments,
                   const ForwardBuffers& buffers)
    : view_(view), buffers_(buffers) {
  for (const Segment& segment : segments) {
    const Range tokens{tokens_, tokens_ + segment.tokens.size()};
    tokens_ = tokens.end;
    if (segment.adapter == nullptr || tokens.empty()) continue;
    PARING_CHECK(segment.adapter->rank_max() <= buffers.lora_rank,
                 "an adapter's rank is within ForwardShape::lora_rank");
    const bool joins = !runs_.empty() && runs_.back().adapter == segment.adapter &&
                       runs_.back().tokens.end == tokens.begin;
    if (joins) {
      runs_.back().tokens.end = tokens.end;
    } else {
      runs_.push_back({tokens, segment.adapter});
    }
  }
}

void LoraStep::shrink(const Worker& worker, std::span<const MatrixId> ids, const float* x,
                      std::size_t width) const {
  PARING_DCHECK(ids.size() <= kLoraReaders, "so many matrices read the same rows");
  const Range share = worker.split(tokens_);
  for (const Run& run : runs_) {
    const std::size_t begin = std::max(run.tokens.begin, share.begin);
    const std::size_t end = std::min(run.tokens.end, share.end);
    if (begin >= end) continue;
    for (std::size_t place = 0; place < ids.size(); ++place) {
      const LoraPair* pair = pair_of(run, ids[place]);
      if (pair == nullptr) continue;
      kernels::kernels().matmul_f(pair->down, x + begin * width, width, end - begin,
                                  low(place, begin), buffers_.lora_rank, {0, pair->down.panels()});
    }
  }
}

void LoraStep::add(std::size_t place, MatrixId id, float* target, std::size_t stride,
                   kernels::PanelRange panels) const {
  if (panels.begin >= panels.end) return;
  const kernels::KernelTable& table = kernels::kernels();
  for (const Run& run : runs_) {
    const LoraPair* pair = pair_of(run, id);
    if (pair == nullptr) continue;
    const std::size_t outputs = pair->up.rows;
    const std::size_t first = panels.begin * kernels::kPanelRows;
    const std::size_t end = std::min(panels.end * kernels::kPanelRows, outputs);
    if (first >= end) continue;
    // Other workers write other columns of the same rows, or those of another matrix.
    float* added = buffers_.lora_out + (place * tokens_ + run.tokens.begin) * buffers_.lora_width;
    table.matmul_f(pair->up, low(place, run.tokens.begin), buffers_.lora_rank, run.tokens.size(),
                   added, buffers_.lora_width, panels);
    for (std::size_t t = 0; t < run.tokens.size(); ++t) {
      table.add(target + (run.tokens.begin + t) * stride + first,
                added + t * buffers_.lora_width + first, end - first);
    }
  }
}

}  // namespace paring::model
