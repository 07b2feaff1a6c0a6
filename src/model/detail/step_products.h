// SPDX-License-Identifier: Apache-2.0
// Small pieces of a step: its tokens, which outputs panels stand for, and what follows a product.
// Private to forward.cc.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "base/executor.h"
#include "kernels/ops.h"
#include "model/detail/attention_step.h"
#include "model/forward.h"

namespace paring::model {

inline std::vector<StepToken> tokens_of(std::span<const Segment> segments) {
  std::vector<StepToken> tokens;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    const Segment& segment = segments[s];
    const std::size_t first = segment.sequence->length() - segment.tokens.size();
    for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
      tokens.push_back({segment.tokens[i], first + i, s});
    }
  }
  return tokens;
}

// Outputs [begin, end) that `panels` of a matrix stand for.
inline Range outputs_of(const kernels::PackedMatrix& w, kernels::PanelRange panels) {
  return {std::min(panels.begin * kernels::kPanelRows, w.rows),
          std::min(panels.end * kernels::kPanelRows, w.rows)};
}

// What follows a product: the bias is added to outputs `mine` of one row.
inline void add_bias(const kernels::KernelTable& table, const std::vector<float>& bias, Range mine,
                     float* row) {
  if (bias.empty() || mine.empty()) return;
  table.add(row + mine.begin, bias.data() + mine.begin, mine.size());
}

// The head's last steps on outputs `mine` of one row of logits.
inline void finish_logits(const kernels::KernelTable& table, const ModelView& view, Range mine,
                          float* row) {
  if (mine.empty()) return;
  add_bias(table, view.head_bias(), mine, row);
  const float cap = view.spec().logit_soft_cap;
  if (cap > 0) table.soft_cap(row + mine.begin, mine.size(), cap);
}

}  // namespace paring::model
