// SPDX-License-Identifier: Apache-2.0
// Plots of whole models: size against loss, loss by percentile, time, speed.
#include "shrink/report_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/text.h"
#include "shrink/report_svg.h"
#include "shrink/report_text.h"

namespace paring::shrink::report {
namespace {

constexpr double kWideWidth = 1040;
constexpr double kHalfWidth = 510;
constexpr double kBytesPerMegabyte = 1e6;

double megabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / kBytesPerMegabyte; }

// One entry of a legend, drawn from left to right.
class Legend {
 public:
  Legend(Svg& svg, double x, double y) : svg_(svg), x_(x), y_(y) {}
  void mark(Mark mark, double radius, std::string_view css_class, std::string_view label) {
    svg_.mark(mark, x_ + 6, y_ - 4, radius, css_class);
    label_after(16, label);
  }
  void line(std::string_view css_class, std::string_view label) {
    svg_.line(x_, y_ - 4, x_ + 22, y_ - 4, css_class);
    label_after(28, label);
  }
  void swatch(std::string_view css_class, std::string_view label) {
    svg_.rect({x_, y_ - 10, 12, 12}, css_class, 2);
    label_after(18, label);
  }

 private:
  // Labels are ASCII literals, 6.2 px a character at the legend's size.
  void label_after(double offset, std::string_view label) {
    svg_.text(x_ + offset, y_, label, "legend");
    x_ += offset + 6.2 * static_cast<double>(label.size()) + 20;
  }
  Svg& svg_;
  double x_;
  double y_;
};

bool is_drawable(const Candidate& candidate, const Axis& kl_axis) {
  return is_plottable(candidate.kl) && (!kl_axis.is_log || candidate.kl > 0);
}

struct SizeKlAxes {
  Axis size;
  Axis kl;
};

SizeKlAxes fit_size_kl(const OptimizeResult& result, const Box& area) {
  std::vector<double> sizes;
  std::vector<double> losses;
  for (const Candidate& candidate : result.candidates) {
    sizes.push_back(megabytes(candidate.file_bytes));
    losses.push_back(candidate.kl);
    losses.push_back(candidate.predicted_kl);
  }
  if (result.budget.file_bytes > 0) sizes.push_back(megabytes(result.budget.file_bytes));
  if (result.budget.kl_max > 0) losses.push_back(result.budget.kl_max);
  // A loss of exactly zero (a candidate equal to the original) has no place on a log axis.
  std::erase_if(losses, [](double kl) { return kl == 0; });
  SizeKlAxes axes;
  axes.size = fit_axis(sizes, {.start = area.x, .end = area.x + area.width});
  // Room for the winner's label, which lies at the budget and so often at the right edge.
  axes.size.high += 0.25 * (axes.size.high - axes.size.low);
  axes.kl = fit_axis(
      losses, {.start = area.y + area.height, .end = area.y, .from_zero = true, .allow_log = true});
  return axes;
}

void draw_budget(Svg& svg, const Budget& budget, const SizeKlAxes& axes, const Box& area) {
  const double right = budget.file_bytes > 0 ? axes.size.position(megabytes(budget.file_bytes))
                                             : area.x + area.width;
  const double top = budget.kl_max > 0 ? axes.kl.position(budget.kl_max) : area.y;
  if (budget.file_bytes == 0 && budget.kl_max <= 0) return;
  svg.rect({area.x, top, right - area.x, area.y + area.height - top}, "feasible");
  if (budget.file_bytes > 0) {
    svg.line(right, area.y, right, area.y + area.height, "budget-line");
    const bool is_left = right > area.x + area.width - 160;
    svg.text(right + (is_left ? -6 : 6), area.y + 14, "budget: " + format_bytes(budget.file_bytes),
             "budget-label", is_left ? Anchor::kEnd : Anchor::kStart);
  }
  if (budget.kl_max > 0) {
    svg.line(area.x, top, area.x + area.width, top, "budget-line");
    svg.text(area.x + 6, top - 6, "budget: KL " + number(budget.kl_max), "budget-label");
  }
}

void draw_front(Svg& svg, const OptimizeResult& result, const SizeKlAxes& axes, const Box& area) {
  std::vector<double> points;
  for (const std::size_t index : pareto_front(result.candidates)) {
    const Candidate& candidate = result.candidates[index];
    if (!is_drawable(candidate, axes.kl)) continue;
    const double x = axes.size.position(megabytes(candidate.file_bytes));
    const double y = axes.kl.position(candidate.kl);
    // Between two candidates the smaller one is the best that was found: a step.
    if (!points.empty()) points.insert(points.end(), {x, points.back()});
    points.insert(points.end(), {x, y});
  }
  if (points.empty()) return;
  points.insert(points.end(), {area.x + area.width, points.back()});
  svg.polyline(points, "front");
}

std::string candidate_tip(const Candidate& candidate, std::size_t index) {
  std::string tip = fmt::format("{} {}: {}, KL measured {} &#177; {}, predicted {}", index + 1,
                                escape_cut(candidate.name, 80), format_bytes(candidate.file_bytes),
                                number(candidate.kl), number(candidate.kl_standard_error, 2),
                                number(candidate.predicted_kl));
  if (candidate.decode_tokens_per_second > 0) {
    tip += fmt::format(", decode {} tokens/s", fixed(candidate.decode_tokens_per_second, 1));
  }
  return tip + (candidate.is_winner ? ", chosen" : "");
}

// Predicted and measured loss of one candidate, joined by a line: its length is the error of the
// prediction.
void draw_candidate(Svg& svg, const Candidate& candidate, std::size_t index,
                    const SizeKlAxes& axes) {
  const double x = axes.size.position(megabytes(candidate.file_bytes));
  const bool has_prediction =
      is_plottable(candidate.predicted_kl) && (!axes.kl.is_log || candidate.predicted_kl > 0);
  const bool is_measured = is_drawable(candidate, axes.kl);
  if (!has_prediction && !is_measured) return;
  svg.open_tip(candidate_tip(candidate, index));
  const double measured = axes.kl.position(candidate.kl);
  const double predicted = axes.kl.position(candidate.predicted_kl);
  if (has_prediction && is_measured) svg.line(x, measured, x, predicted, "joint");
  if (has_prediction) svg.mark(Mark::kDiamond, x, predicted, 4, "predicted");
  if (is_measured) {
    if (is_plottable(candidate.kl_standard_error) && candidate.kl_standard_error > 0) {
      const double upper = axes.kl.position(candidate.kl + candidate.kl_standard_error);
      const double lower = axes.kl.position(candidate.kl - candidate.kl_standard_error);
      svg.line(x, upper, x, lower, "error-bar");
      svg.line(x - 4, upper, x + 4, upper, "error-bar");
      svg.line(x - 4, lower, x + 4, lower, "error-bar");
    }
    if (candidate.is_winner) {
      svg.mark(Mark::kStar, x, measured, 11, "winner");
    } else {
      svg.mark(Mark::kCircle, x, measured, 5, "measured");
    }
  }
  svg.close();
}

// The winner's name and the numbers of the others, as far as they fit.
void draw_candidate_labels(Svg& svg, const OptimizeResult& result, const SizeKlAxes& axes,
                           const Box& area) {
  LabelPlacer placer(area);
  if (result.budget.file_bytes > 0) {
    const double x = axes.size.position(megabytes(result.budget.file_bytes));
    placer.block({x - 2, area.y, 4, area.height});
  }
  std::vector<std::size_t> order(result.candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_partition(order.begin(), order.end(),
                        [&](std::size_t i) { return result.candidates[i].is_winner; });
  for (const Candidate& candidate : result.candidates) {
    const double x = axes.size.position(megabytes(candidate.file_bytes));
    if (is_drawable(candidate, axes.kl)) {
      placer.block({x - 6, axes.kl.position(candidate.kl) - 6, 12, 12});
    }
    placer.block({x - 5, axes.kl.position(candidate.predicted_kl) - 5, 10, 10});
  }
  for (const std::size_t index : order) {
    const Candidate& candidate = result.candidates[index];
    if (!is_drawable(candidate, axes.kl)) continue;
    const std::string label =
        candidate.is_winner ? fmt::format("{} chosen: {}, KL {}", index + 1,
                                          format_bytes(candidate.file_bytes), number(candidate.kl))
                            : fmt::format("{}", index + 1);
    LabelWish wish{axes.size.position(megabytes(candidate.file_bytes)),
                   axes.kl.position(candidate.kl), 6.9 * static_cast<double>(label.size()), 13};
    Box box;
    bool is_placed = placer.place(wish, &box);
    // The winner's label is worth a leader line, the others' numbers are in their tooltips.
    for (wish.gap = 24; candidate.is_winner && !is_placed && wish.gap < 120; wish.gap += 16) {
      is_placed = placer.place(wish, &box);
      if (is_placed) {
        const double end_x = std::clamp(wish.x, box.x, box.x + box.width);
        const double end_y = std::clamp(wish.y, box.y, box.y + box.height);
        svg.line(wish.x, wish.y, end_x, end_y, "leader");
      }
    }
    if (!is_placed) continue;
    svg.text(box.x + box.width / 2, box.y + 11, label,
             candidate.is_winner ? "winner-label" : "point-label", Anchor::kMiddle);
  }
}

struct Percentile {
  const char* label;
  double served;
  double weights;
};

std::array<Percentile, 7> percentiles(const OptimizeResult& result) {
  const measure::Divergence& s = result.served;
  const measure::Divergence& w = result.weights;
  return {{{"median", s.kl_median, w.kl_median},
           {"mean", s.kl_mean, w.kl_mean},
           {"p90", s.kl_p90, w.kl_p90},
           {"p95", s.kl_p95, w.kl_p95},
           {"p99", s.kl_p99, w.kl_p99},
           {"p99.9", s.kl_p999, w.kl_p999},
           {"max", s.kl_max, w.kl_max}}};
}

struct SpeedBar {
  const char* label;
  const measure::PhaseSpeed& speed;
  std::string_view css_class;
};

double finite_or_zero(double value) { return is_plottable(value) ? std::max(value, 0.0) : 0.0; }

// Whole percent; "<1 %" where that would read as nothing.
std::string share_text(double share) {
  return share > 0 && share < 0.005 ? "&lt;1&#160;%" : percent(share, 0);
}

void draw_speed_bar(Svg& svg, const SpeedBar& bar, const Axis& axis, double y) {
  const measure::PhaseSpeed& speed = bar.speed;
  const double value = finite_or_zero(speed.tokens_per_second);
  const double limit = finite_or_zero(speed.limit_tokens_per_second);
  const double end = axis.position(value);
  const bool has_limit = limit > 0;
  svg.open_tip(fmt::format("{}: {} tokens/s; the machine allows {}; {} of the limit", bar.label,
                           fixed(speed.tokens_per_second, 1),
                           fixed(speed.limit_tokens_per_second, 1), percent(speed.limit_share)));
  svg.text(axis.start - 8, y + 15, bar.label, "label", Anchor::kEnd);
  svg.rect({axis.start, y, end - axis.start, 22}, bar.css_class, 2);
  const double limit_x = axis.position(limit);
  if (has_limit) svg.line(limit_x, y - 4, limit_x, y + 26, "limit");
  std::string label = fixed(speed.tokens_per_second, 1);
  if (has_limit) label += fmt::format(" ({} of limit)", percent(speed.limit_share, 0));
  svg.text((has_limit && limit_x >= end ? limit_x : end) + 7, y + 15, label, "value");
  svg.close();
}

}  // namespace

std::vector<std::size_t> pareto_front(const std::vector<Candidate>& candidates) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (std::isfinite(candidates[i].kl)) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(candidates[a].file_bytes, candidates[a].kl) <
           std::pair(candidates[b].file_bytes, candidates[b].kl);
  });
  std::vector<std::size_t> front;
  for (const std::size_t index : order) {
    if (front.empty() || candidates[index].kl < candidates[front.back()].kl) front.push_back(index);
  }
  return front;
}

