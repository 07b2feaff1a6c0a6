// SPDX-License-Identifier: Apache-2.0
#include "shrink/report_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numbers>
#include <utility>

#include "base/check.h"
#include "shrink/report_text.h"

namespace paring::shrink::report {
namespace {

constexpr double kLogDecadesMax = 9;

const char* anchor_name(Anchor anchor) {
  constexpr const char* kNames[] = {"start", "middle", "end"};
  return kNames[static_cast<std::size_t>(anchor)];
}

// 1, 2 or 5 times a power of ten, so that about `count` steps cover `span`.
double round_step(double span, std::size_t count) {
  const double raw = span / static_cast<double>(std::max<std::size_t>(count, 1));
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double multiple : {1.0, 2.0, 5.0}) {
    if (multiple * power >= raw * 0.999) return multiple * power;
  }
  return 10 * power;
}

std::vector<Tick> linear_ticks(double low, double high, std::size_t count) {
  std::vector<Tick> ticks;
  const double step = round_step(high - low, count);
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
  const double slack = step * 1e-6;
  for (double index = std::ceil((low - slack) / step); index * step <= high + slack; ++index) {
    const double value = index == 0 ? 0 : index * step;  // no negative zero
    ticks.push_back({value, high < 1e-3 ? number(value) : fixed(value, decimals)});
    if (ticks.size() > 50) break;
  }
  return ticks;
}

std::vector<Tick> log_ticks(double low, double high) {
  const double decades = std::log10(high / low);
  std::vector<double> multiples = {1};
  if (decades < 4.2) multiples = {1, 3};
  if (decades < 1.6) multiples = {1, 2, 5};
  if (decades < 0.8) multiples = {1, 1.5, 2, 3, 4, 5, 7};
  std::vector<Tick> ticks;
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  for (int power = static_cast<int>(std::floor(std::log10(low))); power <= last; ++power) {
    for (const double multiple : multiples) {
      const double value = multiple * std::pow(10.0, power);
      if (value >= low * 0.9999 && value <= high * 1.0001) ticks.push_back({value, number(value)});
    }
  }
  return ticks;
}

// Corner points of a shape of radius 1, clockwise from the top.
std::vector<std::pair<double, double>> corners(Mark mark) {
  const auto ring = [](std::size_t count, double turn, double inner) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t i = 0; i < count; ++i) {
      const double angle =
          (static_cast<double>(i) / static_cast<double>(count) + turn) * 2 * std::numbers::pi;
      const double radius = i % 2 == 1 ? inner : 1.0;
      points.emplace_back(radius * std::sin(angle), -radius * std::cos(angle));
    }
    return points;
  };
  switch (mark) {
    case Mark::kSquare:
      return {{-.85, -.85}, {.85, -.85}, {.85, .85}, {-.85, .85}};
    case Mark::kDiamond:
      return {{0, -1.2}, {1.2, 0}, {0, 1.2}, {-1.2, 0}};
    case Mark::kTriangle:
      return {{0, -1.15}, {1.1, .85}, {-1.1, .85}};
    case Mark::kTriangleDown:
      return {{0, 1.15}, {1.1, -.85}, {-1.1, -.85}};
    case Mark::kHexagon:
      return ring(6, 1.0 / 12, 1.0);
    case Mark::kStar:
      return ring(10, 0, 0.45);
    case Mark::kPlus:
      return {{-.35, -1.1}, {.35, -1.1}, {.35, -.35}, {1.1, -.35}, {1.1, .35},   {.35, .35},
              {.35, 1.1},   {-.35, 1.1}, {-.35, .35}, {-1.1, .35}, {-1.1, -.35}, {-.35, -.35}};
    case Mark::kCircle:
      break;
  }
  return {};
}

}  // namespace

double Axis::position(double value) const noexcept {
  if (!(value > low)) return start;  // also NaN
  if (value >= high) return end;
  const double share =
      is_log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
  return start + share * (end - start);
}

std::vector<Tick> Axis::ticks(std::size_t count_wanted) const {
  if (is_log) {
    std::vector<Tick> found = log_ticks(low, high);
    if (found.size() >= 2) return found;
  }
  return linear_ticks(low, high, count_wanted);
}

