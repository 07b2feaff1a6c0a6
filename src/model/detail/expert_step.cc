// SPDX-License-Identifier: Apache-2.0
#include "model/detail/expert_step.h"

#include <algorithm>
#include <cstring>

#include "model/experts.h"

namespace paring::model {

namespace {

using kernels::PackedMatrix;
using kernels::PanelRange;
using kernels::QuantizedRows;

// Reading a panel costs about as much as multiplying it with so many rows.
constexpr std::size_t kPanelReadRows = 4;

// The panels of one expert of a stacked matrix, as a matrix.
PackedMatrix panels_of(const PackedMatrix& stacked, std::size_t experts, std::size_t expert,
                       PanelRange panels) {
  const std::size_t first = expert * (stacked.panels() / experts);
  return kernels::view_panels(stacked, {first + panels.begin, first + panels.end});
}

void copy_row(const QuantizedRows& from, std::size_t row, const QuantizedRows& to, std::size_t at) {
  const QuantizedRows source = from.from_row(row);
  const QuantizedRows target = to.from_row(at);
  const std::size_t groups = from.cols / kernels::kGroupValues;
  std::memcpy(target.codes, source.codes, from.cols);
  std::memcpy(target.scales, source.scales, groups * sizeof(float));
  std::memcpy(target.code_sums, source.code_sums, 2 * groups * sizeof(std::int32_t));
  std::memcpy(target.value_sums, source.value_sums, groups * sizeof(float));
}

bool are_consecutive(const std::uint32_t* tokens, Range rows) {
  return tokens[rows.end - 1] - tokens[rows.begin] == rows.size() - 1;  // they ascend
}

}  // namespace

ExpertStep::ExpertStep(const ModelView& view, const ForwardBuffers& buffers, std::size_t tokens,
                       Numerics numerics, bool has_own_choice)
    : view_(view),
      buffers_(buffers),
      spec_(view.spec()),
      kernels_(kernels::kernels()),
      tokens_(tokens),
      numerics_(numerics),
      has_own_choice_(has_own_choice) {}

Product ExpertStep::product(const PackedMatrix& matrix, std::size_t rows) const {
  return product_of(matrix.type, rows, numerics_, kernels_);
}

bool ExpertStep::uses_codes(std::size_t layer) const {
  // An expert may get one row.
  return product(view_.matrix({MatrixKind::kExpertGate, layer}), 1) == Product::kCodes ||
         product(view_.matrix({MatrixKind::kExpertUp, layer}), 1) == Product::kCodes;
}

void ExpertStep::score(std::size_t layer, const float* normed, Range tokens,
                       PanelRange panels) const {
  if (tokens.empty() || panels.begin >= panels.end) return;
  const PackedMatrix& router = view_.model().router(layer);
  kernels_.matmul_f(router, normed + tokens.begin * router.cols, router.cols, tokens.size(),
                    buffers_.experts.scores + tokens.begin * router.rows, router.rows, panels);
}

void ExpertStep::choose(const Worker& worker, Range tokens) const {
  const ExpertSpec& experts = *spec_.experts;
  const ExpertChoice& target = choice(worker);
  for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
    choose_experts(experts, buffers_.experts.scores + t * experts.count,
                   target.experts + t * experts.used, target.weights + t * experts.used);
  }
}

void ExpertStep::sort(const Worker& worker) const {
  const ExpertSpec& experts = *spec_.experts;
  const ExpertWorkerBuffers& mine = own(worker);
  const std::uint32_t* chosen = choice(worker).experts;
  const std::size_t pairs = tokens_ * experts.used;
  std::fill_n(mine.begins, experts.count + 1, 0);
  for (std::size_t i = 0; i < pairs; ++i) ++mine.begins[chosen[i] + 1];
  for (std::size_t e = 0; e < experts.count; ++e) mine.begins[e + 1] += mine.begins[e];
  // begins[e] runs through the places of expert e, and ends where those of the next begin.
  for (std::size_t i = 0; i < pairs; ++i) {
    const std::size_t place = mine.begins[chosen[i]]++;
    mine.tokens[place] = static_cast<std::uint32_t>(i / experts.used);
    mine.places[i] = static_cast<std::uint32_t>(place);
  }
  std::copy_backward(mine.begins, mine.begins + experts.count, mine.begins + experts.count + 1);
  mine.begins[0] = 0;
}

ExpertRows ExpertStep::rows(const Worker& worker, TapSite site, const float* data,
                            std::size_t width) const {
  const ExpertWorkerBuffers& mine = own(worker);
  ExpertRows rows{data, width, {}, {mine.begins, spec_.experts->count + 1}};
  if (site == TapSite::kExpertInput) rows.rows = {mine.tokens, tokens_ * spec_.experts->used};
  return rows;
}