std::string size_kl_chart(const OptimizeResult& result) {
  const Box area{78, 40, kWideWidth - 78 - 20, 380};
  const SizeKlAxes axes = fit_size_kl(result, area);
  std::size_t undrawn = 0;
  for (const Candidate& candidate : result.candidates) undrawn += !is_drawable(candidate, axes.kl);
  Svg svg({.width = kWideWidth,
           .height = 476,
           .id = "chart-size",
           .title = "File size against measured KL divergence of every candidate",
           .description = fmt::format(
               "{} candidates, {} of them on the Pareto front, {} not drawn for want of a measured "
               "figure. All values stand in the candidates table.",
               result.candidates.size(), pareto_front(result.candidates).size(), undrawn)});
  Legend legend(svg, area.x, 20);
  legend.mark(Mark::kCircle, 5, "measured", "measured");
  legend.mark(Mark::kDiamond, 4, "predicted", "predicted by the search");
  legend.mark(Mark::kStar, 8, "winner", "chosen");
  legend.line("front", "Pareto front");
  legend.line("budget-line", "budget");
  draw_budget(svg, result.budget, axes, area);
  svg.x_axis(axes.size, area, "File size (MB)");
  svg.y_axis(axes.kl, area,
             axes.kl.is_log ? "Mean KL to the original (nats a token, log scale)"
                            : "Mean KL to the original (nats a token)");
  draw_front(svg, result, axes, area);
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    if (!result.candidates[i].is_winner) draw_candidate(svg, result.candidates[i], i, axes);
  }
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    if (result.candidates[i].is_winner) draw_candidate(svg, result.candidates[i], i, axes);
  }
  draw_candidate_labels(svg, result, axes, area);
  if (undrawn == result.candidates.size()) {
    svg.text(area.x + area.width / 2, area.y + area.height / 2, "no candidate was measured",
             "empty", Anchor::kMiddle);
  }
  return svg.take();
}

