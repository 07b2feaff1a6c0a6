// SPDX-License-Identifier: Apache-2.0
#include "shrink/sensitivity.h"

#include <algorithm>
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

TypeOption* find_option(MatrixPlan& plan, DType type) {
  for (TypeOption& option : plan.options) {
    if (option.type == type) return &option;
  }
  return nullptr;
}

// The option whose measured loss the others are scaled from: the probe type or, where a matrix does
// not have it, the smallest lossy one.
TypeOption* probe_of(MatrixPlan& plan, DType probe) {
  if (TypeOption* option = find_option(plan, probe); option != nullptr && option->error > 0) {
    return option;
  }
  for (TypeOption& option : plan.options) {
    if (option.error > 0) return &option;
  }
  return nullptr;
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

Result<void> measure_sensitivity(measure::Evaluator& evaluator, const measure::BaseRun& base,
                                 const engine::LoadedModel& model, const Statistics& statistics,
                                 const SensitivityOptions& options, Executor& executor,
                                 std::vector<MatrixPlan>& plans, ProgressSink& progress) {
  PARING_TRY(const LayerInputs inputs, LayerInputs::create(evaluator, base));
  const auto measure_option = [&](const MatrixPlan& plan, TypeOption& option) -> Result<void> {
    PARING_TRY(const std::vector<std::byte> bytes,
               encode_matrix(model.file, plan.name, option.type, statistics.importance(plan.index),
                             executor));
    PARING_TRY(const kernels::PackedMatrix matrix,
               kernels::pack(option.type, bytes.data(), plan.rows, plan.cols));
    PARING_TRY(option.predicted_kl, matrix_kl(evaluator, base, inputs, plan.index, matrix));
    option.is_measured = true;
    return {};
  };
  // Loss of unmeasured options: squared error times the loss per squared error of the nearest
  // measured type (KL is quadratic in a small change of the weights).
  const auto extrapolate = [](MatrixPlan& plan, const TypeOption& probe) {
    for (TypeOption& option : plan.options) {
      if (!option.is_measured) {
        option.predicted_kl = probe.error > 0 ? probe.predicted_kl * option.error / probe.error : 0;
      }
    }
  };

  progress.begin("sensitivity", plans.size());
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (TypeOption* probe = probe_of(plans[i], options.probe)) {
      PARING_TRY_VOID(measure_option(plans[i], *probe));
      extrapolate(plans[i], *probe);
      order.emplace_back(-probe->predicted_kl, i);
    }
    progress.advance(1);
  }
  progress.end();

  std::sort(order.begin(), order.end());
  order.resize(std::min(order.size(), options.measured_again));
  progress.begin("most sensitive again", order.size());
  for (const auto& [loss, i] : order) {
    for (TypeOption& option : plans[i].options) {
      if (!option.is_measured && option.error > 0) {
        PARING_TRY_VOID(measure_option(plans[i], option));
      }
    }
    progress.advance(1);
  }
  progress.end();
  return {};
}

}  // namespace paring::shrink
