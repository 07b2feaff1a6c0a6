// SPDX-License-Identifier: Apache-2.0
// Plots of single matrices: the map of types by layer, and which matrices lose most.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "shrink/report_charts.h"
#include "shrink/report_svg.h"
#include "shrink/report_text.h"

namespace paring::shrink::report {
namespace {

constexpr double kWidth = 1040;
constexpr std::size_t kLayersPerBand = 32;  // cells stay wide enough for a type's name
constexpr std::size_t kLayersMin = 16;      // small models do not get huge cells
constexpr std::size_t kOthersMax = 24;      // matrices outside layers that are drawn
constexpr std::size_t kKindsMax = 16;
constexpr std::size_t kSensitiveMax = 20;
constexpr double kCellHeight = 22;
constexpr double kLabelWidth = 76;

struct LayerMatrix {
  std::size_t layer;
  std::string_view kind;
};

// "blk.3.attn_q.weight" is layer 3, "attn_q" (GGUF's names).
std::optional<LayerMatrix> parse_name(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  constexpr std::string_view kSuffix = ".weight";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  if (name.size() <= kSuffix.size()) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  std::size_t layer = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const auto used = static_cast<std::size_t>(stop - name.data());
  if (error != std::errc() || used >= name.size() || name[used] != '.') return std::nullopt;
  const std::string_view kind = name.substr(used + 1);
  if (kind.empty()) return std::nullopt;
  return LayerMatrix{layer, kind};
}

struct KindLabel {
  const char* kind;
  const char* label;
};
constexpr std::array<KindLabel, 7> kKinds = {{{"attn_q", "q"},
                                              {"attn_k", "k"},
                                              {"attn_v", "v"},
                                              {"attn_output", "o"},
                                              {"ffn_gate", "gate"},
                                              {"ffn_up", "up"},
                                              {"ffn_down", "down"}}};

// The plans sorted into a grid of layers and kinds; what fits nowhere is in `others`.
struct TypeGrid {
  std::vector<std::size_t> layers;
  std::vector<std::string> kinds;
  std::map<std::pair<std::size_t, std::string>, const MatrixPlan*> cells;
  std::vector<const MatrixPlan*> others;
};

TypeGrid make_grid(const std::vector<MatrixPlan>& plans) {
  TypeGrid grid;
  std::set<std::size_t> layers;
  std::set<std::string> kinds;
  for (const MatrixPlan& plan : plans) {
    const std::optional<LayerMatrix> place = parse_name(plan.name);
    const std::string kind = place ? std::string(place->kind) : std::string();
    const bool has_room = place && (kinds.contains(kind) || kinds.size() < kKindsMax);
    if (!has_room || !grid.cells.try_emplace({place->layer, kind}, &plan).second) {
      grid.others.push_back(&plan);
      continue;
    }
    layers.insert(place->layer);
    kinds.insert(kind);
  }
  grid.layers.assign(layers.begin(), layers.end());
  for (const KindLabel& known : kKinds) {
    if (kinds.erase(known.kind) > 0) grid.kinds.emplace_back(known.kind);
  }
  grid.kinds.insert(grid.kinds.end(), kinds.begin(), kinds.end());
  return grid;
}

std::string kind_label(const std::string& kind) {
  for (const KindLabel& known : kKinds) {
    if (kind == known.kind) return known.label;
  }
  return escape_cut(kind, 10);
}

std::string plan_tip(const MatrixPlan& plan) {
  std::string tip =
      fmt::format("{}: {} {} {}, {} bits a weight, {} by {}", escape_cut(plan.name, 80),
                  dtype_name(plan.original), kArrow, dtype_name(plan.chosen),
                  number(dtype_info(plan.chosen).bits_per_weight()), plan.rows, plan.cols);
  if (const auto bytes = matrix_bytes(plan, plan.chosen)) tip += ", " + format_bytes(*bytes);
  if (const auto kl = chosen_kl(plan)) tip += ", KL alone " + number(*kl);
  return tip;
}

void draw_cell(Svg& svg, const MatrixPlan& plan, const Box& box) {
  const std::size_t shade = bits_class(plan.chosen);
  const std::string_view name = dtype_name(plan.chosen);
  svg.open_tip(plan_tip(plan));
  svg.rect(box, fmt::format("cell b{}", shade), 2);
  // Six letters (IQ4_NL) do not fit into a cell of 30 px: bits instead.
  const bool fits = static_cast<double>(name.size()) * 6.0 <= box.width;
  svg.text(box.x + box.width / 2, box.y + box.height / 2 + 3.5,
           fits ? std::string(name) : number(dtype_info(plan.chosen).bits_per_weight()),
           fmt::format("cell-text bt{}", shade), Anchor::kMiddle);
  svg.close();
}

// A band of up to kLayersPerBand layers; returns its height.
double draw_band(Svg& svg, const TypeGrid& grid, std::size_t first, double top) {
  const std::size_t count = std::min(kLayersPerBand, grid.layers.size() - first);
  // As wide as the layers allow, but the same in every band.
  const std::size_t columns = std::clamp(grid.layers.size(), kLayersMin, kLayersPerBand);
  const double cell = (kWidth - kLabelWidth) / static_cast<double>(columns);
  for (std::size_t row = 0; row < grid.kinds.size(); ++row) {
    const double y = top + 16 + static_cast<double>(row) * kCellHeight;
    svg.text(kLabelWidth - 8, y + 15, kind_label(grid.kinds[row]), "label", Anchor::kEnd);
    for (std::size_t column = 0; column < count; ++column) {
      const double x = kLabelWidth + static_cast<double>(column) * cell;
      const auto found = grid.cells.find({grid.layers[first + column], grid.kinds[row]});
      const Box box{x, y, cell - 1.5, kCellHeight - 1.5};
      if (found != grid.cells.end()) {
        draw_cell(svg, *found->second, box);
      } else {
        svg.rect(box, "cell absent", 2);
      }
    }
  }
  svg.text(kLabelWidth - 8, top + 11, "layer", "tick", Anchor::kEnd);
  for (std::size_t column = 0; column < count; ++column) {
    const double x = kLabelWidth + (static_cast<double>(column) + 0.5) * cell;
    svg.text(x, top + 11, fmt::format("{}", grid.layers[first + column]), "tick", Anchor::kMiddle);
  }
  return 16 + static_cast<double>(grid.kinds.size()) * kCellHeight + 12;
}

// Types in use, fewest bits first.
std::vector<DType> types_in(const std::set<DType>& types) {
  std::vector<DType> sorted(types.begin(), types.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](DType a, DType b) {
    return dtype_info(a).bits_per_weight() < dtype_info(b).bits_per_weight();
  });
  return sorted;
}

void draw_type_legend(Svg& svg, const std::vector<MatrixPlan>& plans) {
  std::map<DType, std::size_t> counts;
  std::set<DType> used;
  for (const MatrixPlan& plan : plans) {
    ++counts[plan.chosen];
    used.insert(plan.chosen);
  }
  double x = kLabelWidth;
  for (const DType type : types_in(used)) {
    const std::string label = fmt::format("{}: {} bits, {} {}", dtype_name(type),
                                          number(dtype_info(type).bits_per_weight()), counts[type],
                                          counts[type] == 1 ? "matrix" : "matrices");
    svg.rect({x, 6, 14, 14}, fmt::format("cell b{}", bits_class(type)), 2);
    svg.text(x + 20, 18, label, "legend");
    x += 20 + 6.2 * static_cast<double>(label.size()) + 18;
  }
}

// Matrices outside the layers (embedding, head) as wide cells.
void draw_others(Svg& svg, const TypeGrid& grid, double top) {
  constexpr std::size_t kPerRow = 3;
  const double cell = (kWidth - kLabelWidth) / static_cast<double>(kPerRow);
  const std::size_t count = std::min(kOthersMax, grid.others.size());
  svg.text(kLabelWidth - 8, top + 15, "others", "label", Anchor::kEnd);
  for (std::size_t i = 0; i < count; ++i) {
    const MatrixPlan& plan = *grid.others[i];
    const double x = kLabelWidth + static_cast<double>(i % kPerRow) * cell;
    const double y = top + static_cast<double>(i / kPerRow) * (kCellHeight + 2);
    draw_cell(svg, plan, {x, y, 58, kCellHeight - 1.5});
    svg.text(x + 66, y + 15, escape_cut(plan.name, 36), "label");
  }
}

// Sorted by the greatest loss of any type, which is that of the smallest.
std::vector<const MatrixPlan*> most_sensitive(const std::vector<MatrixPlan>& plans) {
  std::vector<std::pair<double, const MatrixPlan*>> ranked;
  for (const MatrixPlan& plan : plans) {
    double worst = -1;
    for (const TypeOption& option : plan.options) {
      if (is_plottable(option.predicted_kl)) worst = std::max(worst, option.predicted_kl);
    }
    if (worst > 0) ranked.emplace_back(worst, &plan);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const MatrixPlan*> plans_sorted;
  for (const auto& [worst, plan] : ranked) {
    if (plans_sorted.size() < kSensitiveMax) plans_sorted.push_back(plan);
  }
  return plans_sorted;
}

struct SensitivityScale {
  Axis axis;
  std::vector<DType> types;  // position is the series
};

SensitivityScale fit_sensitivity(const std::vector<const MatrixPlan*>& plans, const Box& area) {
  SensitivityScale scale;
  std::vector<double> values;
  std::set<DType> types;
  for (const MatrixPlan* plan : plans) {
    for (const TypeOption& option : plan->options) {
      if (!is_plottable(option.predicted_kl) || option.predicted_kl <= 0) continue;
      values.push_back(option.predicted_kl);
      types.insert(option.type);
    }
  }
  scale.axis = fit_axis(
      values, {.start = area.x, .end = area.x + area.width, .from_zero = true, .allow_log = true});
  scale.types = types_in(types);
  return scale;
}

void draw_sensitivity_row(Svg& svg, const MatrixPlan& plan, const SensitivityScale& scale,
                          double y) {
  const std::optional<double> chosen = chosen_kl(plan);
  svg.text(scale.axis.start - 8, y + 4, escape_cut(plan.name, 28), "label", Anchor::kEnd);
  if (chosen && *chosen > 0 && is_plottable(*chosen)) {
    const double end = scale.axis.position(*chosen);
    svg.rect({scale.axis.start, y - 4, end - scale.axis.start, 8}, "sensitivity-bar", 1);
  }
  for (const TypeOption& option : plan.options) {
    if (!is_plottable(option.predicted_kl) || option.predicted_kl <= 0) continue;
    const auto series = static_cast<std::size_t>(
        std::find(scale.types.begin(), scale.types.end(), option.type) - scale.types.begin());
    const double x = scale.axis.position(option.predicted_kl);
    const bool is_chosen = option.type == plan.chosen;
    svg.open_tip(fmt::format("{} in {}: KL {} ({}){}", escape_cut(plan.name, 80),
                             dtype_name(option.type), number(option.predicted_kl),
                             option.is_measured ? "measured" : "predicted",
                             is_chosen ? ", chosen" : ""));
    if (is_chosen) svg.mark(Mark::kCircle, x, y, 9, "chosen-ring");
    svg.mark(series_mark(series), x, y, 4.5,
             fmt::format("{}{}", option.is_measured ? "solid s" : "hollow s", series % 6));
    svg.close();
  }
}

void draw_sensitivity_legend(Svg& svg, const SensitivityScale& scale, double x) {
  for (std::size_t series = 0; series < scale.types.size(); ++series) {
    const std::string_view name = dtype_name(scale.types[series]);
    svg.mark(series_mark(series), x + 6, 15, 4.5, fmt::format("solid s{}", series % 6));
    svg.text(x + 16, 19, name, "legend");
    x += 16 + 6.6 * static_cast<double>(name.size()) + 16;
  }
  x += 8;
  svg.mark(Mark::kCircle, x + 6, 15, 4.5, "solid neutral");
  svg.text(x + 16, 19, "measured", "legend");
  svg.mark(Mark::kCircle, x + 90, 15, 4.5, "hollow neutral");
  svg.text(x + 100, 19, "extrapolated", "legend");
  svg.rect({x + 188, 11, 16, 8}, "sensitivity-bar", 1);
  svg.mark(Mark::kCircle, x + 208, 15, 9, "chosen-ring");
  svg.text(x + 222, 19, "chosen type", "legend");
}

}  // namespace

std::size_t bits_class(DType type) {
  // Between the sizes of the usual types: 2.6, 3.4, 4.5, 5, 5.5, 6 to 6.6, 8.5, 16 bits a weight.
  constexpr double kUpTo[] = {2.8, 3.8, 4.7, 5.2, 5.8, 7.5, 12};
  const double bits = dtype_info(type).bits_per_weight();
  std::size_t shade = 0;
  while (shade < std::size(kUpTo) && bits > kUpTo[shade]) ++shade;
  return shade;
}

std::string type_map_chart(const OptimizeResult& result) {
  const TypeGrid grid = make_grid(result.plans);
  const std::size_t bands = (grid.layers.size() + kLayersPerBand - 1) / kLayersPerBand;
  const std::size_t shown = std::min(kOthersMax, grid.others.size());
  const double band_height = 28 + static_cast<double>(grid.kinds.size()) * kCellHeight;
  const double others_height = static_cast<double>((shown + 2) / 3) * (kCellHeight + 2);
  const double height = 34 + static_cast<double>(bands) * band_height + others_height + 12;
  Svg svg({.width = kWidth,
           .height = result.plans.empty() ? 60 : height,
           .id = "chart-types",
           .title = "Chosen type of every matrix by layer",
           .description = fmt::format(
               "{} matrices in {} layers, and {} outside layers of which {} are drawn. More bits "
               "are darker; every cell carries its type. All of them stand in the recipe table.",
               grid.cells.size(), grid.layers.size(), grid.others.size(), shown)});
  if (result.plans.empty()) {
    svg.text(kWidth / 2, 34, "no matrices", "empty", Anchor::kMiddle);
    return svg.take();
  }
  draw_type_legend(svg, result.plans);
  double top = 34;
  for (std::size_t first = 0; first < grid.layers.size(); first += kLayersPerBand) {
    top += draw_band(svg, grid, first, top);
  }
  if (shown > 0) draw_others(svg, grid, top);
  return svg.take();
}

std::string sensitivity_chart(const OptimizeResult& result) {
  constexpr double kRow = 21;
  const std::vector<const MatrixPlan*> plans = most_sensitive(result.plans);
  const Box area{220, 36, kWidth - 220 - 24,
                 kRow * static_cast<double>(std::max<std::size_t>(plans.size(), 2))};
  const SensitivityScale scale = fit_sensitivity(plans, area);
  Svg svg({.width = kWidth,
           .height = area.y + area.height + 52,
           .id = "chart-sensitivity",
           .title = "KL divergence when one matrix alone takes a type",
           .description = fmt::format(
               "The {} most sensitive of {} matrices, most sensitive first. Filled marks were "
               "measured, hollow ones extrapolated from the error of the weights.",
               plans.size(), result.plans.size())});
  draw_sensitivity_legend(svg, scale, area.x);
  svg.x_axis(scale.axis, area,
             scale.axis.is_log ? "KL to the original, this matrix alone (nats a token, log scale)"
                               : "KL to the original, this matrix alone (nats a token)");
  double y = area.y + kRow / 2;
  for (const MatrixPlan* plan : plans) {
    draw_sensitivity_row(svg, *plan, scale, y);
    y += kRow;
  }
  if (plans.empty()) {
    svg.text(area.x + area.width / 2, area.y + 24, "no sensitivity was measured", "empty",
             Anchor::kMiddle);
  }
  return svg.take();
}

}  // namespace paring::shrink::report