std::string percentile_chart(const OptimizeResult& result) {
  const Box area{78, 40, kHalfWidth - 78 - 16, 250};
  const auto points = percentiles(result);
  std::vector<double> values;
  for (const Percentile& point : points) {
    if (point.served > 0) values.push_back(point.served);
    if (point.weights > 0) values.push_back(point.weights);
  }
  const Axis axis = fit_axis(
      values, {.start = area.y + area.height, .end = area.y, .from_zero = true, .allow_log = true});
  Svg svg(
      {.width = kHalfWidth,
       .height = 340,
       .id = "chart-percentiles",
       .title = "KL divergence by percentile of tokens",
       .description = fmt::format("Mean {} as served and {} for the weights alone; 99th "
                                  "percentile {} and {}.",
                                  number(result.served.kl_mean), number(result.weights.kl_mean),
                                  number(result.served.kl_p99), number(result.weights.kl_p99))});
  Legend legend(svg, area.x, 20);
  legend.mark(Mark::kCircle, 5, "measured", "as served");
  legend.mark(Mark::kSquare, 5, "weights-only", "weights only");
  svg.y_axis(axis, area, axis.is_log ? "KL (nats, log scale)" : "KL (nats)");
  svg.line(area.x, area.y + area.height, area.x + area.width, area.y + area.height, "axis");
  const double step = area.width / static_cast<double>(points.size());
  const auto series = [&](double Percentile::* member, Mark mark, std::string_view css_class,
                          std::string_view name) {
    std::vector<double> path;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double value = points[i].*member;
      if (!is_plottable(value) || (axis.is_log && value <= 0)) continue;
      const double x = area.x + (static_cast<double>(i) + 0.5) * step;
      path.insert(path.end(), {x, axis.position(value)});
    }
    svg.polyline(path, std::string(css_class) + "-line");
    for (std::size_t i = 0; i < points.size(); ++i) {
      const double value = points[i].*member;
      if (!is_plottable(value) || (axis.is_log && value <= 0)) continue;
      const double x = area.x + (static_cast<double>(i) + 0.5) * step;
      svg.open_tip(fmt::format("{} {}: {}", points[i].label, name, number(value, 4)));
      svg.mark(mark, x, axis.position(value), 4.5, css_class);
      svg.close();
    }
  };
  series(&Percentile::weights, Mark::kSquare, "weights-only", "weights only");
  series(&Percentile::served, Mark::kCircle, "measured", "as served");
  for (std::size_t i = 0; i < points.size(); ++i) {
    svg.text(area.x + (static_cast<double>(i) + 0.5) * step, area.y + area.height + 17,
             points[i].label, "tick", Anchor::kMiddle);
  }
  svg.text(area.x + area.width / 2, area.y + area.height + 38, "percentile of tokens, and the mean",
           "axis-title", Anchor::kMiddle);
  return svg.take();
}

