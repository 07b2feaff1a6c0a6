// SPDX-License-Identifier: Apache-2.0
#include "shrink/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "shrink/encode.h"

namespace paring::shrink {

namespace {

class LayerInputTap : public model::Taps {
 public:
  LayerInputTap(float* target, std::size_t floats_per_layer)
      : target_(target), stride_(floats_per_layer) {}
  bool wants(model::TapSite site) const override { return site == model::TapSite::kLayerInput; }
  void observe(model::TapSite, std::size_t layer, const float* data, std::size_t rows,
               std::size_t width) override {
    std::copy_n(data, rows * width, target_ + layer * stride_);
  }

 private:
  float* target_;
  std::size_t stride_;
};

// Layer at which a change of this matrix is first felt.
std::size_t first_layer_of(const model::MatrixId& id, std::size_t layers) {
  switch (id.kind) {
    case model::MatrixKind::kEmbedding:
      return 0;
    case model::MatrixKind::kHead:
      return layers - 1;
    default:
      return id.layer;
  }
}

bool is_lossy(const TypeOption& option) { return option.error > 0; }

std::string journal_name(const MatrixPlan& plan, const TypeOption& option) {
  return fmt::format("probe {} {}", plan.name, dtype_name(option.type));
}

}  // namespace

Result<LayerInputs> LayerInputs::create(measure::Evaluator& evaluator,
                                        const measure::BaseRun& base) {
  LayerInputs inputs;
  const model::BlockSpec& spec = base.view().spec();
  const measure::Windows& windows = base.windows();
  PARING_CHECK(windows.windows.size() <= evaluator.windows_per_step(windows.context),
               "the probe windows fit one step");
  std::vector<std::span<const std::int32_t>> tokens;
  for (std::size_t w = 0; w < windows.windows.size(); ++w) tokens.push_back(windows.input(w));
  inputs.layer_floats_ = tokens.size() * tokens[0].size() * spec.width;
  inputs.data_.resize(spec.layers * inputs.layer_floats_);
  LayerInputTap tap(inputs.data_.data(), inputs.layer_floats_);
  model::ForwardOptions options;
  options.taps = &tap;
  PARING_TRY_VOID(evaluator.run(base.view(), tokens, 0, measure::kExactOptions, options));
  return inputs;
}

Result<double> matrix_kl(measure::Evaluator& evaluator, const measure::BaseRun& base,
                         const LayerInputs& inputs, std::size_t slot,
                         const kernels::PackedMatrix& matrix) {
  const model::Model& model = base.view().model();
  model::ModelView view = base.view();
  view.replace(slot, &matrix);
  const std::size_t layer = first_layer_of(model.slot(slot).id, model.spec().layers);
  model::ForwardOptions options;
  options.first_layer = layer;
  options.hidden = layer == 0 ? nullptr : inputs.at(layer);
  measure::RowScores scores;
  PARING_TRY_VOID(measure::compare_windows(evaluator, base, 0, base.windows().windows.size(), view,
                                           measure::kExactOptions, options, scores));
  return std::accumulate(scores.kl.begin(), scores.kl.end(), 0.0) /
         static_cast<double>(scores.kl.size());
}

Result<void> Sensitivity::prepare(const measure::Windows& windows) {
  windows_ = windows;
  return {};
}

// KL with `plan` in `option`, each weight rounded to nearest; `error` of that encoding.
Result<double> Sensitivity::probe(const MatrixPlan& plan, const TypeOption& option, double& error) {
  if (base_ == nullptr) {
    view_ = std::make_unique<model::ModelView>(*original_.model);
    PARING_TRY(measure::BaseRun base,
               measure::BaseRun::create(evaluator_, *view_, windows_, measure::kExactOptions,
                                        silent_progress()));
    base_ = std::make_unique<measure::BaseRun>(std::move(base));
    PARING_TRY(inputs_, LayerInputs::create(evaluator_, *base_));
  }
  const Inputs known{statistics_.importance(plan.index), statistics_.factor(plan.index)};
  PARING_TRY(const Encoding encoding, encode_matrix(original_.file, plan.name, option.type,
                                                    Rounding::kNearest, known, executor_));
  error = encoding.loss;
  PARING_TRY(const kernels::PackedMatrix matrix,
             kernels::pack(option.type, encoding.bytes.data(), plan.rows, plan.cols));
  original_.file.release(*original_.file.find(plan.name));
  return matrix_kl(evaluator_, *base_, inputs_, plan.index, matrix);
}

bool Sensitivity::is_known(const MatrixPlan& plan) const {
  const auto lossy = std::find_if(plan.options.begin(), plan.options.end(), is_lossy);
  return lossy == plan.options.end() || journal_.find(journal_name(plan, *lossy)) != nullptr;
}

Result<void> Sensitivity::measure(MatrixPlan& plan) {
  plan.is_probed = true;
  const auto lossy = std::find_if(plan.options.begin(), plan.options.end(), is_lossy);
  if (lossy == plan.options.end()) return {};
  PARING_TRY(const std::vector<double> values,
             journal_.recall_or(journal_name(plan, *lossy), [&]() -> Result<std::vector<double>> {
               double error = 0;
               PARING_TRY(const double kl, probe(plan, *lossy, error));
               return std::vector<double>{kl, error};
             }));
  if (values.size() == 2 && values[1] > 0) plan.kl_per_error = std::max(values[0], 0.0) / values[1];
  lossy->is_measured = true;
  return {};
}

std::vector<std::size_t> probe_order(const model::Model& model, std::span<const MatrixPlan> plans) {
  const std::size_t layers = model.spec().layers;
  std::vector<std::size_t> order_of_layer;
  std::vector<bool> is_taken(layers);
  const auto take = [&](std::size_t layer) {
    if (layer < layers && !is_taken[layer]) {
      is_taken[layer] = true;
      order_of_layer.push_back(layer);
    }
  };
  take(0);
  take(layers - 1);
  for (std::size_t gap = layers; gap > 0; gap /= 2) {
    for (std::size_t layer = gap / 2; layer < layers; layer += std::max<std::size_t>(gap, 1)) {
      take(layer);
    }
  }
  for (std::size_t layer = 0; layer < layers; ++layer) take(layer);
  std::vector<std::size_t> order;
  const auto is_outside = [&](const MatrixPlan& plan) {
    const model::MatrixKind kind = model.slot(plan.index).id.kind;
    return kind == model::MatrixKind::kEmbedding || kind == model::MatrixKind::kHead;
  };
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (is_outside(plans[i])) order.push_back(i);
  }
  for (const std::size_t layer : order_of_layer) {
    for (std::size_t i = 0; i < plans.size(); ++i) {
      if (!is_outside(plans[i]) && model.slot(plans[i].index).id.layer == layer) {
        order.push_back(i);
      }
    }
  }
  return order;
}