Axis fit_axis(std::span<const double> values, const AxisRange& range) {
  double low = INFINITY;
  double high = -INFINITY;
  for (const double value : values) {
    if (!is_plottable(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  Axis axis{0, 1, range.start, range.end, false};
  if (low > high || (low == 0 && high == 0)) return axis;
  if (range.allow_log && low > 1e-300 && high >= 8 * low) {
    axis.is_log = true;
    low = std::max(low, high * std::pow(10.0, -kLogDecadesMax));
    const double margin = std::pow(high / low, 0.06);
    axis.low = range.pad_low ? low / margin : low;
    axis.high = high * margin;
    return axis;
  }
  if (range.from_zero) low = std::min(low, 0.0);
  double span = high - low;
  // A single value gets a neighbourhood of a tenth of itself, values close together less.
  const double span_min = std::max(std::abs(high) * (span > 0 ? 0.005 : 0.1), 1e-12);
  if (span < span_min) {
    low -= range.from_zero && low == 0 ? 0 : span_min / 2;
    high += span_min / 2;
    span = high - low;
  }
  const bool keep_low = !range.pad_low || (range.from_zero && low == 0);
  axis.low = keep_low ? low : low - 0.06 * span;
  axis.high = high + 0.06 * span;
  return axis;
}

Mark series_mark(std::size_t series) noexcept {
  constexpr std::array kMarks = {Mark::kCircle,   Mark::kSquare,       Mark::kDiamond,
                                 Mark::kTriangle, Mark::kTriangleDown, Mark::kHexagon};
  return kMarks[series % kMarks.size()];
}

bool Box::overlaps(const Box& other) const noexcept {
  return x < other.x + other.width && other.x < x + width && y < other.y + other.height &&
         other.y < y + height;
}

Svg::Svg(const SvgFrame& frame) {
  out_ = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\" aria-labelledby=\"{2}-title {2}-desc\">\n"
      "<title id=\"{2}-title\">{3}</title>\n<desc id=\"{2}-desc\">{4}</desc>\n",
      frame.width, frame.height, frame.id, frame.title, frame.description);
}

void Svg::open_tip(std::string_view tip) {
  out_ += fmt::format("<g class=\"tip\"><title>{}</title>", tip);
  ++depth_;
}

void Svg::open(std::string_view css_class) {
  out_ += fmt::format("<g class=\"{}\">", css_class);
  ++depth_;
}

void Svg::close() {
  PARING_CHECK(depth_ > 0, "SVG group closed twice");
  out_ += "</g>\n";
  --depth_;
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  out_ +=
      fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>",
                  css_class, x1, y1, x2, y2);
}

void Svg::polyline(std::span<const double> points, std::string_view css_class) {
  out_ += fmt::format("<polyline class=\"{}\" points=\"", css_class);
  for (std::size_t i = 0; i + 1 < points.size(); i += 2) {
    out_ += fmt::format("{}{:.1f},{:.1f}", i == 0 ? "" : " ", points[i], points[i + 1]);
  }
  out_ += "\"/>";
}

void Svg::rect(const Box& box, std::string_view css_class, double corner) {
  out_ +=
      fmt::format("<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"",
                  css_class, box.x, box.y, std::max(box.width, 0.0), std::max(box.height, 0.0));
  if (corner > 0) out_ += fmt::format(" rx=\"{:.1f}\"", corner);
  out_ += "/>";
}

void Svg::mark(Mark mark, double x, double y, double radius, std::string_view css_class) {
  if (mark == Mark::kCircle) {
    out_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>",
                        css_class, x, y, radius);
    return;
  }
  out_ += fmt::format("<polygon class=\"{}\" points=\"", css_class);
  const char* separator = "";
  for (const auto& [dx, dy] : corners(mark)) {
    out_ += fmt::format("{}{:.1f},{:.1f}", separator, x + dx * radius, y + dy * radius);
    separator = " ";
  }
  out_ += "\"/>";
}

void Svg::text(double x, double y, std::string_view markup, std::string_view css_class,
               Anchor anchor) {
  out_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>",
                      css_class, x, y, anchor_name(anchor), markup);
}

void Svg::text_upward(double x, double y, std::string_view markup, std::string_view css_class) {
  out_ += fmt::format(
      "<text class=\"{}\" transform=\"translate({:.1f} {:.1f}) rotate(-90)\" "
      "text-anchor=\"middle\">{}</text>",
      css_class, x, y, markup);
}

void Svg::x_axis(const Axis& axis, const Box& area, std::string_view title) {
  const double bottom = area.y + area.height;
  for (const Tick& tick : axis.ticks(static_cast<std::size_t>(area.width / 68))) {
    const double x = axis.position(tick.value);
    line(x, area.y, x, bottom, "grid");
    text(x, bottom + 17, tick.label, "tick", Anchor::kMiddle);
  }
  line(area.x, bottom, area.x + area.width, bottom, "axis");
  text(area.x + area.width / 2, bottom + 38, title, "axis-title", Anchor::kMiddle);
  out_ += '\n';
}

void Svg::y_axis(const Axis& axis, const Box& area, std::string_view title) {
  for (const Tick& tick : axis.ticks(static_cast<std::size_t>(area.height / 50))) {
    const double y = axis.position(tick.value);
    line(area.x, y, area.x + area.width, y, "grid");
    text(area.x - 8, y + 4, tick.label, "tick", Anchor::kEnd);
  }
  line(area.x, area.y, area.x, area.y + area.height, "axis");
  text_upward(14, area.y + area.height / 2, title, "axis-title");
  out_ += '\n';
}

std::string Svg::take() {
  PARING_CHECK(depth_ == 0, "SVG group left open");
  return std::exchange(out_, {}) + "</svg>\n";
}

bool LabelPlacer::place(const LabelWish& wish, Box* placed) {
  const auto [x, y, width, height, gap] = wish;
  // Above to the right first: a front that falls from left to right never runs there.
  const Box tries[] = {
      {x + gap, y - gap - height, width, height},
      {x + gap, y - height / 2, width, height},
      {x - gap - width, y - height / 2, width, height},
      {x - gap - width, y + gap, width, height},
      {x - width / 2, y - gap - height, width, height},
      {x - width / 2, y + gap, width, height},
      {x + gap, y + gap, width, height},
      {x - gap - width, y - gap - height, width, height},
  };
  for (const Box& box : tries) {
    const bool is_inside = box.x >= area_.x && box.y >= area_.y &&
                           box.x + box.width <= area_.x + area_.width &&
                           box.y + box.height <= area_.y + area_.height;
    const bool is_free = std::none_of(taken_.begin(), taken_.end(),
                                      [&](const Box& other) { return box.overlaps(other); });
    if (!is_inside || !is_free) continue;
    taken_.push_back(box);
    *placed = box;
    return true;
  }
  return false;
}

}  // namespace paring::shrink::report