std::string phase_chart(const OptimizeResult& result) {
  constexpr double kRow = 30;
  const std::size_t rows = std::max<std::size_t>(result.phases.size(), 1);
  const Box area{184, 10, kHalfWidth - 184 - 108, kRow * static_cast<double>(rows)};
  std::vector<double> values;
  double total = 0;
  for (const PhaseTime& phase : result.phases) {
    values.push_back(finite_or_zero(phase.seconds));
    total += values.back();
  }
  Axis axis = fit_axis(values, {.start = area.x, .end = area.x + area.width, .from_zero = true});
  Svg svg({.width = kHalfWidth,
           .height = area.height + 60,
           .id = "chart-phases",
           .title = "Time of the run by phase",
           .description =
               fmt::format("{} phases, {} in total.", result.phases.size(), seconds(total))});
  svg.x_axis(axis, area, "seconds");
  double y = area.y;
  for (std::size_t i = 0; i < result.phases.size(); ++i, y += kRow) {
    const PhaseTime& phase = result.phases[i];
    svg.open_tip(fmt::format("{}: {}", escape_cut(phase.name, 80), seconds(phase.seconds)));
    svg.text(area.x - 8, y + 19, escape_cut(phase.name, 26), "label", Anchor::kEnd);
    const double end = axis.position(values[i]);
    svg.rect({area.x, y + 5, end - area.x, 20}, "bar", 2);
    svg.text(end + 6, y + 19,
             total > 0
                 ? fmt::format("{}, {}", seconds(phase.seconds), share_text(values[i] / total))
                 : seconds(phase.seconds),
             "value");
    svg.close();
  }
  if (result.phases.empty()) {
    svg.text(area.x + area.width / 2, area.y + 19, "no phase was timed", "empty", Anchor::kMiddle);
  }
  return svg.take();
}