template <typename Visit>
void ExpertStep::visit_share(const Worker& worker, std::size_t panels, const Visit& visit) const {
  const ExpertWorkerBuffers& mine = own(worker);
  const std::size_t count = spec_.experts->count;
  const auto panel_cost = [&](std::size_t e) {
    const std::size_t rows = mine.begins[e + 1] - mine.begins[e];
    return rows == 0 ? 0 : rows + kPanelReadRows;
  };
  std::size_t total = 0;
  for (std::size_t e = 0; e < count; ++e) total += panel_cost(e) * panels;
  const std::size_t first = total * worker.index() / worker.count();
  const std::size_t last = total * (worker.index() + 1) / worker.count();
  std::size_t at = 0;  // cost of the experts before
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t cost = panel_cost(e);
    if (cost == 0) continue;
    const auto panel_at = [&](std::size_t where) {
      return where <= at ? 0 : std::min(panels, (where - at + cost - 1) / cost);
    };
    const PanelRange share{panel_at(first), panel_at(last)};
    at += cost * panels;
    if (share.begin >= share.end) continue;
    for (std::size_t row = mine.begins[e]; row < mine.begins[e + 1]; row += kExpertRowsMax) {
      visit(e, Range{row, std::min(row + kExpertRowsMax, mine.begins[e + 1])}, share);
    }
  }
}

void ExpertStep::multiply_in(const Worker& worker, std::size_t layer,
                             const RowBuffers& source) const {
  visit_share(worker, spec_.ffn_width / kernels::kPanelRows,
              [&](std::size_t expert, Range rows, PanelRange panels) {
                multiply_in(own(worker), layer, source, expert, rows, panels);
              });
}

void ExpertStep::multiply_in(const ExpertWorkerBuffers& mine, std::size_t layer,
                             const RowBuffers& source, std::size_t expert, Range rows,
                             PanelRange panels) const {
  const std::size_t experts = spec_.experts->count;
  const PackedMatrix gate =
      panels_of(view_.matrix({MatrixKind::kExpertGate, layer}), experts, expert, panels);
  const PackedMatrix up =
      panels_of(view_.matrix({MatrixKind::kExpertUp, layer}), experts, expert, panels);
  const std::size_t first_token = mine.tokens[rows.begin];
  const float* values = source.normed + first_token * spec_.width;
  QuantizedRows codes = source.narrow.from_row(first_token);
  if (!are_consecutive(mine.tokens, rows)) {
    const Product products[] = {product(gate, rows.size()), product(up, rows.size())};
    const bool with_codes = products[0] == Product::kCodes || products[1] == Product::kCodes;
    const bool with_values = products[0] != Product::kCodes || products[1] != Product::kCodes;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t token = mine.tokens[rows.begin + i];
      if (with_codes) copy_row(source.narrow, token, mine.narrow, i);
      if (with_values) {
        std::memcpy(mine.gathered + i * spec_.width, source.normed + token * spec_.width,
                    spec_.width * sizeof(float));
      }
    }
    values = mine.gathered;
    codes = mine.narrow;
  }
  const std::size_t width = spec_.ffn_width;
  const std::size_t start = rows.begin * width + panels.begin * kernels::kPanelRows;
  const auto multiply_all = [&](const PackedMatrix& w, float* target) {
    multiply(product(w, rows.size()), kernels_, w, values, codes, rows.size(), target + start,
             width, {0, w.panels()});
  };
  multiply_all(gate, buffers_.gate);
  multiply_all(up, buffers_.up);
  const auto activate =
      spec_.activation == GateActivation::kGeluTanh ? kernels_.gelu_mul : kernels_.silu_mul;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t offset = start + i * width;
    activate(buffers_.gate + offset, buffers_.up + offset, buffers_.product + offset, gate.rows);
  }
}

void ExpertStep::multiply_out(const Worker& worker, std::size_t layer) const {
  visit_share(worker, spec_.width / kernels::kPanelRows,
              [&](std::size_t expert, Range rows, PanelRange panels) {
                multiply_out(own(worker), layer, expert, rows, panels);
              });
}

void ExpertStep::multiply_out(const ExpertWorkerBuffers& mine, std::size_t layer,
                              std::size_t expert, Range rows, PanelRange panels) const {
  const PackedMatrix down = panels_of(view_.matrix({MatrixKind::kExpertDown, layer}),
                                      spec_.experts->count, expert, panels);
  const float* values = buffers_.product + rows.begin * spec_.ffn_width;
  float* target =
      buffers_.experts.out + rows.begin * spec_.width + panels.begin * kernels::kPanelRows;
  const Product kind = product(down, rows.size());
  if (kind == Product::kCodes) {
    // Workers that share an expert each quantize its rows: cheaper than another barrier.
    kernels_.quantize_rows(values, rows.size(), spec_.ffn_width, spec_.ffn_width, mine.wide);
  }
  multiply(kind, kernels_, down, values, mine.wide, rows.size(), target, spec_.width,
           {0, down.panels()});
}

void ExpertStep::add(const Worker& worker, Range tokens, float* x) const {
  const std::size_t used = spec_.experts->used;
  const std::size_t width = spec_.width;
  const ExpertWorkerBuffers& mine = own(worker);
  const float* weights = choice(worker).weights;
  for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
    // The outputs first, then their sum to the stream, as without experts.
    float* sum = buffers_.delta + t * width;
    if (has_own_choice_) sum = mine.gathered;
    std::fill_n(sum, width, 0.0F);
    for (std::size_t i = t * used; i < (t + 1) * used; ++i) {
      const float* out = buffers_.experts.out + mine.places[i] * width;
      const float weight = weights[i];
      for (std::size_t c = 0; c < width; ++c) sum[c] += weight * out[c];
    }
    kernels_.add(x + t * width, sum, width);
  }
}

}  // namespace paring::model