namespace {

struct Price {
  std::size_t layer;
  double log_share;  // ln(kl_per_error * energy): KL for an error as large as the output
};

double interpolate(const std::vector<Price>& prices, std::size_t layer) {
  const auto after = std::lower_bound(prices.begin(), prices.end(), layer,
                                      [](const Price& p, std::size_t at) { return p.layer < at; });
  if (after == prices.end()) return prices.back().log_share;
  if (after == prices.begin()) return prices.front().log_share;
  const auto before = after - 1;
  const double share = static_cast<double>(layer - before->layer) /
                       static_cast<double>(after->layer - before->layer);
  return before->log_share * (1 - share) + after->log_share * share;
}

}  // namespace

void price_options(const model::Model& model, std::vector<MatrixPlan>& plans) {
  constexpr double kLeast = 1e-30;
  std::map<model::MatrixKind, std::vector<Price>> prices;
  std::vector<Price> all;
  for (const MatrixPlan& plan : plans) {
    if (!plan.is_probed || plan.kl_per_error <= 0) continue;
    const model::MatrixId id = model.slot(plan.index).id;
    const Price price{id.layer, std::log(std::max(plan.kl_per_error * plan.energy, kLeast))};
    prices[id.kind].push_back(price);
    all.push_back(price);
  }
  double mean = 0;
  for (const Price& price : all) mean += price.log_share / static_cast<double>(all.size());
  for (auto& [kind, list] : prices) {
    std::stable_sort(list.begin(), list.end(),
                     [](const Price& a, const Price& b) { return a.layer < b.layer; });
  }
  for (MatrixPlan& plan : plans) {
    const model::MatrixId id = model.slot(plan.index).id;
    if (!plan.is_probed) {
      const auto found = prices.find(id.kind);
      const double log_share = found == prices.end() ? mean : interpolate(found->second, id.layer);
      plan.kl_per_error = std::exp(log_share) / std::max(plan.energy, kLeast);
    }
    for (TypeOption& option : plan.options) {
      option.predicted_kl = plan.kl_per_error * option.error;
    }
  }
}

}  // namespace paring::shrink