std::string speed_chart(const OptimizeResult& result) {
  const measure::BenchResult& before = result.before.speed;
  const measure::BenchResult& after = result.after.speed;
  Svg svg(
      {.width = kWideWidth,
       .height = 150,
       .id = "chart-speed",
       .title = "Speed before and after, against this machine's limit",
       .description = fmt::format(
           "Decode from {} to {} tokens a second, limits {} and {}; prefill from {} to {}, limits "
           "{} and {}.",
           fixed(before.decode.tokens_per_second, 1), fixed(after.decode.tokens_per_second, 1),
           fixed(before.decode.limit_tokens_per_second, 1),
           fixed(after.decode.limit_tokens_per_second, 1),
           fixed(before.prefill.tokens_per_second, 1), fixed(after.prefill.tokens_per_second, 1),
           fixed(before.prefill.limit_tokens_per_second, 1),
           fixed(after.prefill.limit_tokens_per_second, 1))});
  // Left: decode; right: prefill. The scales differ by an order of magnitude, so each has its own.
  const auto panel = [&](double x, const char* title, const measure::PhaseSpeed& original,
                         const measure::PhaseSpeed& optimized) {
    const Box area{x + 62, 26, 330, 78};
    const Axis axis = fit_axis(std::vector{finite_or_zero(original.tokens_per_second),
                                           finite_or_zero(optimized.tokens_per_second),
                                           finite_or_zero(original.limit_tokens_per_second),
                                           finite_or_zero(optimized.limit_tokens_per_second)},
                               {.start = area.x, .end = area.x + area.width, .from_zero = true});
    svg.text(area.x, 14, title, "panel-title");
    svg.x_axis(axis, area, "tokens a second; the thick line is the limit");
    draw_speed_bar(svg, {"before", original, "bar-before"}, axis, area.y + 8);
    draw_speed_bar(svg, {"after", optimized, "bar"}, axis, area.y + 48);
  };
  panel(0, "Decode (one token at a time)", before.decode, after.decode);
  panel(kWideWidth / 2 + 8, "Prefill (reading the prompt)", before.prefill, after.prefill);
  return svg.take();
}

}  // namespace paring::shrink::report
