// SPDX-License-Identifier: Apache-2.0
#include "shrink/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace paring::shrink {

namespace {

using model::MatrixId;
using model::MatrixKind;
using model::TapSite;

// Sums squares in double, per site, layer and column; several matrices share a site.
class SquareTap : public model::Taps {
 public:
  bool wants(TapSite site) const override { return site != TapSite::kLayerInput; }

  void observe(TapSite site, std::size_t layer, const float* data, std::size_t rows,
               std::size_t width) override {
    std::vector<double>& sums = sums_[{site, layer}];
    sums.resize(width);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* row = data + r * width;
      for (std::size_t c = 0; c < width; ++c) sums[c] += static_cast<double>(row[c]) * row[c];
    }
  }

  // Mean squares of the inputs of every slot; empty for an embedding that is only gathered from.
  std::vector<std::vector<float>> means(const model::Model& model, std::size_t tokens) const {
    std::vector<std::vector<float>> result(model.matrix_count());
    for (std::size_t i = 0; i < result.size(); ++i) {
      const MatrixId id = model.slot(i).id;
      if (id.kind == MatrixKind::kEmbedding && !model.spec().tied_head) continue;
      const TapSite site = model::input_site(id.kind);
      const auto found =
          sums_.find({site, site == TapSite::kHeadInput ? model.spec().layers : id.layer});
      if (found == sums_.end()) continue;
      for (const double sum : found->second) {
        result[i].push_back(static_cast<float>(sum / static_cast<double>(tokens)));
      }
    }
    return result;
  }

 private:
  std::map<std::pair<TapSite, std::size_t>, std::vector<double>> sums_;
};

}  // namespace

Result<Statistics> collect_statistics(measure::Evaluator& evaluator, const model::ModelView& view,
                                      const measure::Windows& windows, ProgressSink& progress) {
  SquareTap tap;
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
  statistics.mean_squares = tap.means(view.model(), statistics.tokens);
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
