// SPDX-License-Identifier: Apache-2.0
#include "shrink/statistics.h"

#include <fmt/format.h>

#include <algorithm>

namespace paring::shrink {

namespace {

using model::MatrixId;
using model::MatrixKind;
using model::TapSite;

// Sums squares in double, per site and column; several matrices share a site.
class SquareTap : public model::Taps {
 public:
  explicit SquareTap(const model::Model& model) : model_(model), sums_(model.matrix_count()) {
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i].resize(model.slot(i).cols);
  }
  bool wants(TapSite site) const override { return site != TapSite::kLayerInput; }

  void observe(TapSite site, std::size_t layer, const float* data, std::size_t rows,
               std::size_t width) override {
    std::vector<double>& sums = sums_[first_reader(site, layer)];
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = data + r * width;
      for (std::size_t c = 0; c < width; ++c) sums[c] += static_cast<double>(row[c]) * row[c];
    }
  }

  // Mean squares for every slot; readers of one site share its sums.
  std::vector<std::vector<float>> means(std::size_t tokens) const {
    std::vector<std::vector<float>> result(sums_.size());
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      const std::vector<double>* sums = source_of(i);
      if (sums == nullptr) continue;
      result[i].resize(sums->size());
      for (std::size_t c = 0; c < sums->size(); ++c) {
        result[i][c] = static_cast<float>((*sums)[c] / static_cast<double>(tokens));
      }
    }
    return result;
  }

 private:
  std::size_t head_index() const {
    const bool tied = model_.spec().tied_head;
    return model_.index_of({tied ? MatrixKind::kEmbedding : MatrixKind::kHead, 0});
  }

  std::size_t first_reader(TapSite site, std::size_t layer) const {
    switch (site) {
      case TapSite::kAttentionInput:
        return model_.index_of({MatrixKind::kQuery, layer});
      case TapSite::kAttentionOutput:
        return model_.index_of({MatrixKind::kAttentionOut, layer});
      case TapSite::kFfnInput:
        return model_.index_of({MatrixKind::kGate, layer});
      case TapSite::kFfnProduct:
        return model_.index_of({MatrixKind::kDown, layer});
      case TapSite::kHeadInput:
      case TapSite::kLayerInput:
        break;
    }
    return head_index();
  }

  const std::vector<double>* source_of(std::size_t slot) const {
    const MatrixId id = model_.slot(slot).id;
    switch (id.kind) {
      case MatrixKind::kKey:
      case MatrixKind::kValue:
        return &sums_[model_.index_of({MatrixKind::kQuery, id.layer})];
      case MatrixKind::kUp:
        return &sums_[model_.index_of({MatrixKind::kGate, id.layer})];
      case MatrixKind::kEmbedding:
        return model_.spec().tied_head ? &sums_[slot] : nullptr;
      default:
        return &sums_[slot];
    }
  }

  const model::Model& model_;
  std::vector<std::vector<double>> sums_;  // only a site's first reader is filled
};

}  // namespace

Result<Statistics> collect_statistics(measure::Evaluator& evaluator, const model::ModelView& view,
                                      const measure::Windows& windows, ProgressSink& progress) {
  SquareTap tap(view.model());
  model::ForwardOptions options;
  options.taps = &tap;
  Statistics statistics;
  statistics.text_name = windows.name;
  statistics.text_sha256 = windows.sha256;
  progress.begin("statistics", windows.windows.size());
  const std::size_t per_step = evaluator.windows_per_step(windows.context);
  for (std::size_t first = 0; first < windows.windows.size(); first += per_step) {
    std::vector<std::span<const std::int32_t>> inputs;
    for (std::size_t w = first; w < std::min(windows.windows.size(), first + per_step); ++w) {
      inputs.emplace_back(windows.windows[w]);
      statistics.tokens += windows.context;
    }
    // Every row reaches the head's tap; no sink, so no logits are computed.
    PARING_TRY_VOID(evaluator.run(view, inputs, windows.context, measure::kExactOptions, options));
    progress.advance(inputs.size());
  }
  progress.end();
  statistics.mean_squares = tap.means(statistics.tokens);
  for (std::size_t i = 0; i < statistics.mean_squares.size(); ++i) {
    const auto& row = statistics.mean_squares[i];
    const bool is_zero = std::all_of(row.begin(), row.end(), [](float v) { return !(v > 0); });
    if (!row.empty() && is_zero) {
      return Error{
          ErrorCode::kInternal,
          fmt::format("calibration saw only zeros at the input of {}", view.model().slot(i).name)};
    }
  }
  return statistics;
}

}  // namespace paring::shrink
